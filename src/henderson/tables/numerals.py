"""Numbers as text: significant digits, columns with common decimals, p-values."""

from __future__ import annotations

from collections.abc import Iterable
from math import floor, isfinite, isnan, log10

DIGITS = 4
# No text of a number is longer: a sign, nine digits and a point; or -1.235e+100.
LONGEST = 11
_MOST_DIGITS = 9


def number(value: float, digits: int = DIGITS) -> str:
    """A number by itself, to `digits` significant digits.

    >>> [number(v) for v in (9.42796, 0.1311930, 1743.628, -2e-9, 123456.7)]
    ['9.428', '0.1312', '1744', '-2.000e-09', '123457']
    """
    if not isfinite(value):
        return _not_finite(value)
    if value == 0.0:
        return "0"
    if 10.0**digits <= abs(value) < 1e7:
        return f"{value:.0f}"
    return f"{value:#.{digits}g}".rstrip(".")


def fixed(value: float, decimals: int | None) -> str:
    """A number with so many decimals; by itself with None or where that would be too long."""
    if not isfinite(value):
        return _not_finite(value)
    if decimals is None:
        return number(value)
    text = f"{value:.{decimals}f}"
    if text.startswith("-") and float(text) == 0.0:
        text = text[1:]
    return text if len(text) <= LONGEST else number(value)


def common_decimals(values: Iterable[float], digits: int = DIGITS) -> int | None:
    """Decimals that show the smallest value to `digits` significant digits.

    None where no common number of decimals suits: the values are too far apart.
    """
    sizes = [abs(v) for v in values if isfinite(v) and v != 0.0]
    if not sizes:
        return 0
    decimals = max(digits - 1 - floor(log10(min(sizes))), 0)
    whole = max(floor(log10(max(sizes))) + 1, 1)
    return decimals if whole + decimals <= _MOST_DIGITS else None


def column(values: Iterable[float], digits: int = DIGITS) -> list[str]:
    """A column of numbers with their points one below the other.

    >>> column([612.0899, 35.0717, 654.9410])
    ['612.09', '35.07', '654.94']
    """
    values = [float(v) for v in values]
    decimals = common_decimals(values, digits)
    return [fixed(v, decimals) for v in values]


def p_value(p: float) -> str:
    """Four decimals, or "<0.001".

    >>> p_value(0.03664), p_value(1e-9)
    ('0.0366', '<0.001')
    """
    if isnan(p):
        return "NaN"
    return "<0.001" if p < 0.001 else f"{p:.4f}"


def _not_finite(value: float) -> str:
    if isnan(value):
        return "NaN"
    return "Inf" if value > 0 else "-Inf"
