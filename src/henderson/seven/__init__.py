"""Seven ways to analyse clustered data, side by side."""

from henderson.seven.compare import approaches
from henderson.seven.result import (
    KEYS,
    LABELS,
    Aggregated,
    Approach,
    Approaches,
    GroupSlope,
    TwoStage,
)

__all__ = [
    "KEYS",
    "LABELS",
    "Aggregated",
    "Approach",
    "Approaches",
    "GroupSlope",
    "TwoStage",
    "approaches",
]
