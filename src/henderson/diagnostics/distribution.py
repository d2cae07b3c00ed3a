"""Checks of the residuals' and the random effects' distribution: normality, spread, outliers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from henderson.data.factors import factorize
from henderson.diagnostics.checks import Check, Material, Verdict, judge
from henderson.diagnostics.quantiles import standardised_modes

if TYPE_CHECKING:
    import pandas as pd

# Shapiro and Wilk's p-value is known for so many values at most; fewer than the least say nothing.
MOST, LEAST = 5_000, 8
# 1 - W from which a departure from normality is seen, and from which it hurts.
BENT = (0.01, 0.05)
# Ratio of standard deviations along the fitted values, and of a typical level to the mean.
TREND, SPREAD = (1.25, 1.6), (1.1, 1.25)
FEWEST_ROWS = 4
# A variance below this share of the mean one counts as that: equal values of rounded data.
SMALLEST = 0.01


def normality(m: Material) -> Iterator[Check]:
    """Studentised conditional residuals against the normal distribution."""
    values = m.studentised[np.isfinite(m.studentised)]
    if len(values) < LEAST:
        return
    w, p = _shapiro(values)
    verdict = judge(p, 1.0 - w, *BENT)
    if verdict == "fine":
        meaning = "The residuals look normal."
        advice = "Nothing to do."
    else:
        meaning = f"The residuals are not normal: {_shape(values)}."
        advice = (
            "Look at fit.plot.qq(); try another scale of the response (a logarithm), and "
            "fit.bootstrap(kind='residual') or fit.cov_robust(), which need no normality."
        )
    yield Check("normality of residuals", "W", w, p, verdict, meaning, advice)


def normality_of_effects(m: Material) -> Iterator[Check]:
    """Standardised conditional modes, effect by effect; the worst of a factor's."""
    for group, table in standardised_modes(m.fit).items():
        found = [
            (name, *_shapiro(values), values) for name, values in _columns(table) if _usable(values)
        ]
        if not found:
            continue
        name, w, p, values = min(found, key=lambda one: one[2])
        p = min(1.0, p * len(found))
        verdict = judge(p, 1.0 - w, *BENT)
        if verdict == "fine":
            meaning, advice = f"The random effects of {group} look normal.", "Nothing to do."
        else:
            meaning = f"The random effects of {group} ({name}) are not normal: {_shape(values)}."
            advice = (
                f"Look at fit.plot.random_qq('{group}') for levels that stand apart or for a "
                "missing predictor of the groups; fixed effects are little touched."
            )
        yield Check(f"normality of {group} effects", "W", w, p, verdict, meaning, advice)


def _columns(table: pd.DataFrame) -> list[tuple[str, np.ndarray]]:
    return [(str(name), table[name].to_numpy()) for name in table.columns]


def _usable(values: np.ndarray) -> bool:
    return len(values) >= LEAST and bool(np.isfinite(values).all()) and np.ptp(values) > 0.0


def _shapiro(values: np.ndarray) -> tuple[float, float]:
    """W and its p-value; of very many values those of a fixed random choice."""
    from scipy import stats

    if len(values) > MOST:
        values = np.random.default_rng(0).choice(values, MOST, replace=False)
    w, p = stats.shapiro(values)
    return float(w), float(p)


def _shape(values: np.ndarray) -> str:
    """The departure in words, by skewness and kurtosis."""
    z = (values - values.mean()) / values.std()
    skew, kurtosis = float(np.mean(z**3)), float(np.mean(z**4)) - 3.0
    if abs(skew) > 0.5:
        return f"a long tail {'above' if skew > 0 else 'below'} (skewness {skew:.1f})"
    if kurtosis > 0.5:
        return f"heavy tails (excess kurtosis {kurtosis:.1f})"
    return "the tails are short" if kurtosis < -0.5 else "the quantiles bend"


# ---- spread


def homogeneity(m: Material) -> Iterator[Check]:
    """The residuals' spread along the fitted values, and across the levels of factors."""
    yield from _along_fitted(m)
    groups = {f.name: f.codes for f in m.fit.design.random}
    frame = m.fit.design.frame.data
    for name in m.fit.design.fixed.spec.levels:
        if name in frame.columns:
            groups.setdefault(name, factorize(frame[name]).codes)
    fixed = set(m.fit.design.fixed.spec.levels)
    for name, codes in groups.items():
        yield from _across(m, name, codes, is_fixed=name in fixed)


def _along_fitted(m: Material) -> Iterator[Check]:
    """Regression of absolute residuals on fitted values (Glejser 1969, JASA 64)."""
    good = np.isfinite(m.studentised)
    size, fitted = np.abs(m.studentised[good]), m.fit.fittedvalues.to_numpy()[good]
    n = len(size)
    if n < LEAST or np.ptp(fitted) <= 1e-10 * max(1.0, float(np.abs(fitted).max())):
        return
    x = fitted - fitted.mean()
    slope = float(x @ size / (x @ x))
    rest = size - size.mean() - slope * x
    t = slope / np.sqrt(rest @ rest / (n - 2) / (x @ x))
    p = float(2.0 * special.stdtr(n - 2, -abs(t)))
    low, high = size.mean() + slope * np.quantile(x, [0.1, 0.9])
    floor = 0.1 * size.mean()
    ratio = max(high, floor) / max(low, floor)
    verdict = judge(p, max(ratio, 1.0 / ratio), *TREND)
    if verdict == "fine":
        meaning, advice = "The residuals spread evenly along the fitted values.", "Nothing to do."
    else:
        grow = "grow" if ratio > 1.0 else "shrink"
        meaning = (
            f"The residuals {grow} with the fitted values, by a factor of "
            f"{max(ratio, 1.0 / ratio):.1f} between the lower and the upper end."
        )
        advice = (
            "Try variance='power(fitted)', a logarithm of the response, or fit.cov_robust() for "
            "the standard errors."
        )
    yield Check("homogeneity along fitted", "sd ratio", ratio, p, verdict, meaning, advice)


def _across(m: Material, name: str, codes: np.ndarray, *, is_fixed: bool) -> Iterator[Check]:
    """Brown and Forsythe's test across the levels with four rows or more (1974, JASA 69)."""
    found = _spread_across(m.uncorrelated, codes)
    if found is None:
        return
    factor, p = found
    verdict = judge(p, factor, *SPREAD)
    if verdict == "fine":
        meaning, advice = f"The residuals spread alike in all levels of {name}.", "Nothing to do."
    else:
        meaning = (
            f"The residuals' standard deviation differs between levels of {name}, typically by a "
            f"factor of {factor:.1f} from the mean."
        )
        advice = (
            f"Try variance='ident({name})', which estimates one for each level."
            if is_fixed
            else f"Look for levels of {name} that are noisier; fit.cov_robust() gives standard "
            "errors that allow for it."
        )
    yield Check(f"homogeneity across {name}", "sd ratio", factor, p, verdict, meaning, advice)


def _spread_across(values: np.ndarray, codes: np.ndarray) -> tuple[float, float] | None:
    """How far a typical level's deviation is from the mean, as a factor, and the p-value."""
    good = np.isfinite(values)
    counts = np.bincount(codes[good], minlength=int(codes.max()) + 1)
    good &= counts[codes] >= FEWEST_ROWS
    if len(np.unique(codes[good])) < 2:
        return None
    _, code = np.unique(codes[good], return_inverse=True)
    values, counts = values[good], np.bincount(code)
    away = np.abs(values - _medians(values, code, counts)[code])
    means = np.bincount(code, away) / counts
    levels, n = len(counts), len(values)
    between = float(counts @ (means - away.mean()) ** 2) / (levels - 1)
    within = float(((away - means[code]) ** 2).sum()) / (n - levels)
    if within <= 0.0:
        return None
    centred = values - (np.bincount(code, values) / counts)[code]
    variance = np.bincount(code, centred**2) / (counts - 1)
    logs = 0.5 * np.log(np.maximum(variance, SMALLEST * variance.mean()))
    excess = float(np.var(logs, ddof=1) - np.mean(special.polygamma(1, (counts - 1) / 2.0)) / 4.0)
    p = float(special.fdtrc(levels - 1, n - levels, between / within))
    return float(np.exp(np.sqrt(max(excess, 0.0)))), p


def _medians(values: np.ndarray, code: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The median (J,) of every level."""
    ordered = values[np.lexsort((values, code))]
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return (ordered[starts + (counts - 1) // 2] + ordered[starts + counts // 2]) / 2.0


# ---- outliers


def outliers(m: Material) -> Iterator[Check]:
    """The largest studentised residual against what n normal ones have."""
    size = np.abs(np.where(np.isfinite(m.studentised), m.studentised, 0.0))
    n, at = len(size), int(np.argmax(size))
    p = float(min(1.0, n * 2.0 * special.ndtr(-size[at])))
    far = int((n * 2.0 * special.ndtr(-size) < 0.01).sum())
    verdict: Verdict = judge(p, 1.0, 0.0, 0.0)
    if verdict == "fine":
        meaning, advice = "No row lies unduly far from its fitted value.", "Nothing to do."
    else:
        rows = "One row lies" if far <= 1 else f"{far} rows lie"
        meaning = (
            f"{rows} too far from the fitted value to be chance, farthest row "
            f"{m.fit.design.index[at]} ({m.studentised[at]:+.1f} standard deviations)."
        )
        advice = (
            "See whether it is an error of recording, and whether the conclusions stand without "
            "it: fit.influence('row')."
        )
    yield Check("outliers", "max |t|", float(size[at]), p, verdict, meaning, advice)
