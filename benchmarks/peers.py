"""The other side in Python: fits of one peer package, timed inside this process.

Run by `run.py` as: python peers.py PACKAGE FOLDER FORMULA
"""

from __future__ import annotations

import platform
import re
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import columns
import numpy as np
import pandas as pd
from serve import Facts, Unavailable, serve, timed

Fitter = Callable[[], Facts]


def bars(formula: str) -> list[tuple[str, str]]:
    """(left, group) of each random term."""
    found = re.findall(r"\(([^|()]+)\|([^)]+)\)", formula)
    return [(left.strip(), group.strip()) for left, group in found]


def fixed_part(formula: str) -> str:
    """The formula without its random terms."""
    return re.sub(r"\s*\+\s*\([^|()]+\|[^)]+\)", "", formula)


def glmm_fitter(formula: str, data: pd.DataFrame) -> Callable[[], Any]:
    import glmm

    return lambda: glmm.fit(data, formula, satterthwaite=False)


def glmm_facts(found: Any) -> Facts:
    return {"criterion": f"{-2.0 * float(found.loglik):.8f}", "evaluations": str(found.n_eval)}


def mixedlm_fitter(formula: str, data: pd.DataFrame) -> Callable[[], Any]:
    import mixedlm

    return lambda: mixedlm.lmer(formula, data)


def mixedlm_facts(found: Any) -> Facts:
    return {"criterion": f"{float(found.REMLcrit()):.8f}"}


def statsmodels_fitter(formula: str, data: pd.DataFrame) -> Callable[[], Any]:
    """MixedLM for one grouping factor; a nested one as a variance component."""
    import statsmodels.formula.api as smf

    terms = bars(formula)
    if len(terms) != 1:
        raise Unavailable("MixedLM: one grouping factor")
    left, group = terms[0]
    outer, _, inner = group.partition("/")
    options: dict[str, Any] = {"re_formula": left}
    if inner:
        options["vc_formula"] = {inner: f"0 + C({inner})"}
    fixed = fixed_part(formula)

    return lambda: smf.mixedlm(fixed, data, groups=data[outer], **options).fit(reml=True)


def statsmodels_facts(found: Any) -> Facts:
    return {"criterion": f"{-2.0 * float(found.llf):.8f}"}


def gpboost_fitter(formula: str, data: pd.DataFrame) -> Callable[[], Any]:
    """GPModel with grouped effects: intercepts only (its slopes have no correlation)."""
    import gpboost

    terms = bars(formula)
    if any(left != "1" for left, _ in terms):
        raise Unavailable("random slopes without correlation: another model")
    groups = [codes for _, group in terms for codes in _codes(group, data)]
    response, right = fixed_part(formula).split("~")
    y = data[response.strip()].to_numpy()

    def fit() -> Any:
        model = gpboost.GPModel(group_data=np.column_stack(groups), likelihood="gaussian")
        return model.fit(y=y, X=_design(right, data))

    return fit


def _codes(group: str, data: pd.DataFrame) -> list[np.ndarray]:
    """Integer labels of a, a:b, or both of a and a/b."""
    parts = [p.strip() for p in re.split("[:/]", group)]
    first = data[parts[0]].cat.codes.to_numpy(np.int64)
    if len(parts) == 1:
        return [first]
    second = data[parts[1]]
    both = first * len(second.cat.categories) + second.cat.codes.to_numpy(np.int64)
    return [first, both] if "/" in group else [both]


def _design(right: str, data: pd.DataFrame) -> np.ndarray:
    """Intercept and columns named on the right, factors by treatment coding; sums only."""
    names = [t.strip() for t in right.split("+") if t.strip() != "1"]
    if any(n not in data for n in names):
        raise Unavailable("no formulas")
    return np.column_stack([np.ones(len(data)), *(_columns(data[n]) for n in names)])


def _columns(column: pd.Series) -> np.ndarray:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pd.get_dummies(column, drop_first=True, dtype=float).to_numpy()
    return column.to_numpy(float)


def gpboost_facts(found: Any) -> Facts:
    return {"note": "ML"}


PACKAGES = {
    "glmm": (glmm_fitter, glmm_facts),
    "mixedlm": (mixedlm_fitter, mixedlm_facts),
    "statsmodels": (statsmodels_fitter, statsmodels_facts),
    "gpboost": (gpboost_fitter, gpboost_facts),
}


def main() -> None:
    package, folder, formula = sys.argv[1:]
    warnings.simplefilter("ignore")
    data = columns.read(Path(folder))
    fitter, describe = PACKAGES[package]

    def fit(_: int) -> Facts:
        seconds, found = timed(fitter(formula, data))
        return {"seconds": seconds} | describe(found)

    def versions(_: int) -> Facts:
        return {package: version(package), "Python": platform.python_version()}

    serve({"fit": fit, "versions": versions})


if __name__ == "__main__":
    main()
