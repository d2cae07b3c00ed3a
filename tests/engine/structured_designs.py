"""Random designs with structured residuals, for the finite basis and its compiled descent."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from henderson.covariance import make_structure
from henderson.covariance.correlations.autoregressive import Autoregressive
from henderson.covariance.correlations.distance import (
    ContinuousAutoregressive,
    Distance,
    exponential,
)
from henderson.covariance.correlations.exchangeable import Exchangeable
from henderson.covariance.correlations.toeplitz import Toeplitz
from henderson.covariance.residual.base import ResidualModel
from henderson.covariance.residual.variances import (
    ConstantPower,
    Exponential,
    Fixed,
    Ident,
    Power,
)
from henderson.engine.problem import Grouping, Standard, Term, standardise

# Terms of the factor; () is a model without random effects.
WIDTHS = [
    (),
    (("us", 1),),
    (("us", 2),),
    (("diag", 2),),
    (("us", 3),),
    (("us", 1), ("us", 1)),
    (("us", 2), ("diag", 1)),
]
STRUCTURES = [
    "ar1", "car1", "cs", "ident", "ident x ar1", "ident x car1", "ident x cs", "power",
    "expon x fixed x ar1", "fixed x cs",
]  # fmt: skip


# The others have sums too, but no numbers that the kernels could evaluate.
FINITE = [*STRUCTURES, "toep", "exp", "exp x ident", "constpower", "cs x constpower"]


def residual_of(name: str, groups: np.ndarray, rng: np.random.Generator) -> ResidualModel:
    """A structure on rows in groups, in no order and at times with gaps."""
    parts = name.split(" x ")
    n, times = len(groups), _ranks(groups, rng)
    if parts[0] in ("toep", "exp"):  # few patterns: four rows at most
        groups, times = groups * n + (times // 4).astype(int), times % 4
        groups = np.unique(groups, return_inverse=True)[1]
    else:
        sizes = np.bincount(groups)
        after = rng.integers(1, 4, len(sizes))[groups]
        times += rng.integers(1, 3, len(sizes))[groups] * (times >= after)
    if "car1" in parts:
        times /= 3.0
    correlations = {
        "ar1": Autoregressive(),
        "car1": ContinuousAutoregressive(2.0),
        "cs": Exchangeable(max(2, int(np.bincount(groups).max()))),
        "toep": Toeplitz(3),
        "exp": Distance("exp", exponential, 2.0),
    }
    strata, size = rng.integers(0, 3, n).astype(float), rng.integers(1, 4, n).astype(float)
    variances = {
        "ident": (Ident(("a", "b", "c")), strata),
        "power": (Power(), size),
        "expon": (Exponential(3.0), size),
        "constpower": (ConstantPower(), size),
        "fixed": (Fixed(), size),
    }
    found = [variances[p] for p in parts if p in variances]
    chosen = [correlations[p] for p in parts if p in correlations]
    return ResidualModel(
        groups if chosen else np.arange(n),
        chosen[0] if chosen else None,
        times[:, None] if chosen else None,
        tuple(v for v, _ in found),
        tuple(values[:, None] for _, values in found),
    )


def _ranks(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """0, 1, ... (n,) within each group, in any order of the rows."""
    order = np.lexsort((rng.random(len(groups)), groups))
    out = np.empty(len(groups))
    out[order] = np.concatenate([np.arange(s) for s in np.bincount(groups)])
    return out


@st.composite
def models(draw, structures: list[str] = STRUCTURES) -> tuple[Standard, ResidualModel]:
    """Unbalanced rows of 5 to 25 levels, columns constant within levels, weights or none."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    widths, p = draw(st.sampled_from(WIDTHS)), draw(st.integers(0, 3))
    k, levels = sum(size for _, size in widths), draw(st.integers(5, 25))
    n = draw(st.integers(5 * levels, 160))
    codes = np.concatenate([np.arange(levels), rng.integers(0, levels, n - levels)])
    rng.shuffle(codes)
    z = np.column_stack([np.ones(n), rng.normal(size=(n, 3))])[:, :k]
    if k > 2 and draw(st.booleans()):
        z[:, 2] = rng.normal(size=levels)[codes]
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])[:, :p]
    effects = rng.normal(size=(levels, k)) * rng.choice([0.0, 0.5, 2.0], k)
    y = rng.normal(size=n) + np.einsum("nk,nk->n", z, effects[codes])
    weights = rng.gamma(3.0, size=n) if draw(st.booleans()) else None
    groups = codes * 2 + rng.integers(0, 2, n) if draw(st.booleans()) else codes
    groups = np.unique(groups, return_inverse=True)[1]
    groupings = [grouping(codes, z, widths)] if widths else []
    problem = standardise(y, np.asfortranarray(x), groupings, weights)
    return problem, residual_of(draw(st.sampled_from(structures)), groups, rng)


def grouping(codes: np.ndarray, z: np.ndarray, widths: tuple[tuple[str, int], ...]) -> Grouping:
    ends = np.cumsum([0, *(k for _, k in widths)])
    terms = tuple(
        Term(slice(int(a), int(b)), make_structure(name, k))
        for (name, k), a, b in zip(widths, ends[:-1], ends[1:], strict=True)
    )
    return Grouping(codes, int(codes.max()) + 1, z, terms)
