"""The stored nlme and glmmTMB results as calls of `henderson.lm` and `henderson.lmm`.

The calls are derived from the fields of a case's own `model` (formula, random, correlation,
weights, dispformula); nothing is written down per case. `tests/reference/README.md` describes the
files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd
from reference_cases import (
    DERIVED,
    Column,
    _columns,
    _raw_table,
    _typed,
    case_ids,
    coefficient_name,
    load_results,
    translate_formula,
)

# nlme's class -> our word.
CORRELATIONS = {
    "corAR1": "ar1", "corCAR1": "car1", "corCompSymm": "cs", "corSymm": "us", "corExp": "exp",
    "corGaus": "gau", "corLin": "lin", "corRatio": "ratio", "corSpher": "spher",
}  # fmt: skip
VARIANCES = {
    "varIdent": "ident", "varPower": "power", "varExp": "exp", "varConstPower": "constpower",
    "varFixed": "fixed",
}  # fmt: skip
RANDOM = {"pdSymm": "us", "pdLogChol": "us", "pdDiag": "diag", "pdCompSymm": "cs"}
# glmmTMB's structures of random effects that fill the place of the residuals (dispformula = ~0):
# the correlation, and whether every position has a variance of its own.
AS_RESIDUALS = {
    "ar1": ("ar1", False), "cs": ("cs", True), "toep": ("toep", True), "us": ("us", True),
}  # fmt: skip
_TMB_TERM = re.compile(r"\s*\+\s*(\w+)\(0 \+ (\w+) \| (\w+)\)")
NEVER = "a moving average: henderson has no such correlation"


@dataclass(frozen=True)
class StructureCase:
    """One fit in R as a call of henderson; `keywords` are its further arguments."""

    id: str
    engine: str
    formula: str
    keywords: Mapping[str, str]
    method: str
    data_name: str
    columns: tuple[Column, ...]
    results: Mapping[str, Any]
    note: str

    def data(self) -> pd.DataFrame:
        """The table, with the columns that the R script made by definition of its note."""
        raw = _raw_table(self.data_name)
        out = {
            c.name: _typed(pd.Series(raw[c.name] if c.name in raw else DERIVED[c.name](raw)), c)
            for c in self.columns
        }
        table = pd.DataFrame(out)
        if "age_f is age as a factor" in self.note:
            levels = [f"{v:g}" for v in sorted(table["age"].unique())]
            table["age_f"] = pd.Categorical(table["age"].map("{:g}".format), levels)
        return table

    def names(self, r_names: list[str]) -> list[str]:
        """henderson's coefficient names."""
        return [coefficient_name(name, r_names, self.columns) for name in r_names]

    @property
    def is_mixed(self) -> bool:
        return "|" in self.formula

    def fit(self) -> Any:
        import henderson

        function = henderson.lmm if self.is_mixed else henderson.lm
        return function(self.formula, self.data(), method=self.method, **self.keywords)


# ---- R's call -> ours


def arguments(text: str) -> tuple[str, list[str], dict[str, str]]:
    """R's `name(a, b, key = value)`: the name, what is given by place, what is given by name."""
    name, _, inner = text.strip().partition("(")
    pieces, depth = [""], 0
    for character in inner.removesuffix(")"):
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += character
    placed, named = [], {}
    for piece in (p.strip() for p in pieces if p.strip()):
        key, equals, value = piece.partition("=")
        if equals and re.fullmatch(r"\s*\w+\s*", key):
            named[key.strip()] = value.strip()
        else:
            placed.append(piece)
    return name, placed, named


def correlation_text(text: str, largest: int) -> str:
    """nlme's correlation in our words; `largest` is the number of rows of the largest group."""
    name, placed, named = arguments(text)
    form = (named.get("form") or placed[0]).removeprefix("~").strip()
    if name == "corARMA":
        # As many autoregressive terms as lags: any Toeplitz matrix.
        if (int(named["p"]), int(named["q"])) != (largest - 1, 0):
            raise LookupError(NEVER)
        return f"toep({form})"
    nugget = ", nugget=True" if named.get("nugget") == "TRUE" else ""
    return f"{CORRELATIONS[name]}({form}{nugget})"


def variance_text(text: str) -> str:
    """nlme's variance function in our words."""
    name, placed, named = arguments(text)
    form = named.get("form") or (placed[0] if placed else "~fitted")
    return f"{VARIANCES[name]}({_as_is(form.removeprefix('~').removeprefix('1 | ').strip())})"


def _as_is(text: str) -> str:
    inner = re.fullmatch(r"I\((.*)\)", text)
    return inner[1] if inner else text


def random_text(text: str) -> str:
    """nlme's `random` as random terms: "~ Time | Rat", or a list of pdMat objects by group."""
    if text.startswith("~"):
        return f"({text[1:].strip()})"
    _, _, groups = arguments(text)
    return " + ".join(_pd_term(value, group) for group, value in groups.items())


def _pd_term(text: str, group: str) -> str:
    name, placed, named = arguments(text)
    if name == "pdBlocked":
        _, blocks, _ = arguments(placed[0])
        return " + ".join(_pd_term(block, group) for block in blocks)
    form = (named.get("form") or placed[0]).removeprefix("~").strip()
    lhs = re.sub(r"(.*) - 1$", r"0 + \1", form)
    if lhs == "1":
        return f"(1 | {group})"
    if name == "pdIdent":
        # One variance for all the levels of a factor: they are a finer grouping.
        return f"(1 | {group}:{lhs.removeprefix('0 + ')})"
    return f"{RANDOM[name]}({lhs} | {group})"


def nlme_call(model: Mapping[str, Any], largest: int) -> tuple[str, dict[str, str]]:
    """Formula and keywords of an nlme fit."""
    formula, keywords = model["formula"], {}
    if "random" in model:
        formula += f" + {random_text(model['random'])}"
    if "correlation" in model:
        keywords["correlation"] = correlation_text(model["correlation"], largest)
    if "weights" in model:
        keywords["variance"] = variance_text(model["weights"])
    return formula, keywords


def tmb_call(model: Mapping[str, Any], note: str) -> tuple[str, dict[str, str]]:
    """Formula and keywords of a glmmTMB fit.

    Without a residual variance (dispformula = ~0) the random term is the residual's structure. The
    dispersion model is of log variances: a factor's is `ident`, a number's `exp`.
    """
    formula = model["formula"]
    placed = re.search(r"(\w+) is numFactor\((\w+)\)", note)
    if placed:
        formula = re.sub(rf"\b{placed[1]}\b", placed[2], formula)
    disp = model["dispformula"].removeprefix("~").strip()
    if disp == "1":
        return formula, {}
    if disp == "0":
        found = _TMB_TERM.search(formula)
        assert found is not None
        name, heterogeneous = AS_RESIDUALS[found[1]]
        position = "1" if name == "cs" else found[2]
        keywords = {"correlation": f"{name}({position} | {found[3]})"}
        if heterogeneous:
            keywords["variance"] = f"ident({found[2]})"
        return formula[: found.start()] + formula[found.end() :], keywords
    return formula, {"variance": disp}


# ---- cases


@cache
def load_structure_case(case_id: str) -> StructureCase:
    """A stored nlme or glmmTMB fit as a call of henderson.

    Raises
    ------
    LookupError : henderson has no such structure.
    """
    document = load_results(case_id)
    model, note = document["model"], document["note"] or ""
    columns = _columns(document["data"]["columns"])
    if document["engine"] == "glmmTMB":
        formula, keywords = tmb_call(model, note)
    else:
        formula, keywords = nlme_call(model, _largest(document, columns))
    if keywords.get("variance") in {c.name for c in columns}:
        kinds = {c.name: c.is_factor for c in columns}
        word = "ident" if kinds[keywords["variance"]] else "exp"
        keywords["variance"] = f"{word}({keywords['variance']})"
    return StructureCase(
        id=case_id,
        engine=document["engine"],
        formula=translate_formula(formula, columns),
        keywords=keywords,
        method=model["method"],
        data_name=document["data"]["name"],
        columns=columns,
        results=document["results"],
        note=note,
    )


def _largest(document: Mapping[str, Any], columns: tuple[Column, ...]) -> int:
    """Rows of the largest group of the correlation; 0 without one."""
    found = re.search(r"\|\s*(\w+)", document["model"].get("correlation", ""))
    if not found:
        return 0
    return int(_raw_table(document["data"]["name"])[found[1]].value_counts().max())


def structure_ids() -> tuple[list[str], dict[str, str]]:
    """Ids of the cases that henderson can express, and the reasons for which it cannot others."""
    found, beyond = [], {}
    for case_id in case_ids("gls", "lme", "tmb"):
        try:
            load_structure_case(case_id)
        except LookupError as reason:
            beyond[case_id] = str(reason)
        else:
            found.append(case_id)
    return found, beyond
