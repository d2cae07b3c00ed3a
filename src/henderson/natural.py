"""The parameters of covariance structures as people read them: sd, rho, range, power."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from henderson.design import Design, TermSlot
from henderson.engine.optimise import Optimum

# Variances and correlations of these are all there is to say of them: `varcorr` says it.
PLAIN = frozenset({"us", "diag"})
RESIDUAL = "Residual"


@dataclass(frozen=True)
class Structured:
    """A structured random term, or a part of the residuals' structure.

    Attributes
    ----------
    text : as it is written; group : its grouping factor, or "Residual".
    names : of the term's columns, none for residuals.
    values : standard deviations in units of the response, correlations, ranges in units of the
        positions, ratios of standard deviations.
    """

    text: str
    group: str
    names: tuple[str, ...]
    values: dict[str, float]

    @property
    def is_residual(self) -> bool:
        return self.group == RESIDUAL and not self.names


def is_structured(slot: TermSlot) -> bool:
    """A term whose covariance has fewer parameters than entries."""
    return slot.term.structure not in PLAIN or slot.strata > 1


def structured_parts(design: Design, optimum: Optimum) -> tuple[Structured, ...]:
    """The structured terms in the formula's order, then the residuals' correlation and variances.

    Empty where every term is unstructured or diagonal and the residuals are independent.
    """
    residual = optimum.layout.residual
    parts = [*_terms(design, optimum)]
    if residual is None:
        return tuple(parts)
    found = residual.natural(optimum.layout.residual_part(optimum.at.phi))
    taken = {part.text for part in parts}
    for text, values in found.items():
        label = f"{text} of the residuals" if text in taken else text
        parts.append(Structured(label, RESIDUAL, (), values))
    return tuple(parts)


def _terms(design: Design, optimum: Optimum) -> Iterator[Structured]:
    """phi stands factor by factor in the engine's order, and term by term within."""
    layout = optimum.layout
    pieces: dict[int, list] = {t: [] for t in range(len(design.random))}
    for (place, term), phi in zip(layout.terms, layout.split(optimum.at.phi), strict=True):
        pieces[optimum.cross.order[place]].append((term.structure, phi))
    for t, factor in enumerate(design.random):
        for slot, (structure, phi) in zip(factor.slots, pieces[t], strict=True):
            if is_structured(slot):
                sigma = optimum.sigmas[t][slot.columns, slot.columns]
                values = structure.natural(phi, optimum.sigma2 * sigma, slot.names)
                yield Structured(slot.term.text, factor.name, slot.names, values)
