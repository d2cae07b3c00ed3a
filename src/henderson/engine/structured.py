"""What every factorisation of a model with structured residuals gives, whatever its algebra."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from henderson.engine.criterion import Profiled

if TYPE_CHECKING:
    from henderson.engine.dense import DenseFactorisation, DenseProducts


class StructuredFactorisation(Profiled, ABC):
    """`criterion.Blocks`, and what moves with the residual's own parameters phi (m,).

    R_a and R_ab are the derivatives of R; Q = P for REML and V^-1 for ML.
    """

    cross: DenseProducts
    phi: np.ndarray
    sigmas: tuple[np.ndarray, ...]
    c: np.ndarray
    beta: np.ndarray

    @property
    @abstractmethod
    def h(self) -> tuple[np.ndarray, ...]:
        """Z_t'Py per factor, (J, K)."""

    @property
    @abstractmethod
    def e(self) -> tuple[np.ndarray, ...]:
        """Z_t'V^-1X per factor, (J, K, p)."""

    @property
    @abstractmethod
    def g(self) -> tuple[np.ndarray, ...]:
        """The diagonal blocks of Z_t'V^-1Z_t per factor, (J, K, K)."""

    @property
    @abstractmethod
    def by_rows(self) -> DenseFactorisation:
        """The factorisation that has V^-1 itself, component by component."""

    @abstractmethod
    def residual_gradient(self, reml: bool) -> np.ndarray:
        """tr(Q R_a) - y'P R_a P y / s2 per residual parameter, (m,)."""

    @abstractmethod
    def residual_curvature(self, reml: bool) -> np.ndarray:
        """tr(Q R_ab) - y'P R_ab P y / s2 (m, m), as far as the second-order blocks leave it."""

    @abstractmethod
    def residual_scores(self) -> np.ndarray:
        """X'V^-1 R_a Py per residual parameter, (p, m)."""

    @abstractmethod
    def residual_bends(self) -> np.ndarray:
        """X'V^-1 R_ab V^-1 X over pairs of residual parameters, (m, m, p, p)."""
