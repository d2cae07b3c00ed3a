"""From a residual structure on the data to the model of its covariance."""

from __future__ import annotations

import numpy as np

from henderson.covariance.correlations import Places, make_correlation
from henderson.covariance.residual.base import ResidualModel
from henderson.covariance.residual.variances import make_variance
from henderson.design.residual import ResidualDesign, RowPositions
from henderson.formula.residual_terms import CorrelationTerm


def residual_model(design: ResidualDesign) -> ResidualModel:
    """The covariance model of a residual structure; its parts are called as they are written."""
    term, rows = design.terms.correlation, design.positions
    parts = (*((term,) if term is not None else ()), *design.terms.variances)
    return ResidualModel(
        codes=np.arange(design.n) if rows is None else rows.codes,
        correlation=None
        if term is None or rows is None
        else make_correlation(term.name, _places(term, rows), nugget=term.nugget),
        positions=None if rows is None else rows.at,
        variances=tuple(make_variance(c.term.name, c.levels, c.values) for c in design.covariates),
        covariates=tuple(c.values for c in design.covariates),
        labels=tuple(part.text for part in parts),
    )


def _places(term: CorrelationTerm, rows: RowPositions) -> Places:
    return Places(rows.largest, rows.count, rows.distance, rows.labels)
