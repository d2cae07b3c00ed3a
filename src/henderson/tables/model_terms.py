"""The rows that several models have in common: fixed effects under one label, in one order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from henderson.errors import DesignError
from henderson.tables.model_column import ModelColumn
from henderson.tables.notation import factors


@dataclass(frozen=True)
class Term:
    """A row of fixed effects: its label, and its name in each model, None where it has none."""

    label: str
    names: tuple[str | None, ...]


def fixed_terms(columns: Sequence[ModelColumn], rename: Mapping[str, str]) -> tuple[Term, ...]:
    """The fixed effects in the order of their first appearance.

    "a:b" and "b:a" are one row, and so are names with the same new name.

    Raises
    ------
    DesignError : two fixed effects of a model have the same new name.
    """
    found: dict[tuple[str, ...], tuple[str, list[str | None]]] = {}
    for i, column in enumerate(columns):
        for name in map(str, column.fixed.index):
            key = (rename[name],) if name in rename else tuple(sorted(factors(name)))
            label, names = found.setdefault(key, (rename.get(name, name), [None] * len(columns)))
            if names[i] is not None:
                raise DesignError(
                    f"rename= gives '{names[i]}' and '{name}' of {column.name} the same name, "
                    f"'{label}': give them different ones."
                )
            names[i] = name
    return tuple(Term(label, tuple(names)) for label, names in found.values())


def choose(
    terms: tuple[Term, ...], keep: Sequence[str] | None, drop: Sequence[str]
) -> tuple[Term, ...]:
    """The terms that `keep` names, in its order, without those that `drop` names.

    Terms are named as in a model or by their label; "*" stands for any characters.

    Raises
    ------
    DesignError : a name that no term has, or no term is left.
    """
    kept = terms
    if keep is not None:
        kept = tuple(dict.fromkeys(t for pattern in keep for t in _named(terms, pattern)))
    dropped = {t for pattern in drop for t in _named(terms, pattern)}
    left = tuple(t for t in kept if t not in dropped)
    if not left and terms:
        raise DesignError("keep= and drop= leave no fixed effects: name fewer to drop.")
    return left


def _named(terms: Iterable[Term], pattern: str) -> list[Term]:
    expression = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
    found = [t for t in terms if any(n and expression.fullmatch(n) for n in (t.label, *t.names))]
    if not found:
        known = ", ".join(t.label for t in terms)
        raise DesignError(f"No model has a fixed effect '{pattern}': there are {known}.")
    return found
