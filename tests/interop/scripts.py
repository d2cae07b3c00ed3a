"""Scripts as they are published for statsmodels' mixedlm, each a function of the module's place.

`api` is `statsmodels.formula.api` or `henderson`: the one thing that a user changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import henderson as hd

Api = Any
Script = Callable[[Api], Any]


def pigs() -> pd.DataFrame:
    """Weights of growing pigs, unbalanced, with a slope of their own."""
    rng = np.random.default_rng(20)
    weeks = [int(k) for k in rng.integers(6, 13, size=40)]
    pig = np.repeat(np.arange(4601, 4641), weeks)
    time = np.concatenate([np.arange(1, k + 1) for k in weeks]).astype(float)
    start, pace = rng.normal(0, 2.4, 40), rng.normal(0, 0.6, 40)
    at = np.repeat(np.arange(40), weeks)
    dose = np.repeat(rng.choice(["none", "low", "high"], 40), weeks)
    weight = 15.7 + 6.9 * time + start[at] + pace[at] * time + rng.normal(0, 2, len(at))
    return pd.DataFrame({"Pig": pig, "Time": time, "Evit": dose, "Weight": weight})


def schools() -> pd.DataFrame:
    """Pupils in classrooms in schools; the labels of classrooms start again in every school."""
    rng = np.random.default_rng(7)
    table = pd.DataFrame(
        [
            (f"s{s:02d}", f"c{c}")
            for s in range(15)
            for c in range(4)
            for _ in range(rng.integers(3, 9))
        ],
        columns=["school", "classroom"],
    )
    n = len(table)
    unit = pd.factorize(table["school"] + table["classroom"])[0]
    table["age"] = rng.normal(10, 1, n)
    table["pretest"] = rng.normal(0, 1, n)
    table["score"] = (
        50
        + 2 * table["age"]
        + rng.normal(0, 3, 15)[pd.factorize(table["school"])[0]]
        + rng.normal(0, 2, unit.max() + 1)[unit]
        + rng.normal(0, 1, unit.max() + 1)[unit] * table["pretest"]
        + rng.normal(0, 2, n)
    )
    return table


def sleep(api: Api) -> Any:
    data = hd.load_dataset("sleepstudy")
    model = api.mixedlm("Reaction ~ Days", data, groups=data["Subject"], re_formula="~Days")
    return model.fit(method=["lbfgs"])


def sleep_slopes_alone(api: Api) -> Any:
    data = hd.load_dataset("sleepstudy")
    return api.mixedlm("Reaction ~ Days", data, re_formula="0 + Days", groups="Subject").fit()


def sleep_ml(api: Api) -> Any:
    data = hd.load_dataset("sleepstudy")
    model = api.mixedlm("Reaction ~ Days", data, groups=data["Subject"], re_formula="~Days")
    return model.fit(reml=False, method="lbfgs", maxiter=200)


def pig_intercepts(api: Api) -> Any:
    data = pigs()
    return api.mixedlm("Weight ~ Time", data, groups=data["Pig"]).fit(method=["lbfgs"])


def pig_slopes(api: Api) -> Any:
    data = pigs()
    model = api.mixedlm(
        "Weight ~ Time * C(Evit, Treatment('none'))",
        data,
        groups=data["Pig"].to_numpy(),
        re_formula="~Time",
    )
    return model.fit(method="powell")


def pig_components(api: Api) -> Any:
    vc = {"slope": "0 + Time"}
    return api.mixedlm("Weight ~ Time", pigs(), groups="Pig", re_formula="1", vc_formula=vc).fit(
        reml=False
    )


def rat_pups(api: Api) -> Any:
    data = hd.load_dataset("rat_pup")
    return api.mixedlm(
        "weight ~ litter_size + C(treatment) * C(sex)", data, groups=data["litter"]
    ).fit()


def rat_pup_sexes(api: Api) -> Any:
    """Litters, and the sexes within them; as text, for of categoricals statsmodels also lists the
    levels that a group does not have."""
    data = hd.load_dataset("rat_pup").astype({"sex": str})
    vc = {"sex": "0 + C(sex)"}
    return api.mixedlm("weight ~ C(sex)", data, groups="litter", re_formula="1", vc_formula=vc).fit(
        reml=True
    )


def school_classrooms(api: Api) -> Any:
    vc = {"classroom": "0 + C(classroom)", "pretest": "0 + C(classroom):pretest"}
    return api.mixedlm(
        "score ~ age + pretest", schools(), groups="school", re_formula="1", vc_formula=vc
    ).fit()


def school_shared_variance(api: Api) -> Any:
    """Two numeric columns of one component share its variance."""
    return api.mixedlm(
        "score ~ age", schools(), groups="school", vc_formula={"both": "0 + I(age - 10) + pretest"}
    ).fit()


def class_scores(api: Api) -> Any:
    data = hd.load_dataset("classroom_scores")
    return api.mixedlm("score ~ edu", data, groups=data["classroom"]).fit()


def crossed(api: Api) -> Any:
    """Crossed factors: one group that holds all rows, and a component for each factor."""
    data = hd.load_dataset("penicillin").assign(all=1)
    vc = {"plate": "0 + C(plate)", "sample": "0 + C(sample)"}
    return api.mixedlm("diameter ~ 1", data, groups="all", vc_formula=vc).fit()


def with_missing(api: Api) -> Any:
    data = pigs()
    data.loc[[3, 50, 51], "Weight"] = np.nan
    data.loc[100, "Time"] = np.nan
    return api.mixedlm(
        "Weight ~ Time", data, groups="Pig", re_formula="~Time", missing="drop"
    ).fit()


def own_function(api: Api) -> Any:
    def cubed(values: pd.Series) -> pd.Series:
        return values**3 / 100

    data = pigs()
    data["late"] = data["Time"] > 6
    return api.mixedlm(
        "np.log(Weight) ~ cubed(Time) + late + C(Evit, Sum) + center(Time)",
        data,
        groups=data["Pig"],
    ).fit()


SCRIPTS: tuple[Script, ...] = (
    sleep,
    sleep_slopes_alone,
    sleep_ml,
    pig_intercepts,
    pig_slopes,
    pig_components,
    rat_pups,
    rat_pup_sexes,
    school_classrooms,
    school_shared_variance,
    class_scores,
    crossed,
    with_missing,
    own_function,
)
