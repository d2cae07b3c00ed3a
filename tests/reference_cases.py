"""The stored R results as test cases: data, formula and names in henderson's terms.

Everything that maps R to henderson is derived from a case's own `data.columns` (types, levels,
contrasts); nothing is written down per case. `tests/reference/README.md` describes the files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

REFERENCE = Path(__file__).parent / "reference"
LMER_PREFIXES = (
    "score", "ratpup", "sleep", "dyestuff", "dyestuff2", "penicillin", "pastes", "cake", "rail",
    "orthodont", "oats", "machines", "ergostool", "oxboys", "ovary", "bodyweight", "syn",
    "insteval",
)  # fmt: skip

# R's data set -> the bundled table with the same rows.
BUNDLED = {
    "score_parentedu_byclass": "classroom_scores",
    "rat_pup": "rat_pup",
    "sleepstudy": "sleepstudy",
    "Dyestuff": "dyestuff",
    "Dyestuff2": "dyestuff2",
    "Penicillin": "penicillin",
    "Pastes": "pastes",
    "cake": "cake",
    "Orthodont": "orthodont",
    "Oats": "oats",
    "Machines": "machines",
    "Ovary": "ovary",
    "BodyWeight": "bodyweight",
    "InstEval": "insteval",
}
RENAMED = {"litter_size": "litsize"}
# Columns that the R scripts added to a table, by definition.
DERIVED: dict[str, Callable[[pd.DataFrame], Any]] = {
    "day_f": lambda d: d["Days"].map("{:g}".format),
    "nitro_f": lambda d: d["nitro"].map("{:g}".format),
    "s1": lambda d: np.sin(2 * np.pi * d["Time"]),
    "c1": lambda d: np.cos(2 * np.pi * d["Time"]),
    "pos": lambda d: d.groupby("Mare", observed=True).cumcount() + 1,
    "pup_id": lambda d: np.arange(1, len(d) + 1),
}
# The bundled table has the same sufficient statistics as R's, not the same rows.
SAME_SUFFICIENT_STATISTICS_ONLY = frozenset({"score_parentedu_byclass"})


@dataclass(frozen=True)
class Column:
    """A column of R's data frame: `kind` numeric, integer, factor, ordered, string or logical.

    `levels` are strings, in R's order; empty where the file leaves them out (very many levels).
    """

    name: str
    kind: str
    levels: tuple[str, ...] = ()
    contrasts: str = "contr.treatment"

    @property
    def is_factor(self) -> bool:
        return self.kind in ("factor", "ordered")

    @property
    def henderson(self) -> str:
        """The column as a term of a formula, with its coding where that is not treatment."""
        if not self.is_factor or self.contrasts == "contr.treatment":
            return self.name
        return f"C({self.name}, {self.contrasts})"


@dataclass(frozen=True)
class ReferenceCase:
    """One fit in R. `keywords` are the further arguments of `henderson.lmm`."""

    id: str
    engine: str
    formula: str
    r_formula: str
    method: str
    data_name: str
    columns: tuple[Column, ...]
    keywords: Mapping[str, Any]
    results: Mapping[str, Any]

    def data(self) -> pd.DataFrame:
        """The table, factors as categoricals of strings with R's level order."""
        return load_table(self.data_name, self.columns)

    def names(self, r_names: Sequence[str]) -> list[str]:
        """henderson's coefficient names of a list of R's (all of one matrix)."""
        return [coefficient_name(name, r_names, self.columns) for name in r_names]

    @property
    def fixed_names(self) -> list[str]:
        return self.names(list(self.results["fixef"]))

    @property
    def is_singular(self) -> bool:
        return bool(self.results["is_singular"])

    @property
    def same_rows(self) -> bool:
        """Whether results row by row can be compared."""
        return self.data_name not in SAME_SUFFICIENT_STATISTICS_ONLY

    @property
    def new_rows(self) -> pd.DataFrame:
        """The rows that R predicted for; factors are strings there."""
        return pd.DataFrame(self.results["predict"]["newdata"])

    def covariances(self) -> dict[frozenset[str], pd.DataFrame]:
        """Covariance over all effects of a grouping factor, zero between terms, by its columns."""
        out: dict[frozenset[str], pd.DataFrame] = {}
        for part in self.results["varcomp"]:
            names = self.names(part["terms"])
            own = pd.DataFrame(part["cov"], index=names, columns=names, dtype=float)
            key = group_key(part["group"])
            out[key] = _direct_sum(out[key], own) if key in out else own
        return out

    def thetas(self) -> dict[tuple[frozenset[str], str, str], float]:
        """theta by (grouping columns, row effect, column effect)."""
        out = {}
        for part in self.results["varcomp"]:
            ours = dict(zip(part["terms"], self.names(part["terms"]), strict=True))
            for c, column in enumerate(part["terms"]):
                for row in part["terms"][c:]:
                    r_name = f"{part['group']}.{row}" + ("" if row == column else f".{column}")
                    key = (group_key(part["group"]), ours[row], ours[column])
                    out[key] = self.results["theta"][r_name]
        return out


def group_key(name: str) -> frozenset[str]:
    """The columns of a grouping factor: R writes `b:a` where we write `a:b`."""
    return frozenset(name.split(":"))


def level_labels(r_group: str, our_group: str, data: pd.DataFrame) -> dict[str, str]:
    """R's level label -> ours, read off the rows of the data (labels may contain colons)."""
    used = data[r_group.split(":")].dropna().drop_duplicates()
    return {
        ":".join(str(row[c]) for c in r_group.split(":")): ":".join(
            str(row[c]) for c in our_group.split(":")
        )
        for _, row in used.iterrows()
    }


def _direct_sum(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    names = [*a.index, *b.index]
    return (
        a.reindex(index=names, columns=names)
        .combine_first(b)
        .reindex(index=names, columns=names)
        .fillna(0.0)
    )


# ---- data


@cache
def _raw_table(name: str) -> pd.DataFrame:
    if name in BUNDLED:
        import henderson

        return henderson.load_dataset(BUNDLED[name]).rename(columns=RENAMED)
    types = {c.name: str for c in table_columns(name) if c.is_factor}
    return pd.read_csv(REFERENCE / "data" / f"{name}.csv", dtype=types)


def load_table(name: str, columns: Iterable[Column]) -> pd.DataFrame:
    """R's table `name` with derived columns, typed as `columns` says."""
    raw = _raw_table(name)
    out = {}
    for column in columns:
        values = raw[column.name] if column.name in raw else DERIVED[column.name](raw)
        out[column.name] = _typed(pd.Series(values), column)
    return pd.DataFrame(out)


def _typed(values: pd.Series, column: Column) -> pd.Series:
    if not column.is_factor:
        return pd.Series(values.to_numpy())
    text = values.astype(object).map(lambda v: v if pd.isna(v) else str(v))
    levels = list(column.levels) or sorted(text.dropna().unique(), key=_number_first)
    return pd.Series(pd.Categorical(text, levels, ordered=column.kind == "ordered"))


def _number_first(label: str) -> tuple[float, str]:
    try:
        return float(label), label
    except ValueError:
        return float("inf"), label


@cache
def table_columns(name: str) -> tuple[Column, ...]:
    """Columns of a table kept in `reference/data`."""
    return _columns(json.loads((REFERENCE / "data" / f"{name}.json").read_text())["columns"])


def _columns(items: Iterable[Mapping[str, Any]]) -> tuple[Column, ...]:
    return tuple(
        Column(
            item["name"],
            item["type"],
            tuple(item.get("levels") or ()),
            item.get("contrasts", "contr.treatment"),
        )
        for item in items
    )


# ---- names

_RANDOM_TERM = re.compile(r"\((?:[^()|]|\([^()]*\))*\|{1,2}[^()]*\)")


def translate_formula(text: str, columns: Iterable[Column]) -> str:
    """R's formula with `C(x, contr.sum)` for codings that R keeps outside the formula."""
    coded = {c.name: c.henderson for c in columns if c.henderson != c.name}
    fixed, random, last = [], _RANDOM_TERM.findall(text), 0
    for match in _RANDOM_TERM.finditer(text):
        fixed.append(_recode(text[last : match.start()], coded))
        last = match.end()
    fixed.append(_recode(text[last:], coded))
    return "".join(part for pair in zip(fixed, [*random, ""], strict=True) for part in pair)


def _recode(text: str, coded: Mapping[str, str]) -> str:
    return re.sub(r"[A-Za-z_.][\w.]*", lambda m: coded.get(m.group(), m.group()), text)


def coefficient_name(name: str, r_names: Sequence[str], columns: Iterable[Column]) -> str:
    """henderson's name of R's coefficient `name`, one of `r_names`.

    `sexMale` -> `sex[T.Male]`; `flo` -> `f[lo]` where R kept every level of f in that term.
    """
    if name == "(Intercept)":
        return "Intercept"
    factors = {c.name: c for c in columns if c.is_factor}
    pieces = [_split(piece, factors) for piece in name.split(":")]
    full = _full_rank(pieces, [_pieces(other, factors) for other in r_names], factors)
    return ":".join(_piece_name(v, level, factors, v in full) for v, level in pieces)


def _pieces(name: str, factors: Mapping[str, Column]) -> list[tuple[str, str | None]]:
    return [_split(piece, factors) for piece in name.split(":")]


def _split(piece: str, factors: Mapping[str, Column]) -> tuple[str, str | None]:
    """(variable, level) of a piece of an R name; level None for a number's column."""
    for name, column in factors.items():
        rest = piece[len(name) :]
        if (
            piece.startswith(name)
            and rest
            and (rest in column.levels or (column.contrasts != "contr.treatment"))
        ):
            return name, rest
    return piece, None


def _full_rank(
    pieces: Sequence[tuple[str, str | None]],
    others: Iterable[Sequence[tuple[str, str | None]]],
    factors: Mapping[str, Column],
) -> set[str]:
    """Factors whose first level has a coefficient of its own in the same term."""
    variables = [v for v, _ in pieces]
    return {
        v
        for other in others
        if [u for u, _ in other] == variables
        for v, level in other
        if v in factors and factors[v].levels[:1] == (level,)
    }


def _piece_name(variable: str, level: str | None, factors: Mapping[str, Column], full: bool) -> str:
    if level is None:
        return variable.replace("^", " ** ")  # inside I(): the power as Python writes it
    column = factors[variable]
    if column.contrasts == "contr.sum":
        return f"{column.henderson}[S.{column.levels[int(level) - 1]}]"
    if column.contrasts == "contr.poly":
        return f"{column.henderson}[{level}]"
    return f"{variable}[{level}]" if full else f"{variable}[T.{level}]"


# ---- cases


@cache
def load_results(case_id: str) -> dict[str, Any]:
    """The whole JSON document of a stored result."""
    document: dict[str, Any] = json.loads((REFERENCE / "results" / f"{case_id}.json").read_text())
    return document


@cache
def load_case(case_id: str) -> ReferenceCase:
    """A stored lmer fit in henderson's terms."""
    document = load_results(case_id)
    model = document["model"]
    contrasts = model.get("contrasts") or {}
    columns = tuple(
        Column(c.name, c.kind, c.levels, contrasts.get(c.name, c.contrasts))
        for c in _columns(document["data"]["columns"])
    )
    keywords = {k: model[k] for k in ("weights", "offset", "subset") if k in model}
    return ReferenceCase(
        id=document["id"],
        engine=document["engine"],
        formula=translate_formula(model["formula"], columns),
        r_formula=model["formula"],
        method=model["method"],
        data_name=document["data"]["name"],
        columns=columns,
        keywords=keywords,
        results=document["results"],
    )


def case_ids(*prefixes: str) -> list[str]:
    """Stored ids whose first word is one of `prefixes`, sorted."""
    stems = sorted(path.stem for path in (REFERENCE / "results").glob("*.json"))
    return [stem for stem in stems if stem.split("_")[0] in prefixes]


def lmer_cases() -> list[ReferenceCase]:
    """Every stored linear mixed model fitted by lmer."""
    return [load_case(i) for i in case_ids(*LMER_PREFIXES)]
