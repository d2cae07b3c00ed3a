"""Sums by key that grow chunk by chunk: what levels, and pairs of levels, add up to.

A chunk touches few of the levels, so its sums are kept as a short run with the keys it has seen.
Runs are added up when the later ones have grown as long as an earlier one: every sum is then moved
a number of times that is logarithmic in the number of chunks, nothing is ever as long as the rows,
and levels seen for the first time need no special place (log-structured merging, O'Neil et al.
1996, Acta Informatica 33).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np


@dataclass(frozen=True)
class Run:
    """keys (r,) integers, ascending and distinct; values (r, ...), one sum per key."""

    keys: np.ndarray
    values: np.ndarray


def added(runs: Sequence[Run]) -> Run:
    """One run with the sums of all of them, added in their order."""
    if len(runs) == 1:
        return runs[0]
    keys = _distinct(np.concatenate([run.keys for run in runs]))
    shape = runs[0].values.shape[1:]
    sums = np.zeros((len(keys), prod(shape)))
    for run in runs:
        at = np.searchsorted(keys, run.keys)
        sums[at] = sums.take(at, axis=0) + run.values.reshape(len(at), sums.shape[1])
    return Run(keys, sums.reshape(-1, *shape))


def _distinct(keys: np.ndarray) -> np.ndarray:
    """The distinct keys, ascending; they come as a few ascending runs, which this sort merges."""
    ordered = np.sort(keys, kind="stable")
    return ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]


@dataclass(frozen=True)
class KeyedSums:
    """Runs, each longer than all that follow it together."""

    runs: tuple[Run, ...]

    def merge(self, other: KeyedSums) -> KeyedSums:
        """The sums of both; their runs are shared, not copied, as long as they stay apart."""
        runs = self.runs + other.runs
        first, pending = len(runs) - 1, 0
        for at in range(len(runs) - 1, 0, -1):
            pending += len(runs[at].keys)
            if pending >= len(runs[at - 1].keys):
                first = at - 1
        return KeyedSums((*runs[:first], added(runs[first:])))

    @cached_property
    def total(self) -> Run:
        """All in one run."""
        return added(self.runs)
