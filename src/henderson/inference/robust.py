"""Cluster-robust covariance of the fixed effects, with small-sample corrections and df.

For independent clusters c with working covariance V_c (the fitted one), N_c = X_c'V_c^-1X_c,
C = (sum N_c)^-1 and scores s_c = X_c'V_c^-1(y_c - X_c beta), the estimators are

    C [ sum_c t_c t_c' ] C,    t_c = (I - N_c C)^-a s_c,

a = 0 for CR0, 1/2 for CR2 (Bell & McCaffrey 2002, Survey Methodology 28: unbiased if the working
covariance is right) and 1 for CR3 (the jackknife, but for centring); CR1 is CR0 times G / (G - 1).
Only p x p matrices occur: with V_c = D'D and Q = D^-T X_c, X_c'V_c^-1 D'(I - Q C Q')^-1/2 D^-T is
(I - N_c C)^-1/2 X_c'V_c^-1, whichever root D is taken. Degrees of freedom are Satterthwaite's for
the variance estimate under the working model (Pustejovsky & Tipton 2018, JBES 36).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from henderson.data.factors import Factor
from henderson.errors import DesignError, FitError
from henderson.inference.clusters import independent_clusters
from henderson.inference.wald import check_level, t_quantile, two_sided

if TYPE_CHECKING:
    import pandas as pd

    from henderson.fit import Fit

Kind = Literal["CR0", "CR1", "CR2", "CR3"]
POWERS = {"CR0": 0.0, "CR1": 0.0, "CR2": 0.5, "CR3": 1.0}
# One less an eigenvalue of N_c C below this: only cluster c tells of that direction.
ALONE = 1e-10


@dataclass(frozen=True, eq=False)
class RobustCovariance:
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

    def __str__(self) -> str:
        heading = f"Cluster-robust tests ({self.kind}, {self.n_clusters} clusters)"
        return f"{heading}\n{self.to_frame().to_string()}"


def cov_robust(fit: Fit, kind: Kind = "CR2", cluster: Any = None) -> RobustCovariance:
    """See `Fit.cov_robust`.

    Raises
    ------
    DesignError : unknown kind; clusters that are not independent under the model.
    FitError : structured residuals.
    """
    import pandas as pd

    if kind not in POWERS:
        raise DesignError(f"Unknown kind '{kind}' of robust covariance: {', '.join(POWERS)}.")
    if fit.optimum.layout.residual is not None:
        raise FitError("Robust covariances are worked out here for independent residuals.")
    clusters = independent_clusters(fit, cluster)
    scores, information = cluster_sums(fit, clusters)
    turns = _powers(information, POWERS[kind])
    turned = np.einsum("cpq,cq->cp", turns, scores)
    c = fit.optimum.factorisation.c
    count = len(clusters.levels)
    scale = count / (count - 1.0) if kind == "CR1" else 1.0
    cov = scale * c @ (turned.T @ turned) @ c
    back = fit.optimum.problem.contrast(np.eye(len(c)))
    df = [_df(row, turns, information, c) for row in back]
    names = fit.design.names
    return RobustCovariance(
        estimate=fit.params,
        cov=pd.DataFrame(back @ cov @ back.T, index=names, columns=names),
        df=pd.Series(df, index=names, name="df", dtype=float),
        kind=kind,
        n_clusters=count,
    )


def cluster_sums(fit: Fit, clusters: Factor) -> tuple[np.ndarray, np.ndarray]:
    """s_c (G, p) and N_c (G, p, p), in standard coordinates.

    V^-1X = X - sum_t Z_t Sigma_t Z_t'V^-1X and V^-1(y - X beta) = y - X beta - Z b, row by row.
    """
    optimum = fit.optimum
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


def _powers(information: np.ndarray, power: float) -> np.ndarray:
    """(I - N_c C)^-power (G, p, p), C the inverse of the sum of all N_c.

    A direction of which only cluster c tells has no residual there, and is left out.
    """
    lower = np.linalg.cholesky(information.sum(axis=0))
    half = np.linalg.inv(lower)
    values, vectors = np.linalg.eigh(half @ information @ half.T)
    left = 1.0 - values
    known = left > ALONE
    scaled = np.where(known, np.where(known, left, 1.0) ** -power, 0.0)
    middle = (vectors * scaled[:, None, :]) @ vectors.swapaxes(1, 2)
    return lower @ middle @ half


def _df(row: np.ndarray, turns: np.ndarray, information: np.ndarray, c: np.ndarray) -> float:
    """Degrees of freedom of the variance estimate of row'beta.

    It is sum_c (g_c'e_c)^2 with, under the working model, Cov(g_c'e_c, g_d'e_d) =
    delta_cd a_c - b_c'C b_d; if O is this matrix, df = tr(O)^2 / tr(O^2).
    """
    left = np.einsum("p,cpq->cq", c @ row, turns)
    b = np.einsum("cq,cqp->cp", left, information)
    a = np.einsum("cp,cp->c", b, left)
    own = np.einsum("cp,pq,cq->c", b, c, b)
    cross = c @ (b.T @ b)
    total = float(np.sum(a - own))
    squares = float(np.sum(a**2) - 2.0 * np.sum(a * own) + np.sum(cross * cross.T))
    return total**2 / squares if squares > 0.0 else np.nan
