"""The compact letter display: rows that share a letter do not differ significantly.

Insert and absorb (Piepho 2004, J. Comput. Graph. Stat. 13): every significant pair splits the
groups that hold both; groups within others are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from henderson.inference.contrasts import parts

if TYPE_CHECKING:
    from henderson.inference.means import Means

ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def with_letters(means: Means, adjust: str = "tukey", alpha: float = 0.05) -> pd.DataFrame:
    """The frame of the means with a column `letters`, "a" for the smallest means."""
    table = means.contrast("pairwise", adjust=adjust).frame
    letters = np.empty(len(means.frame), dtype=object)
    start = 0
    for _, index in parts(means):
        k = len(index)
        pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
        p = table["p_value"].to_numpy()[start : start + len(pairs)]
        start += len(pairs)
        values = means.frame[means.estimate].to_numpy()[index]
        different = [pair for pair, value in zip(pairs, p, strict=True) if value < alpha]
        letters[index] = letter_display(values, different)
    return means.frame.assign(letters=letters)


def letter_display(values: np.ndarray, different: Iterable[tuple[int, int]]) -> list[str]:
    """Letters (k,) of k rows from the pairs that differ."""
    groups = [frozenset(range(len(values)))]
    for i, j in different:
        split: list[frozenset[int]] = []
        for group in groups:
            both = i in group and j in group
            split += [group - {i}, group - {j}] if both else [group]
        groups = [g for g in dict.fromkeys(split) if not any(g < other for other in split)]
    rank = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    groups.sort(key=lambda g: sorted(rank[list(g)]))
    names = [ALPHABET[i % 26] + "'" * (i // 26) for i in range(len(groups))]
    return [
        "".join(n for n, g in zip(names, groups, strict=True) if i in g) for i in range(len(values))
    ]
