"""What can go wrong, in words: exceptions, the warning category, and notes on a fit.

Every exception names the column, level or term at fault and says what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class HendersonError(Exception):
    """The root of all errors that henderson raises on purpose."""


class FormulaError(HendersonError, ValueError):
    """The formula cannot be read, or asks for something that is not known."""


class DataError(HendersonError, ValueError):
    """The data cannot be read, or do not hold what is asked of them."""


class DesignError(HendersonError, ValueError):
    """Formula and data are sound by themselves but do not fit together."""


class FitError(HendersonError, ArithmeticError):
    """The model cannot be estimated from these data."""


class HendersonWarning(UserWarning):
    """A statistical event that the user can act on; its text says how."""


@dataclass(frozen=True)
class Note:
    """What a fit has to say about itself.

    Attributes
    ----------
    kind : one or two words to filter by, such as "missing", "singular", "convergence".
    text : the fact, one sentence.
    advice : what to do about it, one sentence.
    """

    kind: str
    text: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.text} {self.advice}".rstrip()


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """End of a message about an unknown name: close matches if there are any, else what is known.

    >>> did_you_mean("eduu", ["edu", "score"])
    "did you mean 'edu'?"
    >>> did_you_mean("xyz", ["edu", "score"])
    'known: edu, score.'
    >>> did_you_mean("xyz", [])
    'there are none.'
    """
    from difflib import get_close_matches

    names = [str(k) for k in known]
    by_case = {n.lower(): n for n in names}
    close = get_close_matches(str(name).lower(), by_case, n=3)
    if close:
        return f"did you mean {' or '.join(repr(by_case[c]) for c in close)}?"
    return f"known: {', '.join(names)}." if names else "there are none."
