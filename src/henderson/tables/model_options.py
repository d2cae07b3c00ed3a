"""How a table of models shows its numbers: options that check themselves once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from henderson.errors import DesignError

Statistic = Literal["se", "ci", "t", "p"]
STARS = {"*": 0.05, "**": 0.01, "***": 0.001}


@dataclass(frozen=True)
class Options:
    """What stands below the estimates and behind them.

    Attributes
    ----------
    statistic : "se", "ci", "t" or "p", below the estimates.
    stars : mark -> the p-value below which it stands; none for no marks.
    digits : significant digits of the standard errors.
    level : of the intervals.

    Raises
    ------
    DesignError : an option is none of these.
    """

    statistic: Statistic = "se"
    stars: Mapping[str, float] = field(default_factory=dict)
    digits: int = 3
    level: float = 0.95

    def __post_init__(self) -> None:
        from henderson.inference.wald import check_level

        check_level(self.level)
        if self.statistic not in get_args(Statistic):
            allowed = ", ".join(map(repr, get_args(Statistic)))
            raise DesignError(f"statistic is one of {allowed}, not {self.statistic!r}.")
        if not 1 <= self.digits <= 8:
            raise DesignError(f"digits lies between 1 and 8, not {self.digits}.")
        for mark, p in self.stars.items():
            if not 0.0 < p < 1.0:
                raise DesignError(f"The mark '{mark}' needs a p-value between 0 and 1, not {p}.")

    def mark(self, p: float) -> str:
        """The mark of the smallest p-value that `p` is below, or ""."""
        reached = {mark: limit for mark, limit in self.stars.items() if p < limit}
        return min(reached, key=lambda mark: reached[mark], default="")

    @property
    def percent(self) -> str:
        """The level of the intervals: "95%"."""
        return f"{100.0 * self.level:.6g}%"


def marks(stars: bool | Mapping[str, float]) -> Mapping[str, float]:
    """Marks by p-value: True means those that most journals use."""
    if isinstance(stars, Mapping):
        return dict(stars)
    return STARS if stars else {}
