"""The formula search at scale: from columns and a target to a front of formulas. `explore` is the entrance."""

from nssr.explore.problem import Found, Learned, Problem, Result
from nssr.explore.search import explore

__all__ = ["Found", "Learned", "Problem", "Result", "explore"]
