"""The formula search at scale: from columns and a target to a front of formulas. `explore` is the entrance."""
