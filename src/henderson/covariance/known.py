"""`known`: levels with a known covariance K; the effects of a level have any covariance Sigma.

The covariance of all effects is K (x) Sigma. K stands between the rows and the levels (see
`design.relationship`), so that Sigma here is that of the ordinary kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from henderson.covariance.base import register
from henderson.covariance.unstructured import Unstructured


@register("known")
@dataclass(frozen=True)
class KnownLevels(Unstructured):
    """Sigma of a level, in units of K: the variance where the diagonal of K is one."""

    def natural(
        self, phi: np.ndarray, covariance: np.ndarray, names: Sequence[str] = ()
    ) -> dict[str, float]:
        if self.size == 1:
            return {"sd": float(np.sqrt(max(covariance[0, 0], 0.0)))}
        return super().natural(phi, covariance, names)
