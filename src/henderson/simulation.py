"""New responses from a model: from a fit, or from a formula and parameters of one's choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from henderson.data.tables import to_frame
from henderson.design import Design, RandomFactor, build
from henderson.errors import DesignError, did_you_mean
from henderson.formula import parse

if TYPE_CHECKING:
    import pandas as pd

    from henderson.fit import Fit

RANDOM = ("new", "conditional")


@dataclass(frozen=True)
class Effects:
    """The random effects of a factor: `codes` (n,), `z` (n, K), `root` R with Cov(b_j) = R R'.

    between : (J, J) L, with L L' the covariance between levels that are not independent.
    """

    codes: np.ndarray
    n_levels: int
    z: np.ndarray
    root: np.ndarray
    between: np.ndarray | None = None

    @staticmethod
    def of(factor: RandomFactor, root: np.ndarray) -> Effects:
        """Of a factor of a design."""
        between = None if factor.known is None else factor.known.root
        return Effects(factor.codes, len(factor.levels), factor.z, root, between)

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Z b (n, count) for new effects."""
        levels, size = self.n_levels, len(self.root)
        effects = rng.standard_normal((levels, count, size)) @ self.root.T
        if self.between is not None:
            effects = np.tensordot(self.between, effects, axes=1)
        out = self.z[:, :1] * effects[self.codes, :, 0]
        for k in range(1, size):
            out += self.z[:, k : k + 1] * effects[self.codes, :, k]
        return out


@dataclass(frozen=True)
class Groups:
    """Correlated residuals: `rows` (g, s) of groups of s, `root` (g, s, s) of their covariances."""

    rows: np.ndarray
    root: np.ndarray


@dataclass(frozen=True)
class Process:
    """What responses are drawn from: `mean` (n,), random effects, residuals.

    sd : (n,) of the residuals; groups : those of rows whose residuals are not independent, relative
        to sd.
    """

    mean: np.ndarray
    effects: tuple[Effects, ...]
    sd: np.ndarray
    groups: tuple[Groups, ...] = ()

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """`count` responses, (n, count)."""
        out = rng.standard_normal((len(self.mean), count))
        for group in self.groups:
            out[group.rows] = group.root @ out[group.rows]
        out *= self.sd[:, None]
        out += self.mean[:, None]
        for effects in self.effects:
            out += effects.draw(rng, count)
        return out


def simulate_fit(fit: Fit, nsim: int, seed: Any, random: str) -> pd.DataFrame:
    """See `Fit.simulate`."""
    check_count(nsim)
    draws = process_of(fit, random).draw(np.random.default_rng(seed), nsim)
    return _frame(draws, fit.design)


def process_of(fit: Fit, random: str = "new", beta: np.ndarray | None = None) -> Process:
    """The process that a fit has estimated; `beta` (p,) replaces its fixed effects.

    Raises
    ------
    DesignError : `random` is neither "new" nor "conditional".
    """
    if random not in RANDOM:
        raise DesignError(f"random is 'new' or 'conditional', not {random!r}.")
    mean = _fixed_part(fit.design, fit.optimum.beta if beta is None else beta)
    effects = tuple(
        Effects.of(f, _root(fit.scale * s))
        for f, s in zip(fit.design.random, fit.optimum.sigmas, strict=True)
    )
    if random == "conditional":
        for t, e in enumerate(effects):
            mean = mean + np.einsum("nk,nk->n", e.z, fit.optimum.modes(t)[e.codes])
        effects = ()
    return Process(mean, effects, _residual_sd(fit.design, fit.sigma), _residual_groups(fit))


def _residual_groups(fit: Fit) -> tuple[Groups, ...]:
    """The groups of a structured residual, those of one size together."""
    layout = fit.optimum.layout
    if layout.residual is None:
        return ()
    phi = layout.residual_part(fit.optimum.at.phi)
    order = np.argsort(layout.residual.codes, kind="stable")
    _, sizes = np.unique(layout.residual.codes, return_counts=True)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    out = []
    for size in np.unique(sizes):
        rows = order[starts[sizes == size][:, None] + np.arange(size)]
        out.append(Groups(rows, np.linalg.cholesky(layout.residual.bind(rows).value(phi))))
    return tuple(out)


def simulate(
    formula: str,
    data: Any,
    *,
    params: Mapping[str, float] | Sequence[float],
    sigma: float,
    sd: Any = None,
    cov: Any = None,
    nsim: int = 1,
    seed: int | np.random.Generator | None = None,
    weights: Any = None,
    offset: Any = None,
    context: Mapping[str, Any] | None = None,
    matrices: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Draw responses (n, nsim) from a formula with given parameters.

    Parameters
    ----------
    formula : as in `lmm`; the response need not be in the data, and may be left out ("~ x + ...").
    data : the predictors and groups. Rows with a missing value among them are left out.
    params : fixed effects, by name or in the design's order.
    sigma : residual standard deviation; with `weights` w that of a row is sigma / sqrt(w).
    sd : standard deviations of independent random effects: `{"group": 2.0}` for one effect,
        `{"group": {"Intercept": 2.0, "x": 0.5}}` or `{"group": [2.0, 0.5]}` for several; a number
        where the model has one random effect.
    cov : instead of `sd` for some or all groups, covariance matrices:
        `{"group": [[4, 1], [1, 1]]}`.

    Raises
    ------
    DesignError : parameters that are missing, unknown, negative or not a covariance.

    Examples
    --------
    >>> import henderson as hd
    >>> data = {"g": [1, 1, 2, 2, 3, 3], "x": [0, 1, 0, 1, 0, 1]}
    >>> y = hd.simulate("~ x + (1 | g)", data, params={"Intercept": 10, "x": 2}, sd=3, sigma=1,
    ...                 nsim=100, seed=1)
    >>> y.shape
    (6, 100)
    """
    check_count(nsim)
    design = blank_design(
        formula, data, weights=weights, offset=offset, context=context, matrices=matrices
    )
    process = process_from(design, params=params, sigma=sigma, sd=sd, cov=cov)
    return _frame(process.draw(np.random.default_rng(seed), nsim), design)


def blank_design(
    formula: str,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    context: Mapping[str, Any] | None = None,
    matrices: Mapping[str, Any] | None = None,
) -> Design:
    """The design of a formula whose response is yet to come: the rows' numbers stand in for it."""
    text = formula if formula.split("~")[0].strip() else f"response {formula.strip()}"
    parsed = parse(text, frozenset(context or ()))
    table = to_frame(data)
    name = "response"
    while name in table.columns:
        name += "_"
    table = table.assign(**{name: np.arange(len(table), dtype=float)})
    blank = replace(parsed, response=name)
    return build(blank, table, weights=weights, offset=offset, context=context, matrices=matrices)


def process_from(design: Design, *, params: Any, sigma: float, sd: Any, cov: Any) -> Process:
    """The process of a design with given parameters; see `simulate`."""
    if not (np.isfinite(sigma) and sigma > 0.0):
        raise DesignError(f"sigma is a positive number, not {sigma!r}.")
    beta = coefficients(params, design.names)
    roots = _roots(design.random, sd, cov)
    effects = tuple(Effects.of(f, root) for f, root in zip(design.random, roots, strict=True))
    return Process(_fixed_part(design, beta), effects, _residual_sd(design, float(sigma)))


def coefficients(params: Any, names: Sequence[str]) -> np.ndarray:
    """Fixed effects (p,) from a mapping or a sequence.

    Raises
    ------
    DesignError : a name is missing or unknown, or the number is wrong.
    """
    if hasattr(params, "keys"):
        unknown = [k for k in params.keys() if k not in names]  # noqa: SIM118 (a Series too)
        if unknown:
            hint = did_you_mean(unknown[0], names)
            raise DesignError(f"The model has no fixed effect '{unknown[0]}': {hint}")
        missing = [n for n in names if n not in params]
        if missing:
            raise DesignError(f"params says nothing of {', '.join(missing)}: give each a value.")
        return np.array([float(params[n]) for n in names])
    values = np.asarray(params, dtype=float)
    if values.shape != (len(names),):
        raise DesignError(
            f"params has shape {values.shape}; the model has {len(names)} fixed effects: "
            f"{', '.join(names)}."
        )
    return values


def check_count(count: int) -> None:
    if int(count) != count or count < 1:
        raise DesignError(f"The number of simulations is a positive integer, not {count!r}.")


# ---- random effects


def _roots(factors: tuple[RandomFactor, ...], sd: Any, cov: Any) -> list[np.ndarray]:
    names = [f.name for f in factors]
    deviations, covariances = _by_group(sd, factors, "sd"), _by_group(cov, factors, "cov")
    out = []
    for factor in factors:
        if (factor.name in deviations) == (factor.name in covariances):
            which = "both sd and cov" if factor.name in deviations else "neither sd nor cov"
            raise DesignError(
                f"{which} speak of the random effects of '{factor.name}' "
                f"({', '.join(factor.names)}): give one of them. Groups: {', '.join(names)}."
            )
        if factor.name in deviations:
            out.append(np.diag(_deviations(deviations[factor.name], factor)))
        else:
            out.append(_root(_covariance(covariances[factor.name], factor)))
    return out


def _by_group(given: Any, factors: tuple[RandomFactor, ...], word: str) -> dict[str, Any]:
    """`given` by grouping factor; a bare value is that of the only one."""
    if given is None:
        return {}
    names = [f.name for f in factors]
    if not isinstance(given, Mapping):
        if len(names) == 1:
            return {names[0]: given}
        example = names[0] if names else "g"
        raise DesignError(f"{word} is a mapping from groups: {{'{example}': ...}}.")
    unknown = [k for k in given if k not in names]
    if unknown:
        raise DesignError(
            f"{word}: the model has no group '{unknown[0]}': {did_you_mean(unknown[0], names)}"
        )
    return dict(given)


def _deviations(given: Any, factor: RandomFactor) -> np.ndarray:
    if isinstance(given, Mapping):
        values = coefficients(given, factor.names)
    else:
        values = np.atleast_1d(np.asarray(given, dtype=float))
    if values.shape != (len(factor.names),) or not (np.isfinite(values) & (values >= 0.0)).all():
        raise DesignError(
            f"sd of '{factor.name}' needs {len(factor.names)} numbers, zero or more, for "
            f"{', '.join(factor.names)}; got {given!r}."
        )
    return values


def _covariance(given: Any, factor: RandomFactor) -> np.ndarray:
    size = len(factor.names)
    values = np.atleast_2d(np.asarray(given, dtype=float))
    good = values.shape == (size, size) and np.isfinite(values).all()
    if good and np.allclose(values, values.T):
        roots = np.linalg.eigvalsh(values)
        if roots[0] >= -1e-10 * max(roots[-1], 0.0):
            return values
    raise DesignError(
        f"cov of '{factor.name}' is a symmetric positive semidefinite matrix ({size} x {size}) of "
        f"{', '.join(factor.names)}."
    )


def _root(cov: np.ndarray) -> np.ndarray:
    """R (K, K) with R R' = cov, of any rank."""
    values, vectors = np.linalg.eigh(cov)
    return vectors * np.sqrt(np.maximum(values, 0.0))


# ---- rows


def _fixed_part(design: Design, beta: np.ndarray) -> np.ndarray:
    mean = design.X @ beta
    return mean if design.offset is None else mean + design.offset


def _residual_sd(design: Design, sigma: float) -> np.ndarray:
    if design.weights is None:
        return np.full(design.n, sigma)
    return sigma / np.sqrt(design.weights)


def _frame(draws: np.ndarray, design: Design) -> pd.DataFrame:
    import pandas as pd

    names = [f"sim_{i}" for i in range(1, draws.shape[1] + 1)]
    return pd.DataFrame(draws, index=design.index, columns=names)
