"""What a table of models shows of one fit, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from henderson.errors import DesignError, Note
from henderson.natural import RESIDUAL, is_structured
from henderson.tables.linear import overall
from henderson.tables.maketables import Maketables
from henderson.tables.summary import coefficients

if TYPE_CHECKING:
    from henderson.design import RandomFactor
    from henderson.fit import Ddf, Fit
    from henderson.natural import Structured

SD, COR = "SD", "Cor"


@dataclass(frozen=True)
class Parameter:
    """A parameter of the random effects or of the residuals.

    Attributes
    ----------
    kind : "SD", "Cor", or the name of a structure's parameter, such as "rho".
    names : of the random effects it is about; none for residuals and structures.
    group : their grouping factor, or "Residual".
    structure : the text of the structure it belongs to, or "".
    """

    kind: str
    names: tuple[str, ...]
    group: str
    structure: str = ""

    @property
    def about(self) -> str:
        """What it is the parameter of: "(Intercept | Subject)"."""
        names = ", ".join(self.names)
        return f"({names} | {self.group})" if names else "(residual)"

    def __str__(self) -> str:
        if self.structure:
            return f"{self.structure}: {self.kind}"
        return f"{self.kind} {self.about}"


@dataclass(frozen=True, eq=False)
class ModelColumn(Maketables):
    """One fit.

    Attributes
    ----------
    name, response, method : the model's name, its dependent variable, "REML" or "ML".
    ddf : how the degrees of freedom were found; "residual" where that is exact.
    fixed : (p, 7) estimate, std_error, df, statistic, p_value, lower, upper, by name.
    random : the parameters of the random effects; residual : those of the residuals.
    groups : grouping factor -> levels.
    measures : of the fit, by name; those it does not have are absent.
    notes : what the fit has to say about itself.
    """

    name: str
    response: str
    method: str
    ddf: str
    fixed: pd.DataFrame
    random: dict[Parameter, float]
    residual: dict[Parameter, float]
    groups: dict[str, int]
    measures: dict[str, float]
    notes: tuple[Note, ...]

    @property
    def is_mixed(self) -> bool:
        """There are random effects."""
        return bool(self.groups)

    def renamed(self, rename: Mapping[str, str]) -> ModelColumn:
        """With other names of random effects and groups.

        Raises
        ------
        DesignError : two get the same name.
        """
        random = {_renamed(parameter, rename): v for parameter, v in self.random.items()}
        groups = {rename.get(name, name): count for name, count in self.groups.items()}
        if len(random) < len(self.random) or len(groups) < len(self.groups):
            raise DesignError(
                f"rename= gives random effects or groups of {self.name} the same name: "
                "give them different ones."
            )
        return replace(self, random=random, groups=groups)

    @cached_property
    def _column(self) -> ModelColumn:
        return self


def _renamed(parameter: Parameter, rename: Mapping[str, str]) -> Parameter:
    names = tuple(rename.get(name, name) for name in parameter.names)
    return replace(parameter, names=names, group=rename.get(parameter.group, parameter.group))


def model_column(fit: Fit, name: str, ddf: Ddf, level: float) -> ModelColumn:
    """The numbers of a fit.

    Raises
    ------
    DesignError : unknown `ddf`, or one that this fit cannot have; `level` not between 0 and 1.
    """
    from henderson.inference.ddf import used_method

    return ModelColumn(
        name=name,
        response=fit.design.formula.response,
        method=fit.method,
        ddf=used_method(fit, ddf),
        fixed=fixed_effects(fit, ddf, level),
        random=random_parameters(fit),
        residual=residual_parameters(fit),
        groups=fit.n_groups,
        measures=measures(fit),
        notes=fit.notes,
    )


def fixed_effects(fit: Fit, ddf: Ddf, level: float) -> pd.DataFrame:
    """Estimates, tests and intervals (p, 7) of the fixed effects."""
    from henderson.inference.wald import wald_interval

    return pd.concat([coefficients(fit, ddf), wald_interval(fit, level, ddf)], axis=1)


def random_parameters(fit: Fit) -> dict[Parameter, float]:
    """Standard deviations, then correlations, term by term; a structure's own parameters."""
    found: dict[Parameter, float] = {}
    varcorr = fit.varcorr()
    parts = {(part.group, part.names): part for part in fit.structured}
    for factor in fit.design.random:
        sd, cor = varcorr.sd[factor.name], varcorr.cor[factor.name]
        for slot in factor.slots:
            if is_structured(slot):
                found |= _structure(parts[factor.name, slot.names])
                continue
            found |= _deviations(factor, slot.names, sd)
            if slot.term.structure != "diag":
                found |= _correlations(factor, slot.names, cor)
    return found


def _deviations(factor: RandomFactor, names: tuple[str, ...], sd: pd.Series) -> dict:
    return {Parameter(SD, (n,), factor.name): float(sd[n]) for n in names}


def _correlations(factor: RandomFactor, names: tuple[str, ...], cor: pd.DataFrame) -> dict:
    return {
        Parameter(COR, (a, b), factor.name): float(cor.loc[a, b])
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    }


def residual_parameters(fit: Fit) -> dict[Parameter, float]:
    """The residual standard deviation, then the parameters of the residuals' structure."""
    found = {Parameter(SD, (), RESIDUAL): fit.sigma}
    for part in fit.structured:
        if part.is_residual:
            found |= _structure(part)
    return found


def _structure(part: Structured) -> dict[Parameter, float]:
    return {Parameter(kind, (), part.group, part.text): v for kind, v in part.values.items()}


def measures(fit: Fit) -> dict[str, float]:
    """Rows, shares of variance, likelihood: the names are those of a table's index."""
    found: dict[str, float] = {"nobs": fit.nobs}
    if fit.design.random:
        r2 = fit.r2()
        found |= {"r2_marginal": r2.marginal, "r2_conditional": r2.conditional}
        found |= {"icc": fit.icc().adjusted}
    elif fit.design.residual is None:
        whole = overall(fit)
        found |= {"r2": _or_nan(whole.r_squared), "r2_adjusted": _or_nan(whole.adjusted)}
    found |= {"log_lik": fit.llf, "aic": fit.aic, "bic": fit.bic, "npar": fit.npar}
    return {name: value for name, value in found.items() if not np.isnan(value)}


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
