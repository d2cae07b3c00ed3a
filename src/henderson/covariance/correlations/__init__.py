"""Correlation functions of positions, shared by random effects and residuals."""

from henderson.covariance.correlations.base import (
    Correlation,
    Places,
    correlation_names,
    make_correlation,
)

__all__ = ["Correlation", "Places", "correlation_names", "make_correlation"]
