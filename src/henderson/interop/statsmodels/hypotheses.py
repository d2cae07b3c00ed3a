"""t-, Wald and F-tests of linear hypotheses, printed as statsmodels prints them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from henderson.errors import DesignError
from henderson.inference.wald import f_tail, parse_hypothesis, t_quantile, two_sided

WIDTH = 78


@dataclass(frozen=True)
class Linear:
    """A hypothesis R b = q with the estimate and its covariance.

    Parameters
    ----------
    effect : (r,) R b; value : (r,) q; cov : (r, r) of R b.
    """

    effect: np.ndarray
    value: np.ndarray
    cov: np.ndarray

    @property
    def chi2(self) -> float:
        """(R b - q)' Cov^-1 (R b - q)."""
        gap = self.effect - self.value
        return float(gap @ np.linalg.pinv(self.cov) @ gap)

    @property
    def rank(self) -> int:
        return int(np.linalg.matrix_rank(self.cov))


def linear(hypothesis: Any, params: pd.Series, cov: np.ndarray, k_fe: int) -> Linear:
    """Read a hypothesis about the fixed effects or about all parameters.

    Parameters
    ----------
    hypothesis : text ("x = 0", "a = b, c = 1"), texts, or R (r, k_fe) or (r, k); a pair (R, q).

    Raises
    ------
    DesignError : a name that is not known, a matrix of the wrong width.
    """
    value = None
    if isinstance(hypothesis, tuple) and not all(isinstance(h, str) for h in hypothesis):
        hypothesis, value = hypothesis
    names = _names_for(hypothesis, list(params.index), k_fe)
    matrix, found, _ = parse_hypothesis(_pieces(hypothesis), names)
    q = found if value is None else np.broadcast_to(np.asarray(value, float).ravel(), found.shape)
    beta = params.to_numpy()[: len(names)]
    return Linear(matrix @ beta, q, matrix @ cov[: len(names), : len(names)] @ matrix.T)


def _names_for(hypothesis: Any, names: list[str], k_fe: int) -> list[str]:
    """All the parameters' names where the hypothesis is about all of them."""
    if isinstance(hypothesis, str | dict) or (
        isinstance(hypothesis, Sequence) and all(isinstance(h, str) for h in hypothesis)
    ):
        return names
    width = np.atleast_2d(np.asarray(hypothesis, dtype=float)).shape[1]
    return names if width == len(names) and width != k_fe else names[:k_fe]


def _pieces(hypothesis: Any) -> Any:
    """One text with commas is several hypotheses."""
    if not isinstance(hypothesis, str):
        return hypothesis
    pieces, depth, start = [], 0, 0
    for i, char in enumerate(hypothesis):
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            pieces.append(hypothesis[start:i])
            start = i + 1
    return [*pieces, hypothesis[start:]]


@dataclass(frozen=True)
class TTest:
    """t- or z-tests of each row of a hypothesis.

    Attributes
    ----------
    effect, sd, statistic, pvalue : as in statsmodels; `tvalue` is `statistic`.
    """

    hypothesis: Linear
    df: float

    @property
    def effect(self) -> np.ndarray:
        """(r,) estimates."""
        return self.hypothesis.effect

    @property
    def sd(self) -> np.ndarray:
        """Standard errors (r,); (1, 1) of one row, as in statsmodels."""
        return _shaped(np.sqrt(np.diag(self.hypothesis.cov)))

    @property
    def statistic(self) -> np.ndarray:
        """The shape of `sd`."""
        return _shaped(self.effect - self.hypothesis.value) / self.sd

    tvalue = statistic

    @property
    def pvalue(self) -> np.ndarray | float:
        """Two-sided, (r,); one number for one row."""
        found = np.array([two_sided(float(t), self.df) for t in self.statistic.ravel()])
        return found if len(found) > 1 else found[0]

    @property
    def distribution(self) -> str:
        return "norm" if np.isinf(self.df) else "t"

    @property
    def df_denom(self) -> float:
        """Degrees of freedom; infinite for z-tests."""
        return self.df

    @property
    def c_names(self) -> list[str]:
        return [f"c{i}" for i in range(len(self.effect))]

    def conf_int(self, alpha: float = 0.05) -> np.ndarray:
        """Intervals (r, 2)."""
        reach = t_quantile(1.0 - alpha / 2.0, self.df) * self.sd.ravel()
        return np.column_stack([self.effect - reach, self.effect + reach])

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """One row a hypothesis."""
        low, high = self.conf_int(alpha).T
        letter = "z" if np.isinf(self.df) else "t"
        columns = {
            "coef": self.effect,
            "std err": self.sd.ravel(),
            letter: self.statistic.ravel(),
            f"P>|{letter}|": np.atleast_1d(self.pvalue),
            "Conf. Int. Low": low,
            "Conf. Int. Upp.": high,
        }
        return pd.DataFrame(columns, index=self.c_names)

    def summary(self, alpha: float = 0.05) -> str:
        """The table of statsmodels, as text."""
        letter = "z" if np.isinf(self.df) else "t"
        heads = ["coef", "std err", letter, f"P>|{letter}|"]
        heads += [f"[{alpha / 2:g}", f"{1 - alpha / 2:g}]"]
        lines = ["Test for Constraints".center(WIDTH), "=" * WIDTH, _heading(heads), "-" * WIDTH]
        for name, row in self.summary_frame(alpha).iterrows():
            lines.append(_row(str(name), row.to_numpy(dtype=float)))
        return "\n".join([*lines, "=" * WIDTH])

    def __str__(self) -> str:
        return self.summary()

    __repr__ = __str__


def _shaped(values: np.ndarray) -> np.ndarray:
    return values[:, None] if len(values) == 1 else values


def _heading(heads: list[str]) -> str:
    return " " * 10 + "".join(f"{head:>{w}}" for head, w in zip(heads, _WIDTHS, strict=True))


_WIDTHS = (11, 11, 11, 11, 12, 12)


def _row(name: str, values: np.ndarray) -> str:
    coef, se, statistic, p, low, high = values
    cells = [_coefficient(coef), _three(se), f"{statistic:.3f}", f"{p:.3f}"]
    cells += [_three(low), _three(high)]
    return f"{name:<10}" + "".join(f"{c:>{w}}" for c, w in zip(cells, _WIDTHS, strict=True))


def _coefficient(value: float) -> str:
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.4g}"


def _three(value: float) -> str:
    return f"{value:.3f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.3g}"


@dataclass(frozen=True)
class WaldTest:
    """The joint test of a hypothesis: chi-square, or F where `df_denom` is a denominator.

    Attributes
    ----------
    statistic, pvalue : of the test.
    df_num : the number of constraints.
    df_denom : as in statsmodels: the denominator of F; of chi-square the number of constraints.
    distribution : "chi2" or "F".
    """

    statistic: float
    pvalue: float
    df_num: float
    df_denom: float
    distribution: str

    @property
    def fvalue(self) -> float:
        """The F statistic; only of an F-test."""
        if self.distribution != "F":
            raise AttributeError("A chi-square test has no fvalue: its value is `statistic`.")
        return self.statistic

    def summary(self) -> str:
        return str(self)

    def __str__(self) -> str:
        if self.distribution == "F":
            return (
                f"<F test: F={self.statistic}, p={self.pvalue}, df_denom={self.df_denom:.3g}, "
                f"df_num={self.df_num:.3g}>"
            )
        return (
            f"<Wald test (chi2): statistic={self.statistic}, p-value={self.pvalue}, "
            f"df_denom={self.df_denom:.3g}>"
        )

    __repr__ = __str__


def joint_test(hypothesis: Linear, df_resid: float, use_f: bool) -> WaldTest:
    """The joint test; raises `DesignError` for a hypothesis with redundant rows."""
    rank, rows = hypothesis.rank, len(hypothesis.effect)
    if rank < rows:
        raise DesignError("The hypothesis has rows that follow from the others: leave them out.")
    chi2 = hypothesis.chi2
    if use_f:
        f = chi2 / rows
        return WaldTest(f, f_tail(f, rows, df_resid), float(rows), float(df_resid), "F")
    return WaldTest(chi2, float(special.chdtrc(rows, chi2)), float(rows), float(rows), "chi2")
