"""What a fit has to say about itself: each note is a fact and what to do about it."""

from __future__ import annotations

import re

import numpy as np

from henderson.design import Design, RandomFactor, TermSlot
from henderson.engine.optimise import Optimum
from henderson.errors import Note

FEW_LEVELS = 5


def notes(design: Design, optimum: Optimum) -> tuple[Note, ...]:
    """All the notes of a fit, the most important last."""
    found = [*_rows_dropped(design), *_columns_dropped(design), *_few_levels(design)]
    found += [*_formula_notes(design), *_singular(design, optimum), *_convergence(optimum)]
    return tuple(found)


def _rows_dropped(design: Design) -> list[Note]:
    frame = design.frame
    if not frame.n_dropped:
        return []
    where = ", ".join(f"{count} in {name}" for name, count in frame.missing.items() if count)
    one = frame.n_dropped == 1
    return [
        Note(
            "missing",
            f"{frame.n_dropped} row{'' if one else 's'} with missing values "
            f"{'was' if one else 'were'} left out ({where}).",
            f"Impute {'it' if one else 'them'} first if not missing at random.",
        )
    ]


def _columns_dropped(design: Design) -> list[Note]:
    if not design.fixed.dropped:
        return []
    names = ", ".join(design.fixed.dropped)
    return [
        Note(
            "rank",
            f"Fixed effects that the others determine were dropped: {names}.",
            "Take them out of the formula, or drop another one of the set.",
        )
    ]


def _few_levels(design: Design) -> list[Note]:
    return [
        Note(
            "few levels",
            f"{len(f.levels)} levels of {f.name} are few to estimate a variance from.",
            f"Read the variance of {f.name} with caution; a fixed effect makes no such claim.",
        )
        for f in design.random
        if len(f.levels) < FEW_LEVELS
    ]


def _formula_notes(design: Design) -> list[Note]:
    """`||` decorrelates columns, so the model depends on their coding."""
    return [
        Note(
            "coding",
            f"{slot.term.text} gives {', '.join(slot.names)} a variance each and no correlation: "
            "the model depends on the coding and origin of the columns.",
            "Centre numeric predictors at a meaningful value.",
        )
        for factor in design.random
        for slot in factor.slots
        if slot.term.structure == "diag" and len(slot.names) > 1
    ]


def _singular(design: Design, optimum: Optimum) -> list[Note]:
    notes = []
    ranks = iter(_ranks_in_formula_order(design, optimum))
    for t, factor in enumerate(design.random):
        for slot in factor.slots:
            rank, size = next(ranks)
            if rank < size:
                sigma = optimum.sigmas[t][slot.columns, slot.columns]
                notes.append(_singular_note(factor, slot, sigma))
    return notes


def _ranks_in_formula_order(design: Design, optimum: Optimum) -> list[tuple[int, int]]:
    by_factor: dict[int, list[tuple[int, int]]] = {t: [] for t in range(len(design.random))}
    for (place, _), rank in zip(optimum.layout.terms, optimum.ranks, strict=True):
        by_factor[optimum.cross.order[place]].append(rank)
    return [rank for t in by_factor for rank in by_factor[t]]


def _singular_note(factor: RandomFactor, slot: TermSlot, sigma: np.ndarray) -> Note:
    """Say which variance is on the boundary and which simpler terms to try."""
    variances = np.diag(sigma) * (factor.z[:, slot.columns] ** 2).mean(axis=0)
    zero = variances <= 1e-10 * max(1.0, float(variances.max(initial=0.0)))
    if len(slot.names) == 1 or zero.all():
        return Note(
            "singular",
            f"The variance of {slot.term.text} is estimated as zero: "
            f"levels of {factor.name} differ no more than the residuals explain.",
            "The fit is that of the model without this term; drop it, "
            "or keep it if the design demands it.",
        )
    return Note("singular", _boundary_fact(slot, sigma, zero), _simpler(slot))


def _boundary_fact(slot: TermSlot, sigma: np.ndarray, zero: np.ndarray) -> str:
    names = slot.names
    if zero.any():
        which = ", ".join(n for n, z in zip(names, zero, strict=True) if z)
        return f"Singular fit: in {slot.term.text} the variance of {which} is zero."
    if len(names) == 2:
        cor = sigma[0, 1] / np.sqrt(sigma[0, 0] * sigma[1, 1])
        return (
            f"Singular fit: in {slot.term.text} the {names[1]} variance is on the boundary, "
            f"correlation {np.sign(cor):.0f}."
        )
    return (
        f"Singular fit: in {slot.term.text} the random effects {', '.join(names)} are linearly "
        "dependent."
    )


def _simpler(slot: TermSlot) -> str:
    others = [n for n in slot.names if n != "Intercept"]
    if "Intercept" not in slot.names or not others:
        return f"Drop a column of {slot.term.text}, or give it fewer parameters."
    lhs = re.sub(r"^\s*1\s*\+\s*", "", slot.term.lhs)
    drop = "slope" if len(others) == 1 else "slopes"
    group = slot.term.group_text
    return f"Drop the {drop}, (1 | {group}), or decorrelate, ({lhs} || {group})."


def _convergence(optimum: Optimum) -> list[Note]:
    verdict = optimum.verdict
    if verdict.converged:
        return []
    return [
        Note(
            "convergence",
            "The optimiser stopped before an optimum: another step promises "
            f"{verdict.decrease:.2g} in the criterion.",
            "Simplify the random effects or rescale the predictors, and look at the data for "
            "groups with no variation.",
        )
    ]
