"""`us(x | g, by=sex)`: columns of their own for every stratum of the rows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from henderson.design.columns import Columns, label, level_codes
from henderson.design.evaluate import Spec
from henderson.errors import DataError, DesignError


@dataclass(frozen=True)
class StrataSpec(Spec):
    """The columns of `each`, once for every stratum: zero in the rows of the others.

    by : the column of strata; strata : its levels (L,).
    """

    each: Spec = field(default_factory=lambda: Spec("", (), ()))
    by: str = ""
    strata: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def matrix(self, columns: Columns) -> np.ndarray:
        codes = level_codes(columns.data[self.by], self.strata)
        if (codes < 0).any():
            unseen = columns.data[self.by].iloc[int(np.argmax(codes < 0))]
            raise DesignError(
                f"Column '{self.by}' has a level that the fit has not seen: {unseen!r}. "
                f"It knows {', '.join(label(v) for v in self.strata)}."
            )
        return spread(self.each.matrix(columns), codes, len(self.strata))


def split(each: Spec, z: np.ndarray, by: str, columns: Columns) -> tuple[StrataSpec, np.ndarray]:
    """The spec and the columns (n, L K) of a term by strata, stratum by stratum.

    Raises
    ------
    DataError : there is no such column. DesignError : it has one level.
    """
    by = by.strip("`")
    if by not in columns:
        raise DataError(f"by={by}: there is no column '{by}' in the data of the model.")
    factor = columns.factor(by)
    if len(factor.levels) == 1:
        raise DesignError(
            f"by={by}: column '{by}' has one level, '{label(factor.levels[0])}': leave by= out."
        )
    labels = [f"{by}[{label(level)}]" for level in factor.levels]
    spec = StrataSpec(
        text=each.text,
        names=tuple(f"{stratum}:{name}" for stratum in labels for name in each.names),
        columns=tuple(dict.fromkeys((*each.columns, by))),
        levels=each.levels,
        each=each,
        by=by,
        strata=factor.levels,
    )
    return spec, spread(z, factor.codes, len(factor.levels))


def spread(z: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """z (n, K) in the columns of each row's stratum, (n, count K)."""
    out = np.zeros((len(z), count, z.shape[1]))
    out[np.arange(len(z)), codes] = z
    return out.reshape(len(z), -1)
