"""Random designs for the engine's tests: factors nested and crossed, terms of any width."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from henderson.covariance import make_structure
from henderson.engine.problem import Grouping, Standard, Term, standardise

WIDTHS = [(("us", 1),), (("us", 2),), (("us", 1), ("us", 1)), (("diag", 3),), (("us", 3),)]


@st.composite
def problems(draw, most_factors: int = 3) -> Standard:
    """A standardised problem with 0 to `most_factors` grouping factors and n of 40 to 70 rows."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(40, 70))
    p = draw(st.integers(0, 3))
    factors = draw(st.lists(st.sampled_from(WIDTHS), min_size=0, max_size=most_factors))
    weights = rng.gamma(3.0, size=n) if draw(st.booleans()) else None
    groupings = [grouping(rng, n, int(rng.integers(3, 12)), widths) for widths in factors]
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])[:, :p]
    y = rng.normal(size=n)
    for g in groupings:
        effects = rng.normal(size=(g.n_levels, g.size)) * rng.choice([0.0, 0.5, 2.0])
        y = y + np.einsum("nk,nk->n", g.z, effects[g.codes])
    return standardise(y, x, groupings, weights)


def grouping(rng, n: int, levels: int, widths: tuple[tuple[str, int], ...]) -> Grouping:
    """A factor with unequal group sizes and terms of the structures and widths given."""
    codes = np.concatenate([np.arange(levels), rng.integers(0, levels, n - levels)])
    rng.shuffle(codes)
    size = sum(k for _, k in widths)
    z = np.column_stack([np.ones(n), rng.normal(size=(n, size))])[:, :size]
    ends = np.cumsum([0] + [k for _, k in widths])
    terms = tuple(
        Term(slice(int(a), int(b)), make_structure(name, k))
        for (name, k), a, b in zip(widths, ends[:-1], ends[1:], strict=True)
    )
    return Grouping(codes, levels, z, terms)


def crossed_problem(seed: int = 3, effects: float = 0.5) -> Standard:
    """60 x 40 levels, 3,000 rows, slopes on both sides; the second factor's sd is `effects`."""
    rng = np.random.default_rng(seed)
    n = 3_000
    first = grouping(rng, n, 60, (("us", 2),))
    second = grouping(rng, n, 40, (("us", 1),))
    x = np.column_stack([np.ones(n), rng.normal(size=n)])
    y = x @ [1.0, 0.5] + rng.normal(size=n) + effects * rng.normal(size=40)[second.codes]
    y += np.einsum("nk,nk->n", first.z, 0.6 * rng.normal(size=(60, 2))[first.codes])
    return standardise(y, x, [first, second], None)
