"""Any table in, columns and factors out."""

from henderson.data.factors import Factor, cross, factorize
from henderson.data.tables import to_frame, to_series

__all__ = ["Factor", "cross", "factorize", "to_frame", "to_series"]
