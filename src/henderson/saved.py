"""A fit in a file: the call, the model frame and the optimum; no code, and nothing is unpickled.

The file is NumPy's `.npz` with a description in JSON. On loading the model is fitted again from the
optimum that was stored, and has to come to the same criterion.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from henderson.data.packed import pack, unpack
from henderson.design import build
from henderson.design.relationship import Relationship
from henderson.errors import DataError, FitError
from henderson.formula.names import refuse_unsafe
from henderson.formula.residual_terms import CorrelationTerm, ResidualTerms, VarianceTerm
from henderson.model import fit_design

if TYPE_CHECKING:
    from henderson.fit import Fit

FORMAT = 1
# The criterion of a loaded fit differs by no more than this, relative to its size.
SAME = 1e-8
BY_ROW = ("weights", "offset")
Arrays = dict[str, np.ndarray]


def save(fit: Fit, path: str | PathLike[str]) -> None:
    """Write a fit to a file; see `Fit.save`."""
    _check(fit)
    arrays: Arrays = {"phi": fit.optimum.at.phi}
    text = json.dumps(_described(fit, arrays))
    arrays["about"] = np.frombuffer(text.encode(), dtype=np.uint8)
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def load(path: str | PathLike[str], *, trusted: bool = False) -> Fit:
    """Read a fit that `Fit.save` wrote.

    Parameters
    ----------
    trusted : whether the file's formula may call more than `henderson.formula.FUNCTIONS`, such as
        `np.log1p(x)` or `x.abs()`: only for a file that you know.

    Returns
    -------
    Fit : of the rows and columns that took part; its `update` knows no others.

    Raises
    ------
    DataError : a file that is none of a fit, or of another version. FormulaError : a function that
        a formula which is not trusted cannot use. FitError : the fit does not come out as it was.
    """
    about, arrays = _read(path)
    call = _call(about, arrays)
    if not trusted:
        _refuse_unsafe(call["correlation"], call["variance"])
    fit = _again(call, about, arrays, trusted)
    if not abs(fit.criterion - about["criterion"]) <= SAME * (1.0 + abs(about["criterion"])):
        raise FitError(
            f"The fit in '{path}', saved by henderson {about['henderson']}, has the criterion "
            f"{about['criterion']:.10g}; fitted again it is {fit.criterion:.10g}. Fit the model to "
            "its data anew."
        )
    return replace(fit, call=call)


# ---- to a file


def _check(fit: Fit) -> None:
    if not fit.call:
        raise FitError(
            "Only what henderson.lmm and henderson.lm return can be saved, and this fit was made "
            "otherwise (refit() is): fit the whole formula to the data."
        )
    if fit.call["context"]:
        raise FitError(
            "A file holds no code, and this fit was given names by context= "
            f"({', '.join(fit.call['context'])}): make columns of what they compute."
        )


def _described(fit: Fit, arrays: Arrays) -> dict[str, Any]:
    """What JSON tells of a fit; the arrays are added to `arrays`."""
    from henderson import __version__

    frame = fit.design.frame
    table, by_row = frame.data.copy(deep=False), {}
    for what in BY_ROW:
        values, given = getattr(frame, what), fit.call[what]
        if isinstance(given, str):
            by_row[what] = given
            if given not in table:
                table[given] = values
        elif values is not None:
            arrays[what] = values
    if frame.kept is not None:
        arrays["kept"] = frame.kept
    data, columns = pack(table)
    arrays |= columns
    residual = fit.design.residual
    terms = ResidualTerms() if residual is None else residual.terms
    return {
        "format": FORMAT,
        "henderson": __version__,
        "formula": fit.formula,
        "method": fit.method,
        "engine": fit.optimum.engine,
        "criterion": fit.criterion,
        "data": data,
        "by_row": by_row,
        "n_total": frame.n_total,
        "n_dropped": frame.n_dropped,
        "missing": dict(frame.missing),
        "correlation": terms.correlation and asdict(terms.correlation),
        "variance": [asdict(term) for term in terms.variances],
        "matrices": dict(_described_matrices(fit.call.get("matrices") or {}, arrays)),
    }


def _described_matrices(
    matrices: Mapping[str, Any], arrays: Arrays
) -> Iterator[tuple[str, dict[str, Any]]]:
    for i, (name, given) in enumerate(matrices.items()):
        known = given if isinstance(given, Relationship) else Relationship(given)
        if sparse.issparse(known.matrix):
            entries = sparse.coo_array(known.matrix)
            parts = {"entries": entries.data, "rows": entries.row, "columns": entries.col}
        else:
            parts = {"entries": np.asarray(known.matrix, dtype=float)}
        arrays |= {f"matrix{i}_{part}": values for part, values in parts.items()}
        yield (
            name,
            {"levels": known.names, "inverse": known.inverse, "size": np.shape(known.matrix)[0]},
        )


# ---- from a file


def _read(path: str | PathLike[str]) -> tuple[dict[str, Any], Arrays]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        about = json.loads(arrays.pop("about").tobytes())
    except (ValueError, KeyError, AttributeError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"'{path}' is no fit that fit.save() wrote.") from error
    if about.get("format") != FORMAT:
        raise DataError(
            f"'{path}' was saved by henderson {about.get('henderson')} in format "
            f"{about.get('format')}, and this version reads format {FORMAT}: load it with that one."
        )
    return about, arrays


def _call(about: Mapping[str, Any], arrays: Arrays) -> dict[str, Any]:
    """The arguments of `lmm` that make the fit from the rows that took part."""
    said = about["correlation"]
    correlation = said and CorrelationTerm(
        said["name"], tuple(said["position"]), tuple(said["group"]), said["nugget"]
    )
    matrices = {
        name: _matrix(how, i, arrays) for i, (name, how) in enumerate(about["matrices"].items())
    }
    return {
        "formula": about["formula"],
        "data": unpack(about["data"], arrays),
        "method": about["method"],
        **{what: about["by_row"].get(what, arrays.get(what)) for what in BY_ROW},
        "subset": None,
        "correlation": correlation,
        "variance": tuple(VarianceTerm(**term) for term in about["variance"]),
        "context": None,
        "matrices": matrices or None,
        "engine": about["engine"],
    }


def _refuse_unsafe(
    correlation: CorrelationTerm | None, variances: tuple[VarianceTerm, ...]
) -> None:
    """Check the expressions of a residual structure; `build` checks those of the formula."""
    positions = () if correlation is None else correlation.position
    for text in (*positions, *(term.covariate for term in variances)):
        refuse_unsafe(text)


def _matrix(how: Mapping[str, Any], i: int, arrays: Arrays) -> Relationship:
    matrix: Any = arrays[f"matrix{i}_entries"]
    if f"matrix{i}_rows" in arrays:
        places = (arrays[f"matrix{i}_rows"], arrays[f"matrix{i}_columns"])
        matrix = sparse.coo_array((matrix, places), shape=(how["size"], how["size"])).tocsc()
    return Relationship(matrix, how["levels"], how["inverse"])


def _again(call: Mapping[str, Any], about: Mapping[str, Any], arrays: Arrays, trusted: bool) -> Fit:
    """The fit, from the optimum that was stored."""
    design = build(
        call["formula"],
        call["data"],
        weights=call["weights"],
        offset=call["offset"],
        trusted=trusted,
        residual=ResidualTerms(call["correlation"], call["variance"]) or None,
        matrices=call["matrices"],
    )
    frame = replace(
        design.frame,
        n_total=about["n_total"],
        n_dropped=about["n_dropped"],
        missing=about["missing"],
        kept=arrays.get("kept"),
    )
    design = replace(design, frame=frame)
    return fit_design(design, call["method"], arrays["phi"], call["engine"])
