"""The one exception that is meant for the person at the keyboard."""

from __future__ import annotations


class UserError(Exception):
    """A refusal in one sentence: what is wrong, where, and what to do about it.

    The command line prints the sentence and exits with status 2. Any other exception is a bug and keeps its traceback.
    """
