"""Covariance structures of the random effects: parameters -> Sigma and its derivatives."""

from henderson.covariance.base import Structure, make_structure, structure_names

__all__ = ["Structure", "make_structure", "structure_names"]
