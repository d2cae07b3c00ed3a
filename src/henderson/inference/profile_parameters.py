"""The covariance parameters of a structured model as people read them, as functions of the engine's
own: standard deviations, correlations, ranges, ratios."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from henderson.inference.constrained import Model
from henderson.natural import is_structured

if TYPE_CHECKING:
    from henderson.design import Design, TermSlot
    from henderson.engine.optimise import Optimum


@dataclass(frozen=True)
class Parameter:
    """A parameter as people read it: a function of the entries `where` of x, as `Model` has it.

    effects : the two that a correlation of an unstructured term is of, or None.
    """

    name: str
    kind: str
    where: np.ndarray
    read: Callable[[np.ndarray], float]
    effects: tuple[int, int] | None = None

    def of(self, x: np.ndarray) -> float:
        return self.read(x[self.where])

    def alone(self, x: np.ndarray) -> int | None:
        """The one entry of x that it depends on, if there is just one."""
        own, moved = x[self.where], []
        for a in range(len(own)):
            step = 1e-3 * np.eye(len(own))[a]
            if any(self.read(own + s) != self.read(own) for s in (step, -step)):
                moved.append(int(self.where[a]))
        return moved[0] if len(moved) == 1 else None


def parameters(design: Design, model: Model) -> Iterator[Parameter]:
    """Of the random terms in the formula's order, then of the residuals."""
    ml, layout = model.optimum, model.layout
    ends = np.cumsum([0, *(len(part) for part in layout.split(ml.at.phi))])
    places = {
        (ml.cross.order[f], term.columns.start): i for i, (f, term) in enumerate(layout.terms)
    }
    last = ends[-1] + layout.n_residual
    for t, factor in enumerate(design.random):
        for slot in factor.slots:
            i = places[t, slot.columns.start]
            where = np.append(np.arange(ends[i], ends[i + 1]), last)
            yield from _of_term(slot, factor.name, partial(_covariance, model, i), where)
    if layout.residual is not None:
        where = np.arange(ends[-1], last)
        for part, own in layout.residual.natural(ml.at.phi[where]).items():
            for name in own:
                read = partial(_of_residual, ml, part, name)
                yield Parameter(f"{name}|{part}", "structure", where, read)


def _covariance(model: Model, i: int, x: np.ndarray) -> np.ndarray:
    """Covariance (K, K) of a term, in the caller's units, from its part of phi and u."""
    ml = model.optimum
    place, term = ml.layout.terms[i]
    factor = ml.cross.order[place]
    back = np.linalg.inv(ml.problem.r_z[factor][term.columns, term.columns])
    sigma = back @ term.structure.sigma(x[:-1]) @ back.T
    return model.s2(float(x[-1])) * ml.problem.y_scale**2 * sigma


def _of_term(
    slot: TermSlot, group: str, covariance: partial[np.ndarray], where: np.ndarray
) -> Iterator[Parameter]:
    model, i = covariance.args
    ml: Optimum = model.optimum
    structure = ml.layout.terms[i][1].structure
    if is_structured(slot) and slot.term.structure != "known":

        def natural(name: str, x: np.ndarray) -> float:
            return structure.natural(x[:-1], covariance(x), slot.names)[name]

        start = np.append(ml.at.phi[where[:-1]], 0.0)
        for name in structure.natural(start[:-1], covariance(start), slot.names):
            kind = "sd" if name.startswith("sd") else "structure"
            yield Parameter(f"{name}|{slot.term.text}", kind, where, partial(natural, name))
        return
    sizes = range(len(slot.names))
    for a in sizes:
        read = partial(_sd, covariance, a)
        yield Parameter(f"sd_{slot.names[a]}|{group}", "sd", where, read)
    if slot.term.structure == "diag":
        return
    for a in sizes:
        for b in sizes[a + 1 :]:
            name = f"cor_{slot.names[b]}.{slot.names[a]}|{group}"
            read = partial(_correlation, covariance, a, b)
            yield Parameter(name, "cor", where, read, (a, b))


def _sd(covariance: partial[np.ndarray], a: int, x: np.ndarray) -> float:
    return float(np.sqrt(max(covariance(x)[a, a], 0.0)))


def _correlation(covariance: partial[np.ndarray], a: int, b: int, x: np.ndarray) -> float:
    c = covariance(x)
    spread = float(np.sqrt(max(c[a, a], 0.0) * max(c[b, b], 0.0)))
    return float(c[a, b]) / spread if spread > 0.0 else np.nan


def _of_residual(ml: Optimum, part: str, name: str, phi: np.ndarray) -> float:
    assert ml.layout.residual is not None
    return ml.layout.residual.natural(phi)[part][name]
