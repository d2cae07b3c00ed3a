"""Many fits of one model: the shared design, and what each fit says about the random effects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from henderson.engine.many import ManyFits, fit_many, natural_names, suits
from henderson.engine.optimise import RULES
from henderson.engine.problem import Grouping
from henderson.errors import FitError
from henderson.inference.cholesky import lower_factor
from henderson.model import fit_design, problem

if TYPE_CHECKING:
    from henderson.design import Design
    from henderson.fit import Fit


@dataclass(frozen=True)
class TermNames:
    """A term for reports: its factor (position, name), columns there, their names, structure.

    natural : names of the parameters, "sd" and "rho", of a structure that has fewer than its
        covariance has entries; none for others. text : the term as it is written.
    """

    factor: int
    group: str
    columns: slice
    names: tuple[str, ...]
    structure: str
    natural: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Shared:
    """All of a model but the response.

    x (n, p); weights, offset (n,) or None; r_z : the way to standard coordinates per factor.
    """

    x: np.ndarray
    groupings: tuple[Grouping, ...]
    weights: np.ndarray | None
    offset: np.ndarray | None
    reml: bool
    names: tuple[str, ...]
    terms: tuple[TermNames, ...]
    r_z: tuple[np.ndarray, ...]

    @cached_property
    def compiled(self) -> bool:
        """Whether threads help: other models are fitted one by one, in Python."""
        return suits(self.x, self.groupings)

    def fit(self, y: np.ndarray, contrasts: np.ndarray | None = None, threads: int = 1) -> ManyFits:
        """Fit every column of y (n, m)."""
        rows = y if self.offset is None else y - self.offset[:, None]
        return fit_many(
            rows, self.x, self.groupings, self.weights, self.reml,
            contrasts=contrasts, threads=threads,
        )  # fmt: skip


def shared_of(fit: Fit) -> Shared:
    """The shared part of a fit's model."""
    return shared_design(fit.design, fit.optimum.reml)


@dataclass(frozen=True)
class Again:
    """Fit the same model to other responses one by one: for models that `Shared` does not cover."""

    design: Design
    reml: bool

    def each(self, y: np.ndarray) -> Iterator[Fit | str]:
        """The fit of every column of y (n, m), or what is wrong with it."""
        for response in y.T:
            try:
                yield fit_design(replace(self.design, y=response), "REML" if self.reml else "ML")
            except FitError as error:
                yield str(error)

    def criteria(self, y: np.ndarray) -> np.ndarray:
        """The criterion of every fit (m,), NaN where there is none."""
        return np.array([np.nan if isinstance(f, str) else f.criterion for f in self.each(y)])


def is_structured(fit: Fit) -> bool:
    """Whether the residuals have a structure, which the shared fits leave out."""
    return fit.optimum.layout.residual is not None


def shared_design(design: Design, reml: bool) -> Shared:
    """The shared part of a design's model."""
    anything = np.random.default_rng(0).normal(size=design.n)
    standard = problem(replace(design, y=anything, offset=None))
    groupings = tuple(
        replace(g, z=f.z) for f, g in zip(design.random, standard.groupings, strict=True)
    )
    terms = tuple(
        TermNames(
            t,
            f.name,
            slot.columns,
            slot.names,
            slot.term.structure,
            natural_names(term, slot.names),
            slot.term.text,
        )
        for t, (f, g) in enumerate(zip(design.random, groupings, strict=True))
        for slot, term in zip(f.slots, g.terms, strict=True)
    )
    return Shared(
        design.X, groupings, design.weights, design.offset, reml, design.names, terms, standard.r_z
    )


@dataclass(frozen=True)
class Components:
    """Covariance parameters of m fits.

    sd (m, k), cor (m, c; NaN where an effect does not vary) of the terms without structure,
    natural (m, s; "sd|ar1(1 | g)") of those with one, theta (m, t), with their names;
    singular (m,).
    """

    sd: np.ndarray
    sd_names: tuple[str, ...]
    cor: np.ndarray
    cor_names: tuple[str, ...]
    natural: np.ndarray
    natural_names: tuple[str, ...]
    theta: np.ndarray
    theta_names: tuple[str, ...]
    singular: np.ndarray


def components(
    shared: Shared, sigmas: tuple[np.ndarray, ...], sigma2: np.ndarray, natural: np.ndarray
) -> Components:
    """What relative covariances (m, K, K) per factor and residual variances (m,) amount to.

    natural : (m, s) parameters of the structured terms, term by term.
    """
    m = len(sigma2)
    sd, cor, theta = _Columns(m), _Columns(m), _Columns(m)
    singular = np.zeros(m, dtype=bool)
    for term in shared.terms:
        block = sigmas[term.factor][:, term.columns, term.columns]
        back = shared.r_z[term.factor][term.columns, term.columns]
        singular |= _is_singular(back @ block @ back.T)
        if term.natural:
            continue
        _add_sds(sd, term, block, sigma2)
        if term.structure != "diag":
            _add_correlations(cor, term, block)
        _add_theta(theta, term, block)
    structured = [(name, term.text) for term in shared.terms for name in term.natural]
    for (name, text), values in zip(structured, natural.T, strict=True):
        theta.add(f"{text}.{name}", values)
    return Components(
        sd.array, tuple(sd.names), cor.array, tuple(cor.names),
        natural, tuple(f"{name}|{text}" for name, text in structured),
        theta.array, tuple(theta.names), singular,
    )  # fmt: skip


class _Columns:
    """Named columns of m rows."""

    def __init__(self, m: int) -> None:
        self.names: list[str] = []
        self._values: list[np.ndarray] = []
        self._m = m

    def add(self, name: str, values: np.ndarray) -> None:
        self.names.append(name)
        self._values.append(values)

    @property
    def array(self) -> np.ndarray:
        return np.array(self._values).reshape(len(self.names), self._m).T


def _add_sds(to: _Columns, term: TermNames, block: np.ndarray, sigma2: np.ndarray) -> None:
    for i, name in enumerate(term.names):
        to.add(f"sd_{name}|{term.group}", np.sqrt(sigma2 * np.maximum(block[:, i, i], 0.0)))


def _add_correlations(to: _Columns, term: TermNames, block: np.ndarray) -> None:
    spread = np.sqrt(np.maximum(np.einsum("mkk->mk", block), 0.0))
    for i, first in enumerate(term.names):
        for j in range(i + 1, len(term.names)):
            outer = spread[:, i] * spread[:, j]
            values = np.full(len(block), np.nan)
            np.divide(block[:, i, j], outer, out=values, where=outer > 0.0)
            to.add(f"cor_{term.names[j]}.{first}|{term.group}", np.clip(values, -1.0, 1.0))


def _add_theta(to: _Columns, term: TermNames, block: np.ndarray) -> None:
    lower = lower_factor(block)
    for j, column in enumerate(term.names):
        for i in range(j, len(term.names)):
            if i > j and term.structure == "diag":
                continue
            name = f"{term.group}.{term.names[i]}" + ("" if i == j else f".{column}")
            to.add(name, lower[:, i, j])


def _is_singular(standard: np.ndarray) -> np.ndarray:
    """Which Sigma (m, K, K) in standard coordinates are of deficient rank; NaN counts as not."""
    good = np.isfinite(standard).all(axis=(1, 2))
    values = np.linalg.eigvalsh(np.where(good[:, None, None], standard, 1.0))
    return good & (values[:, 0] <= RULES.singular * np.maximum(1.0, values[:, -1]))
