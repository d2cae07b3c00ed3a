"""Cluster-robust covariance of the fixed effects, with small-sample corrections and df.

For independent clusters c with working covariance V_c (the fitted one) and residuals
e_c = y_c - X_c beta, the estimators are

    C [ sum_c t_c t_c' ] C,    t_c = X_c'V_c^-1 A_c e_c,    C = (sum_c X_c'V_c^-1X_c)^-1,

A_c = I for CR0; the symmetric solution of A_c (V_c - X_c C X_c') A_c = V_c for CR2, which makes it
unbiased if the working covariance is right (Bell & McCaffrey 2002, Survey Methodology 28;
Pustejovsky & Tipton 2018, JBES 36); (I - X_c C X_c'V_c^-1)^-1 for CR3, the jackknife but for
centring. CR1 is CR0 times G / (G - 1). Degrees of freedom are Satterthwaite's for the variance
estimate under the working model. With weights, rows are first multiplied by their square roots.

CR0 and CR3 need sums of p x p matrices only. For CR2, V_c = I + L L' and A_c are the identity
outside the span of [L, X_c], so a basis of it, a few columns a cluster, is all that is needed.
Where the residuals have a structure, V_c is formed cluster by cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from henderson.data.factors import Factor
from henderson.errors import DesignError
from henderson.inference.clusters import independent_clusters
from henderson.inference.wald import check_level, t_quantile, two_sided
from henderson.tables.printed import Printed, Shown

if TYPE_CHECKING:
    import pandas as pd

    from henderson.fit import Fit

Kind = Literal["CR0", "CR1", "CR2", "CR3"]
KINDS = ("CR0", "CR1", "CR2", "CR3")
# An eigenvalue below this share of the largest: only one cluster tells of that direction, and its
# residual there is zero.
ALONE = 1e-10


@dataclass(frozen=True, eq=False, repr=False)
class RobustCovariance(Printed):
    """Cluster-robust covariance (p, p) of the fixed effects.

    Attributes
    ----------
    estimate : (p,); cov : (p, p); df : (p,) of the t-test of each coefficient.
    kind : "CR0", "CR1", "CR2", "CR3"; n_clusters.
    """

    estimate: pd.Series
    cov: pd.DataFrame
    df: pd.Series
    kind: str
    n_clusters: int

    @property
    def std_error(self) -> pd.Series:
        """Robust standard errors (p,)."""
        import pandas as pd

        sd = np.sqrt(np.diag(self.cov))
        return pd.Series(sd, index=self.estimate.index, name="std_error")

    def to_frame(self, level: float = 0.95) -> pd.DataFrame:
        """One row a coefficient: estimate, std_error, df, statistic, p_value, lower, upper."""
        import pandas as pd

        check_level(level)
        statistic = self.estimate / self.std_error
        pairs = list(zip(statistic, self.df, strict=True))
        reach = self.std_error * [t_quantile(0.5 + level / 2.0, v) for v in self.df]
        return pd.DataFrame(
            {
                "estimate": self.estimate,
                "std_error": self.std_error,
                "df": self.df,
                "statistic": statistic,
                "p_value": [two_sided(t, v) for t, v in pairs],
                "lower": self.estimate - reach,
                "upper": self.estimate + reach,
            }
        )

    def _parts(self) -> list[Shown]:
        from henderson.inference.printing import estimates_grid

        heading = f"Cluster-robust tests ({self.kind}, {self.n_clusters} clusters)"
        return [heading, estimates_grid(self.to_frame())]


def cov_robust(fit: Fit, kind: Kind = "CR2", cluster: Any = None) -> RobustCovariance:
    """See `Fit.cov_robust`.

    Raises
    ------
    DesignError : unknown kind; clusters that are not independent under the model.
    """
    import pandas as pd

    if kind not in KINDS:
        raise DesignError(f"Unknown kind '{kind}' of robust covariance: {', '.join(KINDS)}.")
    clusters = independent_clusters(fit, cluster)
    c = fit.optimum.factorisation.c
    adjusted = symmetric(fit, clusters) if kind == "CR2" else by_power(fit, clusters, kind == "CR3")
    count = len(clusters.levels)
    scale = count / (count - 1.0) if kind == "CR1" else 1.0
    cov = scale * c @ (adjusted.scores.T @ adjusted.scores) @ c
    back = fit.optimum.problem.contrast(np.eye(len(c)))
    df = [adjusted.df(c @ row, c) for row in back]
    names = fit.design.names
    return RobustCovariance(
        estimate=fit.params,
        cov=pd.DataFrame(back @ cov @ back.T, index=names, columns=names),
        df=pd.Series(df, index=names, name="df", dtype=float),
        kind=kind,
        n_clusters=count,
    )


@dataclass(frozen=True)
class Adjusted:
    """What the clusters give, in standard coordinates, with W_c = A_c'V_c^-1X_c.

    scores : W_c'e_c (G, p); spreads : W_c'V_c W_c (G, p, p); links : X_c'W_c (G, p, p).
    """

    scores: np.ndarray
    spreads: np.ndarray
    links: np.ndarray

    def df(self, row: np.ndarray, c: np.ndarray) -> float:
        """Degrees of freedom of the variance estimate of a contrast l, `row` = C l.

        It is sum_c (g_c'e_c)^2, g_c = W_c C l, with covariances
        Cov(g_c'e_c, g_d'e_d) = delta_cd a_c - b_c'C b_d under the working model; if O is their
        matrix, df = tr(O)^2 / tr(O^2).
        """
        a = np.einsum("p,cpq,q->c", row, self.spreads, row)
        b = np.einsum("cpq,q->cp", self.links, row)
        own = np.einsum("cp,pq,cq->c", b, c, b)
        cross = c @ (b.T @ b)
        total = float(np.sum(a - own))
        squares = float(np.sum(a**2) - 2.0 * np.sum(a * own) + np.sum(cross * cross.T))
        return total**2 / squares if squares > 0.0 else np.nan


def by_power(fit: Fit, clusters: Factor, jackknife: bool) -> Adjusted:
    """CR0, or CR3: with N_c = X_c'V_c^-1X_c, scores (I - N_c C)^-1 X_c'V_c^-1e_c."""
    scores, information = cluster_sums(fit, clusters)
    if not jackknife:
        return Adjusted(scores, information, information)
    turns = _without_own_share(information)
    links = information @ turns.swapaxes(1, 2)
    return Adjusted(np.einsum("cpq,cq->cp", turns, scores), turns @ links, links)


def cluster_sums(fit: Fit, clusters: Factor) -> tuple[np.ndarray, np.ndarray]:
    """s_c (G, p) and N_c (G, p, p), in standard coordinates.

    V^-1X = X - sum_t Z_t Sigma_t Z_t'V^-1X and V^-1(y - X beta) = y - X beta - Z b, row by row.
    """
    optimum = fit.optimum
    if optimum.layout.residual is not None:
        return _sums_of_stacks(fit, clusters)
    problem, f = optimum.problem, optimum.factorisation
    residual = problem.y - problem.x @ f.beta
    solved = problem.x.copy()
    for t, grouping in enumerate(problem.groupings):
        place = optimum.place(t)
        moved = grouping.z @ f.sigmas[place]
        residual = residual - np.einsum("nk,nk->n", moved, f.h[place][grouping.codes])
        for p in range(solved.shape[1]):
            solved[:, p] -= np.einsum("nk,nk->n", moved, f.e[place][grouping.codes, :, p])
    order = np.argsort(clusters.codes, kind="stable")
    starts = np.searchsorted(clusters.codes[order], np.arange(len(clusters.levels)))
    x = problem.x[order]
    scores = np.add.reduceat(x * residual[order, None], starts, axis=0)
    columns = [
        np.add.reduceat(x * solved[order, p : p + 1], starts, axis=0) for p in range(x.shape[1])
    ]
    information = np.array(columns).transpose(1, 2, 0)
    return scores, (information + information.swapaxes(1, 2)) / 2.0


def _without_own_share(information: np.ndarray) -> np.ndarray:
    """(I - N_c C)^-1 (G, p, p), C the inverse of the sum of all N_c."""
    lower = np.linalg.cholesky(information.sum(axis=0))
    half = np.linalg.inv(lower)
    values, vectors = np.linalg.eigh(half @ information @ half.T)
    left = 1.0 - values
    inverse = np.divide(1.0, left, out=np.zeros_like(left), where=left > ALONE)
    return lower @ ((vectors * inverse[:, None, :]) @ vectors.swapaxes(1, 2)) @ half


# ---- CR2


def symmetric(fit: Fit, clusters: Factor) -> Adjusted:
    """CR2, clusters of the same make-up at a time."""
    p, count = fit.design.p, len(clusters.levels)
    scores = np.empty((count, p))
    spreads, links = np.empty((count, p, p)), np.empty((count, p, p))
    for members, stack in stacks(fit, clusters):
        found = _symmetric(stack.reduced(), fit.optimum.factorisation.c)
        scores[members], spreads[members], links[members] = found
    return Adjusted(scores, spreads, links)


@dataclass(frozen=True)
class Stack:
    """Clusters with V = R + L L': factor L (g, n, q), x (g, n, p), residual e (g, n).

    noise : R (g, n, n), or None for the identity.
    """

    factor: np.ndarray
    x: np.ndarray
    residual: np.ndarray
    noise: np.ndarray | None

    @property
    def v(self) -> np.ndarray:
        """(g, n, n)."""
        noise = np.eye(self.x.shape[1]) if self.noise is None else self.noise
        return noise + self.factor @ self.factor.swapaxes(1, 2)

    def reduced(self) -> Stack:
        """In an orthonormal basis of [L, X], if V is the identity outside it and it is smaller."""
        if self.noise is not None or self.factor.shape[2] + self.x.shape[2] >= self.x.shape[1]:
            return self
        both = np.concatenate([self.factor, self.x], axis=2)
        basis = np.linalg.qr(both)[0].swapaxes(1, 2)
        residual = np.einsum("gdn,gn->gd", basis, self.residual)
        return Stack(basis @ self.factor, basis @ self.x, residual, None)


def _symmetric(stack: Stack, c: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, spreads and links of clusters."""
    v, x = stack.v, stack.x
    root = np.linalg.cholesky(v)
    middle = root.swapaxes(1, 2) @ (v - x @ c @ x.swapaxes(1, 2)) @ root
    values, vectors = np.linalg.eigh(middle)
    good = values > ALONE * values[:, -1:]
    powers = np.where(good, 1.0 / np.sqrt(np.where(good, values, 1.0)), 0.0)
    left = root @ vectors
    a = (left * powers[:, None, :]) @ left.swapaxes(1, 2)
    w = a @ np.linalg.solve(v, x)
    scores = np.einsum("gdp,gd->gp", w, stack.residual)
    return scores, w.swapaxes(1, 2) @ v @ w, x.swapaxes(1, 2) @ w


def _sums_of_stacks(fit: Fit, clusters: Factor) -> tuple[np.ndarray, np.ndarray]:
    """`cluster_sums` by way of V_c."""
    p, count = fit.design.p, len(clusters.levels)
    scores, information = np.empty((count, p)), np.empty((count, p, p))
    for members, stack in stacks(fit, clusters):
        w = np.linalg.solve(stack.v, stack.x)
        scores[members] = np.einsum("gnp,gn->gp", w, stack.residual)
        information[members] = stack.x.swapaxes(1, 2) @ w
    return scores, information


def stacks(fit: Fit, clusters: Factor) -> Iterator[tuple[np.ndarray, Stack]]:
    """Clusters with as many rows and levels of every factor: which they are, and their stack."""
    problem, f = fit.optimum.problem, fit.optimum.factorisation
    residual = problem.y - problem.x @ f.beta
    order = np.argsort(clusters.codes, kind="stable")
    sizes = np.bincount(clusters.codes)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    local = [_local_levels(g.codes, clusters.codes) for g in problem.groupings]
    make_up = np.column_stack([sizes, *(counts for _, counts in local)])
    kinds, kind_of = np.unique(make_up, axis=0, return_inverse=True)
    for k, (size, *levels) in enumerate(kinds):
        members = np.flatnonzero(kind_of.ravel() == k)
        rows = order[starts[members][:, None] + np.arange(size)]
        parts = []
        for t, (g, count) in enumerate(zip(problem.groupings, levels, strict=True)):
            moved = g.z @ _root(f.sigmas[fit.optimum.place(t)])
            parts.append(_spread(moved[rows], local[t][0][rows], int(count)))
        factor = np.concatenate([*parts, np.zeros((*rows.shape, 0))], axis=2)
        yield members, Stack(factor, problem.x[rows], residual[rows], _noise(fit, rows))


def _noise(fit: Fit, rows: np.ndarray) -> np.ndarray | None:
    """R (g, n, n) of stacked rows (g, n), relative to sigma^2, if it has a structure."""
    layout = fit.optimum.layout
    if layout.residual is None:
        return None
    return layout.residual.bind(rows).value(layout.residual_part(fit.optimum.at.phi))


def _local_levels(codes: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row's level counted within its cluster (n,), and the number of levels a cluster (G,)."""
    pairs, where = np.unique(np.stack([clusters, codes]), axis=1, return_inverse=True)
    counts = np.bincount(pairs[0])
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return where.ravel() - first[clusters], counts


def _spread(values: np.ndarray, level: np.ndarray, levels: int) -> np.ndarray:
    """values (g, n, K) in the columns of their level: (g, n, levels K)."""
    g, n, k = values.shape
    out = np.zeros((g, n, levels, k))
    out[np.arange(g)[:, None], np.arange(n), level] = values
    return out.reshape(g, n, levels * k)


def _root(sigma: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(sigma)
    return vectors * np.sqrt(np.maximum(values, 0.0))
