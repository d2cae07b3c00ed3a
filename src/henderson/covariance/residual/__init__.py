"""Covariance structures of the residuals: correlation within groups, variance along covariates."""
