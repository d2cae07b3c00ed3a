"""Random effects group by group, with the names that statsmodels gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from henderson.design import RandomFactor, TermSlot
from henderson.fit import Fit
from henderson.interop.statsmodels.components import Component
from henderson.interop.statsmodels.model import MixedLM


@dataclass(frozen=True)
class Effects:
    """Every random effect of the model, q in all.

    Parameters
    ----------
    names : (q,).
    group : (q,) code of the group that each belongs to.
    values : (q,) conditional modes.
    place : (q, 3) grouping factor, level and column of each.
    """

    names: tuple[str, ...]
    group: np.ndarray
    values: np.ndarray
    place: np.ndarray


def all_effects(model: MixedLM, fit: Fit) -> Effects:
    """The effects ordered by group; within a group the correlated ones first, then by component."""
    parts = [_correlated(model)] if model.effects is not None else []
    parts += [_component(model, component) for component in model.components]
    names = [name for part in parts for name in part[0]]
    group = np.concatenate([part[1] for part in parts])
    place = np.concatenate([part[2] for part in parts])
    order = np.argsort(group, kind="stable")
    place = place[order]
    modes = [fit.optimum.modes(t) for t in range(len(fit.design.random))]
    values = np.array([modes[t][level, column] for t, level, column in place])
    return Effects(tuple(names[i] for i in order), group[order], values, place)


def by_group(model: MixedLM, effects: Effects) -> dict[Any, slice]:
    """Group -> where its effects stand, in the order of `group_labels`."""
    ends = np.cumsum(np.bincount(effects.group, minlength=model.n_groups))
    starts = np.concatenate([[0], ends[:-1]])
    found = {
        label: slice(int(a), int(b))
        for label, a, b in zip(model.group_factor.levels, starts, ends, strict=True)
    }
    return {label: found[label] for label in model.group_labels}


def modes(model: MixedLM, fit: Fit) -> dict[Any, pd.Series]:
    """Group -> conditional modes of its effects."""
    effects = all_effects(model, fit)
    return {
        label: pd.Series(effects.values[where], index=list(effects.names[where]))
        for label, where in by_group(model, effects).items()
    }


def mode_covariances(model: MixedLM, fit: Fit) -> dict[Any, pd.DataFrame]:
    """Group -> covariance of its effects given the data, the parameters taken as known."""
    effects = all_effects(model, fit)
    prior = _prior(fit)
    out = {}
    for label, where in by_group(model, effects).items():
        z = _columns(model, effects, where, model.row_indices[label])
        root = _root(effects.place[where], prior)
        precision = np.eye(len(root)) + root.T @ (z.T @ z) @ root / fit.scale
        values = root @ np.linalg.solve(precision, root.T)
        names = list(effects.names[where])
        out[label] = pd.DataFrame(values, index=names, columns=names)
    return out


def _correlated(model: MixedLM) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, group and place of the correlated effects, column after column."""
    assert model.effects is not None
    t, _ = model.slot(model.effects)
    return _slot_effects(model, t, model.effect_columns, model.exog_re_names)


def _component(model: MixedLM, component: Component) -> tuple[list[str], np.ndarray, np.ndarray]:
    t, slot = model.slot(component.term)
    columns = list(range(slot.columns.start, slot.columns.stop))
    if not component.pieces:
        names = [f"{component.name}[{name}]" for name in slot.names]
        return _slot_effects(model, t, columns, names)
    _, group, place = _slot_effects(model, t, columns, [""])
    return _unit_names(model, component, model.design.random[t], slot), group, place


def _slot_effects(
    model: MixedLM, t: int, columns: list[int], names: list[str]
) -> tuple[list[str], np.ndarray, np.ndarray]:
    factor = model.design.random[t]
    levels = len(factor.levels)
    group = model.group_factor.codes[_first_rows(factor)]
    place = np.array([[t, level, k] for k in columns for level in range(levels)], dtype=np.intp)
    return (
        [name for name in names for _ in range(levels)],
        np.tile(group, len(columns)),
        place.reshape(-1, 3),
    )


def _first_rows(factor: RandomFactor) -> np.ndarray:
    """A row (J,) of every level."""
    return np.unique(factor.codes, return_index=True)[1]


def _unit_names(
    model: MixedLM, component: Component, factor: RandomFactor, slot: TermSlot
) -> list[str]:
    """Names such as "b[C(b)[u1]]" of the units, level by level."""
    rows = model.design.frame.data.iloc[_first_rows(factor)]
    labels = [
        [f"{p.text}[{v}]" for v in rows[p.column]] if p.column else [p.text] * len(rows)
        for p in component.pieces
    ]
    return [f"{component.name}[{':'.join(one)}]" for one in zip(*labels, strict=True)]


def _prior(fit: Fit) -> list[np.ndarray]:
    """A root (K, K) of every grouping factor's covariance, Sigma of any rank."""
    roots = []
    for sigma in fit.optimum.sigmas:
        values, vectors = np.linalg.eigh(fit.scale * sigma)
        roots.append(vectors * np.sqrt(np.maximum(values, 0.0)))
    return roots


def _root(place: np.ndarray, prior: list[np.ndarray]) -> np.ndarray:
    """A root (q, m) of the prior covariance of some effects of one group."""
    units, unit = np.unique(place[:, :2], axis=0, return_inverse=True)
    widths = [prior[t].shape[1] for t, _ in units]
    starts = np.cumsum([0, *widths])
    out = np.zeros((len(place), starts[-1]))
    for row, (at, (t, _, column)) in enumerate(zip(unit.ravel(), place, strict=True)):
        out[row, starts[at] : starts[at + 1]] = prior[t][column]
    return out


def _columns(model: MixedLM, effects: Effects, where: slice, rows: np.ndarray) -> np.ndarray:
    """Z (rows, q) of the effects of one group."""
    out = np.zeros((len(rows), where.stop - where.start))
    for i, (t, level, column) in enumerate(effects.place[where]):
        factor = model.design.random[t]
        out[:, i] = factor.z[rows, column] * (factor.codes[rows] == level)
    return out
