"""Structured residuals by brute force: R written out from the parameters as people read them.

    R[i, j] = sd_i sd_j C(position_i, position_j)   within a group, zero between groups

with the formulas of Pinheiro and Bates (2000), section 5.2 and 5.3, written here once more. What
follows from R is the work of `oracle`, or of differences in the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import oracle
import pandas as pd
from covariance.differences import differences

from henderson.engine.optimise import Evaluated, Optimum
from henderson.fit import Fit

Values = Mapping[str, float]


def correlation_matrix(name: str, values: Values, at: np.ndarray) -> np.ndarray:
    """C (n, n) of rows at `at` (n, d), all of them one group."""
    apart = np.sqrt(((at[:, None] - at) ** 2).sum(axis=-1))
    if name == "cs":
        c = np.full(apart.shape, values["rho"])
    elif name == "ar1":
        c = np.sign(values["rho"]) ** apart * np.abs(values["rho"]) ** apart
    elif name == "car1":
        c = values["rho"] ** apart
    elif name == "toep":
        c = np.array([1.0, *values.values()])[apart.astype(int)]
    elif name == "us":
        c = _from_pairs(values, at[:, 0])
    else:
        c = (1.0 - values.get("nugget", 0.0)) * _fall(name, apart / values["range"])
    return np.where(np.eye(len(at), dtype=bool), 1.0, c)


def _fall(name: str, x: np.ndarray) -> np.ndarray:
    shapes: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "exp": lambda x: np.exp(-x),
        "gau": lambda x: np.exp(-(x**2)),
        "lin": lambda x: np.maximum(1.0 - x, 0.0),
        "ratio": lambda x: 1.0 / (1.0 + x**2),
        "spher": lambda x: np.where(x < 1.0, 1.0 - 1.5 * x + 0.5 * x**3, 0.0),
    }
    return shapes[name](x)


def _from_pairs(values: Values, visits: np.ndarray) -> np.ndarray:
    """Parameters named rho[a,b], a the earlier visit."""
    c = np.ones((len(visits), len(visits)))
    for i, a in enumerate(visits):
        for j, b in enumerate(visits):
            if a < b:
                c[i, j] = c[j, i] = values[f"rho[{a:g},{b:g}]"]
    return c


def deviations(name: str, values: Values, x: np.ndarray) -> np.ndarray:
    """Relative standard deviations (n,) of rows with covariate x."""
    if name == "ident":
        return np.array([values[level if isinstance(level, str) else f"{level:g}"] for level in x])
    if name == "power":
        return np.abs(x) ** values["power"]
    if name == "exp":
        return np.exp(values["expon"] * x)
    if name == "constpower":
        return values["const"] + np.abs(x) ** values["power"]
    return np.sqrt(x)


def call(text: str) -> tuple[str, str, str]:
    """ "ar1(t | g, nugget=True)" is ("ar1", "t", "g")."""
    name, _, inner = text.partition("(")
    position, _, group = inner.removesuffix(")").partition(",")[0].partition("|")
    return name, position.strip(), group.strip()


@dataclass(frozen=True)
class Brute:
    """A fit beside its dense twin; phi (m,) are the fit's internal parameters."""

    fit: Fit
    data: pd.DataFrame
    correlation: str = ""
    variance: str = ""

    def optimum(self, phi: np.ndarray) -> Optimum:
        """The fit's optimum moved to phi."""
        o = self.fit.optimum
        return replace(o, at=Evaluated(o.cross, o.layout, o.reml, phi))

    def relative(self, phi: np.ndarray) -> np.ndarray:
        """R (n, n) in units of sigma^2."""
        layout, n = self.fit.optimum.layout, len(self.data)
        assert layout.residual is not None
        natural, r = layout.residual.natural(layout.residual_part(phi)), np.eye(n)
        for text, values in natural.items():
            name, position, group = call(text)
            if text == self.correlation:
                r = self._correlated(name, values, position, group)
        for text, values in natural.items():
            name, covariate, _ = call(text)
            if text != self.correlation:
                sd = deviations(name, values, self.data[covariate].to_numpy())
                r = sd[:, None] * r * sd
        return r

    def _correlated(self, name: str, values: Values, position: str, group: str) -> np.ndarray:
        columns = [c.strip() for c in position.split("+")]
        order = self.data.groupby(group).cumcount().to_numpy()[:, None]
        at = order if columns == ["1"] else self.data[columns].to_numpy(float)
        codes = self.data[group].to_numpy()
        return (codes[:, None] == codes) * correlation_matrix(name, values, at)

    @cached_property
    def blocks(self) -> tuple[oracle.Block, ...]:
        return tuple(oracle.block(f.codes, f.z, len(f.levels)) for f in self.fit.design.random)

    def solution(self, phi: np.ndarray) -> oracle.Solution:
        design = self.fit.design
        problem = oracle.Problem(
            design.y,
            design.X,
            self.blocks,
            correlation=self.relative(phi),
            reml=self.fit.optimum.reml,
        )
        return oracle.solve(problem, self.optimum(phi).sigmas)

    # ---- by differences

    def gradient(self, phi: np.ndarray) -> np.ndarray:
        return differences(lambda p: np.array(self.solution(p).criterion), phi, 1e-3)

    def hessian(self, phi: np.ndarray) -> np.ndarray:
        return differences(self.gradient, phi, 3e-3)

    def satterthwaite(self, phi: np.ndarray, contrast: np.ndarray) -> float:
        """df = 2 f^2 / (g'Ag) with the Hessian of the full criterion in (phi, log s2)."""
        s2 = np.log(self.solution(phi).sigma2)

        def criterion(tau: np.ndarray) -> np.ndarray:
            s = self.solution(tau[:-1])
            value = np.linalg.slogdet(s.V)[1] + s.problem.nu * tau[-1]
            value += s.rss * np.exp(-tau[-1])
            return np.array(value - (np.linalg.slogdet(s.C)[1] if s.problem.reml else 0.0))

        def variance(tau: np.ndarray) -> np.ndarray:
            return np.array(np.exp(tau[-1]) * contrast @ self.solution(tau[:-1]).C @ contrast)

        tau = np.append(phi, s2)
        hessian = differences(lambda t: differences(criterion, t, 1e-3), tau, 1e-2)
        g, f = differences(variance, tau, 1e-3), float(variance(tau))
        return 2.0 * f**2 / float(g @ (2.0 * np.linalg.inv(hessian)) @ g)

    def kenward_roger(self, phi: np.ndarray) -> oracle.KenwardRoger:
        """The 1997 formulas, V and its derivatives by differences, the second ones included.

        Parameters: the entries of sigma^2 Sigma, then phi of the residuals, then sigma^2. (The
        random terms here are unstructured or diagonal.)
        """
        o, x = self.optimum(phi), self.fit.design.X
        m = o.layout.n_residual
        s2 = self.solution(phi).sigma2
        free = oracle.coordinates([s2 * s for s in o.sigmas])
        gamma = np.concatenate([free, phi[len(phi) - m :], [s2]])

        def v(g: np.ndarray) -> np.ndarray:
            inner = np.concatenate([phi[: len(phi) - m], g[len(free) : -1]])
            out = g[-1] * self.relative(inner)
            if not self.blocks:
                return out
            sigmas = oracle.from_coordinates(g[: len(free)], [b.size for b in self.blocks])
            return out + sum(b.outer(s) for b, s in zip(self.blocks, sigmas, strict=True))

        steps = 1e-3
        first = differences(v, gamma, steps)
        second = differences(lambda g: differences(v, g, steps), gamma, steps)
        return adjusted(x, v(gamma), first, second)


def adjusted(
    x: np.ndarray, v: np.ndarray, first: np.ndarray, second: np.ndarray
) -> oracle.KenwardRoger:
    """Kenward and Roger (1997), section 2: V (n, n), V_i (k, n, n), V_ij (k, k, n, n)."""
    inverse = np.linalg.inv(v)
    phi = np.linalg.inv(x.T @ inverse @ x)
    middle = inverse - inverse @ x @ phi @ x.T @ inverse
    k = range(len(first))
    left = [x.T @ inverse @ part for part in first]
    p = [-part @ inverse @ x for part in left]
    q = [[a @ inverse @ b.T for b in left] for a in left]
    r = [[x.T @ inverse @ second[i, j] @ inverse @ x for j in k] for i in k]
    products = [middle @ part for part in first]
    w = 2.0 * np.linalg.inv([[np.sum(a * b.T) for b in products] for a in products])
    inner = sum(w[i, j] * (q[i][j] - p[i] @ phi @ p[j] - r[i][j] / 4.0) for i in k for j in k)
    return oracle.KenwardRoger(phi + 2.0 * phi @ inner @ phi, phi, w, tuple(p))
