"""The exact restricted likelihood-ratio test of one variance component.

The null distribution in finite samples is that of

    sup_l  (n - p) log(1 + N(l) / D(l)) - sum_s log(1 + l m_s),
    N(l) = sum_s l m_s / (1 + l m_s) w_s^2,   D(l) = sum_s w_s^2 / (1 + l m_s) + chi2_(n - p - K),

with m_s the K eigenvalues of Z'(I - H)Z and w_s standard normal (Crainiceanu & Ruppert 2004, J. R.
Stat. Soc. B 66). It is drawn from as it stands; nothing of length n is needed but n - p.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from henderson.errors import DesignError
from henderson.inference.chibar import chi2_tail, even_mixture_tail
from henderson.model import fit_design
from henderson.tables.printed import Printed, Shown

if TYPE_CHECKING:
    from henderson.fit import Fit

GRID = np.concatenate([[0.0], np.exp(np.linspace(-10.0, 8.0, 200))])
MOST_LEVELS = 4000
# Draws at a time, so that work arrays stay small.
BATCH = 2000


@dataclass(frozen=True, repr=False)
class ExactRlrt(Printed):
    """The exact test that one variance is zero.

    Attributes
    ----------
    term : what was tested. statistic : the restricted likelihood ratio.
    p_value : share of the draws, and the statistic with them, that are at least as large;
        std_error its Monte Carlo error.
    p_boundary : the even mixture of chi2_0 and chi2_1, for comparison; p_naive : chi2_1.
    nsim : draws.
    """

    term: str
    statistic: float
    p_value: float
    std_error: float
    p_boundary: float
    p_naive: float
    nsim: int

    def _parts(self) -> list[Shown]:
        from henderson.inference.printing import rlrt_parts

        return rlrt_parts(self)


def exact_rlrt(
    fit: Fit, nsim: int = 10_000, seed: int | np.random.Generator | None = None
) -> ExactRlrt:
    """Test the only variance component of a fit; see `Fit.exact_rlrt`.

    Raises
    ------
    DesignError : a fit by ML, with other than one variance, or with too many different levels.
    """
    _check(fit)
    term = fit.design.random[0].slots[0].term.text
    null = fit_design(replace(fit.design, random=()), "REML")
    statistic = max(null.criterion - fit.criterion, 0.0)
    drawn = null_distribution(eigenvalues(fit), fit.df_resid, nsim, np.random.default_rng(seed))
    p = float(((drawn >= statistic).sum() + 1) / (nsim + 1))
    return ExactRlrt(
        term=term,
        statistic=statistic,
        p_value=p,
        std_error=float(np.sqrt(p * (1.0 - p) / nsim)),
        p_boundary=even_mixture_tail(statistic, 0),
        p_naive=chi2_tail(statistic, 1),
        nsim=nsim,
    )


def _check(fit: Fit) -> None:
    if fit.method != "REML":
        raise DesignError(
            "The exact test is one of restricted likelihoods: fit with method='REML'."
        )
    if fit.optimum.layout.residual is not None:
        raise DesignError("The exact test needs independent residuals with equal variances.")
    sizes = [f.z.shape[1] for f in fit.design.random]
    if sizes != [1]:
        raise DesignError(
            f"The exact test is for one variance component; this model has {sum(sizes)} random "
            "effects. Use fit.ranova(), whose p_boundary is the large-sample answer."
        )


def eigenvalues(fit: Fit) -> np.ndarray:
    """Eigenvalues (J,) of Z'(I - H)Z, in standard coordinates; zeros are left out.

    Z'Z is diagonal and H takes away rank p. Among m levels of the same sum of squares d, m - p
    eigenvalues are d itself, so that a problem of min(m, p) per distinct d remains.
    """
    problem = fit.optimum.problem
    (grouping,) = problem.groupings
    z = grouping.z[:, 0]
    d = np.bincount(grouping.codes, weights=z**2, minlength=grouping.n_levels)
    zx = np.stack(
        [np.bincount(grouping.codes, z * x, grouping.n_levels) for x in problem.x.T], axis=1
    ) / np.sqrt(len(z))
    if grouping.root is not None:  # which makes Z'Z diagonal for correlated levels too
        d, zx = np.einsum("jk,j,jk->k", grouping.root, d, grouping.root), grouping.from_levels(zx)
    same = np.unique(np.round(d / d.max(), 12), return_inverse=True)[1]
    plain, diagonals, rows = [np.zeros(0)], [], []
    for k in range(same.max() + 1):
        own = same == k
        value = d[own].mean()
        # A level's part in H enters by cross-products alone, so p rows stand for many.
        kept = zx[own] if own.sum() <= zx.shape[1] else np.linalg.qr(zx[own], mode="r")
        rows.append(kept)
        diagonals.append(np.full(len(kept), value))
        plain.append(np.full(int(own.sum()) - len(kept), value))
    size = sum(map(len, rows))
    if size > MOST_LEVELS:
        raise DesignError(
            f"The exact test would need the eigenvalues of a matrix of {size} levels: with so many "
            "levels use fit.ranova(), whose p_boundary is accurate."
        )
    b = np.vstack(rows)
    small = np.linalg.eigvalsh(np.diag(np.concatenate(diagonals)) - b @ b.T)
    found = np.concatenate([*plain, small])
    return found[found > 1e-10 * max(found.max(), 1e-300)]


def null_distribution(
    values: np.ndarray, df: int, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Draws (draws,) of the statistic under the null; `df` is n - p."""
    scaled = values / values.mean()
    load = 1.0 + np.outer(scaled, GRID)
    gain, keep, price = 1.0 - 1.0 / load, 1.0 / load, np.log(load).sum(axis=0)
    out = []
    for start in range(0, draws, BATCH):
        count = min(BATCH, draws - start)
        w = rng.standard_normal((count, len(values))) ** 2
        rest = rng.chisquare(df - len(values), count) if df > len(values) else np.zeros(count)
        ratio = (w @ gain) / (w @ keep + rest[:, None])
        out.append((df * np.log1p(ratio) - price).max(axis=1))
    return np.concatenate(out)
