"""The order of columns that statsmodels' users know.

patsy, which reads statsmodels' formulas, puts the terms without numeric factors first, then one
bucket for each set of numeric factors in the order of writing, and sorts each bucket by the degree
of the terms. formulaic sorts all terms by degree. The columns are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from henderson.design.evaluate import PlainTerms, Spec, readable, restored

Terms = Mapping[str, tuple[str, ...]]


def ordered_terms(spec: Spec) -> Terms:
    """Term -> the names of its columns, in patsy's order of terms."""
    if spec.plain is not None:
        return _plain(spec, spec.plain)
    return _general(spec.text, spec.state)


def ordered_names(spec: Spec, kept: tuple[str, ...]) -> tuple[str, ...]:
    """The names `kept` of the spec's columns in patsy's order."""
    wanted = set(kept)
    return tuple(n for columns in ordered_terms(spec).values() for n in columns if n in wanted)


def _plain(spec: Spec, plain: PlainTerms) -> dict[str, tuple[str, ...]]:
    out: dict[str, tuple[str, ...]] = {"Intercept": ("Intercept",)} if plain.intercept else {}
    factors = [c for c in plain.columns if c in spec.levels]
    numbers = [c for c in plain.columns if c not in spec.levels]
    for column in factors:
        out[column] = tuple(n for n in spec.names if n.startswith(f"{column}["))
    return out | {column: (column,) for column in numbers}


def _general(text: str, state: Any) -> dict[str, tuple[str, ...]]:
    places = {str(term): indices for term, indices in state.term_indices.items()}
    factors = {str(t): tuple(f.expr for f in t.factors if f.expr != "1") for t in state.terms}
    numeric = {t: frozenset(f for f in factors[t] if _is_number(state, f)) for t in factors}
    written = [t for t in _as_written(text) if t in factors]
    written += [t for t in factors if t not in written]
    buckets = list(dict.fromkeys([frozenset[str](), *(numeric[t] for t in written)]))
    chosen = sorted(written, key=lambda t: (buckets.index(numeric[t]), len(factors[t])))
    names = [restored(name) for name in state.column_names]
    called = {t: "Intercept" if t == "1" else restored(t) for t in chosen}
    return {called[t]: tuple(names[i] for i in places[t]) for t in chosen}


def _is_number(state: Any, factor: str) -> bool:
    kind = state.encoder_state.get(factor, (None,))[0]
    return getattr(kind, "value", None) == "numerical"


def _as_written(text: str) -> list[str]:
    from formulaic import Formula

    return [str(term) for term in Formula(readable(text), _ordering="none")]
