"""`fit.save` and `load`: the same fit, from a file without code."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import henderson as hd
from henderson.data.packed import pack, unpack
from henderson.fit import Fit


@pytest.fixture(scope="module")
def rats() -> pd.DataFrame:
    data = hd.load_dataset("rat_pup")
    rows = np.arange(len(data))
    return data.assign(
        half=pd.Categorical(np.where(rows % 2 == 0, "b", "a"), ["b", "a", "none"]),
        w=1.0 + rows % 3,
        z=np.where(rows % 50 == 7, np.nan, np.sin(rows)),
        o=rows / 100,
    ).set_index(rows + 1000)


def there_and_back(fit: Fit, path: Path, **how: Any) -> Fit:
    fit.save(path / "fit.hd")
    return hd.load(path / "fit.hd", **how)


K = np.eye(27) + 0.2 * np.exp(-np.abs(np.subtract.outer(np.arange(27), np.arange(27))))
DIAGONAL = 1.0 + np.arange(27)
LITTERS = [str(i) for i in range(1, 28)]
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("weight ~ treatment * sex + (1 | litter)", {}),
    "ml": ("weight ~ treatment + (1 | litter)", {"method": "ML"}),
    "missing": ("weight ~ z + (z | litter)", {}),
    "subset": ("weight ~ z + (1 | litter)", {"subset": "litter_size > 8"}),
    "categories": ("weight ~ half + (half || litter)", {}),
    "stateful": ("log(weight) ~ scale(litter_size) + poly(o, 2) + (1 | litter)", {}),
    "weights": ("weight ~ sex + (1 | litter)", {"weights": "w", "offset": "o"}),
    "arrays": ("weight ~ sex + offset(o) + (1 | litter)", {"weights": np.arange(1.0, 323.0)}),
    "structured": ("weight ~ sex + cs(0 + treatment | litter) + (1 | half)", {}),
    "residuals": (
        "weight ~ sex + (1 | litter)",
        {"variance": "ident(sex) * power(litter_size)", "correlation": "cs(1 | litter)"},
    ),
    "of fitted": ("weight ~ sex + (1 | litter)", {"variance": "power(fitted)"}),
    "known": (
        "weight ~ sex + known(1 | litter, K)",
        {"matrices": {"K": hd.Relationship(K, levels=LITTERS)}},
    ),
    "sparse": (
        "weight ~ sex + known(1 | litter, K)",
        {"matrices": {"K": hd.Relationship(sparse.csc_array(np.diag(DIAGONAL)), LITTERS, True)}},
    ),
    "labelled": (
        "weight ~ sex + known(1 | litter, K)",
        {"matrices": {"K": pd.DataFrame(K, index=LITTERS, columns=LITTERS)}},
    ),
    "none": ("weight ~ treatment * sex", {}),
    "iterative": ("weight ~ sex + (1 | litter) + (1 | half)", {"engine": "iterative"}),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_what_is_loaded_is_what_was_saved(name: str, rats: pd.DataFrame, tmp_path: Path) -> None:
    formula, how = MODELS[name]
    fit = (hd.lmm if "|" in formula else hd.lm)(formula, rats, **how)
    again = there_and_back(fit, tmp_path)
    assert again.criterion == pytest.approx(fit.criterion, rel=1e-8)
    np.testing.assert_allclose(again.params, fit.params, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(again.theta, fit.theta, rtol=1e-4, atol=1e-6)
    assert (again.formula, again.method, again.npar) == (fit.formula, fit.method, fit.npar)
    assert [str(n) for n in again.notes] == [str(n) for n in fit.notes]
    pd.testing.assert_series_equal(again.fittedvalues, fit.fittedvalues, rtol=1e-5)
    np.testing.assert_array_equal(again.design.frame.rows, fit.design.frame.rows)
    for group, modes in fit.ranef().items():
        pd.testing.assert_frame_equal(again.ranef()[group], modes, rtol=1e-3, atol=1e-5)


def test_a_loaded_fit_predicts_updates_and_is_saved_again(
    rats: pd.DataFrame, tmp_path: Path
) -> None:
    fit = hd.lmm("weight ~ z + half + (1 | litter)", rats, weights="w", offset="o")
    again = there_and_back(there_and_back(fit, tmp_path), tmp_path)
    new = rats.dropna().iloc[:7]
    pd.testing.assert_series_equal(again.predict(new), fit.predict(new), rtol=1e-6)
    less = fit.update(". ~ . - half")
    assert again.update(". ~ . - half").criterion == pytest.approx(less.criterion, rel=1e-9)
    with pytest.raises(hd.DataError, match="no column 'litter_size'"):
        again.update(". ~ . + litter_size")


def test_every_kind_of_column_comes_back() -> None:
    table = pd.DataFrame(
        {
            "whole": [1, 2, 3],
            "real": [0.1, np.pi, 1e300],
            "truth": [True, False, True],
            "text": ["b", "ä", "b"],
            "ordered": pd.Categorical([3, 1, 3], [3, 2, 1], ordered=True),
            "nullable": pd.array([1, 2, 3], dtype="Int64"),
        },
        index=pd.Index(["x", "y", "z"], name="row"),
    )
    about, arrays = pack(table)
    back = unpack(json.loads(json.dumps(about)), arrays)
    pd.testing.assert_frame_equal(back, table.astype({"nullable": "int64"}))
    assert not any(a.dtype.hasobject for a in arrays.values())


def test_columns_without_a_plain_form_are_refused() -> None:
    days = pd.DataFrame({"day": pd.to_datetime(["2020-01-01", "2020-01-02"])})
    with pytest.raises(hd.DataError, match=r"Column 'day' holds .*make it text"):
        pack(days)


def test_what_cannot_be_saved_says_why(rats: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "fit.hd"
    given = hd.lmm("weight ~ f(o) + (1 | litter)", rats, context={"f": np.sqrt})
    with pytest.raises(hd.FitError, match=r"no code.*\(f\)"):
        given.save(path)
    with pytest.raises(hd.FitError, match="can be saved"):
        given.refit(given.design.y).save(path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("formula", "how"),
    [
        ("np.log1p(weight) ~ sex + (1 | litter)", {}),
        ("weight ~ sex + (1 | litter)", {"variance": "power(np.sqrt(litter_size))"}),
    ],
)
def test_only_a_trusted_file_calls_other_functions(
    formula: str, how: dict[str, Any], rats: pd.DataFrame, tmp_path: Path
) -> None:
    fit = hd.lmm(formula, rats, **how)
    with pytest.raises(hd.FormulaError, match="not trusted"):
        there_and_back(fit, tmp_path)
    again = there_and_back(fit, tmp_path, trusted=True)
    assert again.criterion == pytest.approx(fit.criterion, rel=1e-8)


def test_other_files_are_refused(rats: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "fit.hd"
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    pickled = io.BytesIO()
    np.savez(pickled, about=np.array([{}], dtype=object))
    other = (tmp_path / "other.npz").read_bytes()
    for content in (b"", b"text", pickle.dumps(3), other, other[:99], pickled.getvalue()):
        path.write_bytes(content)
        with pytest.raises(hd.DataError, match="is no fit"):
            hd.load(path)
    with pytest.raises(FileNotFoundError):
        hd.load(tmp_path / "absent.hd")


def changed(path: Path, **values: Any) -> None:
    with np.load(path) as file:
        arrays = dict(file)
    about = json.loads(arrays["about"].tobytes()) | values
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    with path.open("wb") as file:
        np.savez(file, **arrays)


def test_another_version_and_another_optimum_are_told(rats: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "fit.hd"
    fit = hd.lmm("weight ~ sex + (1 | litter)", rats)
    fit.save(path)
    changed(path, criterion=fit.criterion - 1.0, henderson="0.0.1")
    with pytest.raises(hd.FitError, match=r"saved by henderson 0\.0\.1.*anew"):
        hd.load(path)
    changed(path, format=99)
    with pytest.raises(hd.DataError, match="format 99"):
        hd.load(path)
