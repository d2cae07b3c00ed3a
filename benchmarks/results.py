"""What was measured, case by case, and whether the plan's targets are met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from cases import Case, Target

MOST_EVALUATIONS = 10


@dataclass
class Side:
    """The answers of one side to one case.

    seconds : CPU time, one a round, in the order of the rounds. outcome : "" while all is well,
    otherwise why nothing was measured. peak : largest resident memory in megabytes.
    """

    name: str
    seconds: list[float] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    outcome: str = ""
    peak: float | None = None

    @property
    def outcome_word(self) -> str:
        """The outcome without its reason: "failed", "skipped", "> 240 s"."""
        return self.outcome.split(":")[0]

    @property
    def median(self) -> float | None:
        return median(self.seconds) if self.seconds else None

    def number(self, fact: str) -> float | None:
        """A fact as a number; None if it was not told."""
        text = self.facts.get(fact, "")
        return float(text.split()[0]) if text else None


@dataclass
class Result:
    """One case: our whole call, its numeric part, R's side and the Python peers."""

    case: Case
    n: int
    ours: Side
    numeric: Side
    theirs: Side | None
    peers: list[Side] = field(default_factory=list)

    @property
    def ratio(self) -> float | None:
        """How many times the CPU time of our whole call R takes."""
        return paired_ratio(self.theirs, self.ours)

    @property
    def numeric_ratio(self) -> float | None:
        return paired_ratio(self.theirs, self.numeric)

    @property
    def gap(self) -> float | None:
        """Criterion, ours minus theirs."""
        a = self.ours.number("criterion")
        b = self.theirs.number("criterion") if self.theirs else None
        return None if a is None or b is None else a - b

    @property
    def df_gap(self) -> float | None:
        """Largest relative difference in degrees of freedom."""
        if self.theirs is None or "df" not in self.ours.facts or "df" not in self.theirs.facts:
            return None
        a, b = (
            [float(v) for v in side.facts["df"].split(",")] for side in (self.ours, self.theirs)
        )
        return max(abs(u - v) / abs(v) for u, v in zip(a, b, strict=True))

    def verdicts(self) -> list[str]:
        """Each target of the plan with what was measured: met or missed."""
        return [*(self._verdict(t) for t in self.case.targets), *self._counts(), *self._glmm()]

    def _verdict(self, target: Target) -> str:
        text = self._words(target)
        if self.ours.outcome:
            word = "not measured" if self.ours.outcome_word == "skipped" else "MISSED"
            return f"{text}: {word} ({self.ours.outcome_word})"
        if target.measure == "seconds":
            return judge(text, self.ours.median, target.value, below=True)
        if target.measure == "megabytes":
            return judge(text, self.ours.peak, target.value, below=True)
        value = self.ratio if target.measure == "whole" else self.numeric_ratio
        return judge(text, value, target.value, unit="x")

    def _words(self, target: Target) -> str:
        against = self.case.against or "R"
        return {
            "seconds": f"< {target.value:g} s CPU",
            "megabytes": f"< {target.value:g} MB",
            "whole": f">= {target.value:g}x {against}",
            "numeric": f">= {target.value:g}x {against}, numeric part",
        }[target.measure]

    def _counts(self) -> list[str]:
        text = self.ours.facts.get("evaluations", "")
        if not text or self.case.operation not in ("fit", "correlation"):
            return []
        limit = MOST_EVALUATIONS
        return [judge(f"<= {limit} evaluations", float(text), limit, below=True)]

    def _glmm(self) -> list[str]:
        if self.case.glmm is None:
            return []
        found = [p for p in self.peers if p.name == "glmm"]
        value = paired_ratio(found[0], self.ours) if found else None
        if value is None:
            return []
        return [judge(f">= {self.case.glmm:.2g}x glmm", value, self.case.glmm, unit="x")]


def paired_ratio(above: Side | None, below: Side) -> float | None:
    """Median over rounds of one time over the other; rounds that only one side has do not count.

    Of a side that ran fewer rounds than the other the median is compared with the other's.
    """
    if above is None or not above.seconds or not below.seconds:
        return None
    if len(above.seconds) != len(below.seconds):
        return median(above.seconds) / median(below.seconds)
    return median(a / b for a, b in zip(above.seconds, below.seconds, strict=True))


def judge(
    text: str, value: float | None, limit: float, *, below: bool = False, unit: str = ""
) -> str:
    """The target, and whether the value meets it: `target: met (value)`."""
    if value is None:
        return f"{text}: not measured"
    met = value <= limit if below else value >= limit
    return f"{text}: {'met' if met else 'MISSED'} ({significant(value)}{unit})"


def significant(value: float | None, digits: int = 3) -> str:
    """A positive number to some significant digits without an exponent; "" for None."""
    if value is None:
        return ""
    if value == 0.0 or abs(value) < 1e-6:
        return f"{value:.1e}"
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if abs(value) >= 10 ** (digits - 1) else _plain(float(text))


def _plain(value: float) -> str:
    return f"{value:.10f}".rstrip("0").rstrip(".")


def missed(results: Sequence[Result]) -> list[str]:
    """Every missed target, with its case."""
    return [f"{r.case.name}: {v}" for r in results for v in r.verdicts() if "MISSED" in v]
