"""The model that `mixedlm` makes, under statsmodels' names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from henderson.data.factors import Factor, factorize
from henderson.design import Design, RandomFactor, TermSlot
from henderson.errors import DesignError, Note
from henderson.formula import RandomTerm
from henderson.interop.statsmodels.components import Component, independent
from henderson.interop.statsmodels.patsy_order import ordered_names
from henderson.interop.statsmodels.refusals import refuse_model
from henderson.model import fit_design

if TYPE_CHECKING:
    from henderson.interop.statsmodels.results import MixedLMResults


@dataclass(frozen=True)
class ModelData:
    """What statsmodels keeps under `model.data`: the rows used and the names of the columns."""

    frame: pd.DataFrame
    xnames: list[str]
    ynames: str
    param_names: list[str]
    exog_re_names: list[str]
    exog_re_names_full: list[str]
    vcomp_names: list[str]

    @property
    def row_labels(self) -> pd.Index:
        """The caller's labels of the rows."""
        return self.frame.index


@dataclass(frozen=True)
class MixedLM:
    """A linear mixed model in statsmodels' words; made by `mixedlm`.

    Parameters
    ----------
    formula : of the fixed effects, as written.
    design : response, fixed effects and random effects as matrices.
    label : what the groups are called in the names of parameters.
    membership : (n,) the group of each row.
    effects : the correlated random effects by group, or None.
    components : variance components.
    notes : what there is to say about the arguments.
    """

    formula: str
    design: Design
    label: str
    membership: pd.Series
    effects: RandomTerm | None
    components: tuple[Component, ...]
    notes: tuple[Note, ...] = ()

    # -- fixed effects -----------------------------------------------------------------------

    @cached_property
    def exog_names(self) -> list[str]:
        """Names (k_fe,) of the fixed effects, in patsy's order."""
        return list(ordered_names(self.design.fixed.spec, self.design.names))

    @cached_property
    def columns(self) -> list[int]:
        """Positions (k_fe,) of the fixed effects among the design's."""
        return [self.design.names.index(name) for name in self.exog_names]

    @cached_property
    def exog(self) -> np.ndarray:
        """(n, k_fe)."""
        return self.design.X[:, self.columns]

    @property
    def endog(self) -> np.ndarray:
        """(n,) response."""
        return self.design.y

    @property
    def endog_names(self) -> str:
        return self.design.formula.response

    @property
    def k_fe(self) -> int:
        return self.design.p

    # -- random effects ----------------------------------------------------------------------

    def slot(self, term: RandomTerm) -> tuple[int, TermSlot]:
        """The place of a term: which grouping factor, and which of its columns."""
        return next(
            (t, slot)
            for t, factor in enumerate(self.design.random)
            for slot in factor.slots
            if (slot.term.lhs, slot.term.group) == (term.lhs, term.group)
        )

    @cached_property
    def effect_columns(self) -> list[int]:
        """Positions (k_re,) of the correlated effects among their grouping factor's columns."""
        if self.effects is None:
            return []
        _, slot = self.slot(self.effects)
        order = ordered_names(slot.spec, slot.names)
        return [slot.columns.start + slot.names.index(name) for name in order]

    @cached_property
    def exog_re(self) -> np.ndarray | None:
        """(n, k_re) columns of the correlated random effects, None without any."""
        if self.effects is None:
            return None
        t, _ = self.slot(self.effects)
        return self.design.random[t].z[:, self.effect_columns]

    @cached_property
    def exog_re_names(self) -> list[str]:
        """Names (k_re,); the intercept is called after the groups."""
        if self.effects is None:
            return []
        t, _ = self.slot(self.effects)
        found = [self.design.random[t].names[k] for k in self.effect_columns]
        return [self.label if name == "Intercept" else name for name in found]

    @property
    def k_re(self) -> int:
        return len(self.exog_re_names)

    @property
    def k_re2(self) -> int:
        """Variances and covariances of the correlated random effects."""
        return self.k_re * (self.k_re + 1) // 2

    @property
    def k_vc(self) -> int:
        return len(self.components)

    @property
    def k_params(self) -> int:
        """k_fe + k_re2, as statsmodels counts here."""
        return self.k_fe + self.k_re2

    @cached_property
    def covariance_names(self) -> list[str]:
        """Names (k_re2 + k_vc,) of the variances and covariances."""
        re = self.exog_re_names
        out = [
            f"{re[j]} x {re[i]} Cov" if j < i else f"{re[i]} Var"
            for i in range(len(re))
            for j in range(i + 1)
        ]
        return out + [f"{c.name} Var" for c in self.components]

    @property
    def param_names(self) -> list[str]:
        return self.exog_names + self.covariance_names

    # -- groups ------------------------------------------------------------------------------

    @cached_property
    def groups(self) -> np.ndarray:
        """(n,) labels."""
        return np.asarray(self.membership)

    @cached_property
    def group_factor(self) -> Factor:
        return factorize(self.membership)

    @cached_property
    def group_labels(self) -> list[Any]:
        """Sorted labels (n_groups,)."""
        labels = list(self.group_factor.levels)
        try:
            return sorted(labels)
        except TypeError:
            return labels

    @property
    def n_groups(self) -> int:
        return len(self.group_factor.levels)

    @cached_property
    def row_indices(self) -> dict[Any, np.ndarray]:
        """Group -> positions of its rows."""
        codes = self.group_factor.codes
        by_group = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
        found = dict(zip(self.group_factor.levels, by_group, strict=True))
        return {label: found[label] for label in self.group_labels}

    @property
    def group_sizes(self) -> np.ndarray:
        """Rows (n_groups,) by group."""
        return np.bincount(self.group_factor.codes)

    def group_list(self, array: np.ndarray) -> list[np.ndarray]:
        """The rows of an array, group by group in the order of `group_labels`."""
        return [np.asarray(array)[rows] for rows in self.row_indices.values()]

    @property
    def endog_li(self) -> list[np.ndarray]:
        """The response by group."""
        return self.group_list(self.endog)

    @property
    def exog_li(self) -> list[np.ndarray]:
        """The fixed effects' columns by group."""
        return self.group_list(self.exog)

    @property
    def exog_re_li(self) -> list[np.ndarray]:
        """The random effects' columns by group; empty without any."""
        return [] if self.exog_re is None else self.group_list(self.exog_re)

    @property
    def nobs(self) -> int:
        return self.design.n

    @cached_property
    def data(self) -> ModelData:
        return ModelData(
            self.design.frame.data,
            self.exog_names,
            self.endog_names,
            self.param_names,
            self.exog_re_names,
            self.covariance_names[: self.k_re2],
            [c.name for c in self.components],
        )

    # -- verbs -------------------------------------------------------------------------------

    def fit(
        self,
        start_params: Any = None,
        reml: bool = True,
        niter_sa: int = 0,
        do_cg: bool = True,
        fe_pen: Any = None,
        cov_pen: Any = None,
        free: Any = None,
        full_output: bool = False,
        method: Any = None,
        **fit_kwargs: Any,
    ) -> MixedLMResults:
        """Fit the model by REML, or by maximum likelihood with `reml=False`.

        The optimum is exact, so `start_params`, `niter_sa`, `full_output`, `method` (statsmodels'
        optimiser) and its keywords have no use here: they are accepted, and named in a note of the
        result.

        Parameters
        ----------
        free : statsmodels' mask of parameters; zeros off the diagonal of its `cov_re` make the
            random effects independent, ones everywhere leave the model as it is.

        Raises
        ------
        FitError : the model cannot be estimated from these data.
        DesignError : penalties, another mask, `do_cg=False`.
        """
        from henderson.interop.statsmodels.results import MixedLMResults

        if fe_pen is not None or cov_pen is not None:
            raise DesignError("Penalties (fe_pen, cov_pen) are not offered: leave them out.")
        if not do_cg:
            raise DesignError("do_cg=False, a result at the starting values, is not offered.")
        model = self if free is None else _constrained(self, free)
        given = {"start_params": start_params, "niter_sa": niter_sa or None, "method": method}
        idle = [k for k, v in given.items() if v is not None] + [*fit_kwargs]
        idle += ["full_output"] if full_output else []
        fit = fit_design(model.design, "REML" if reml else "ML")
        return MixedLMResults(model, fit, (*self.notes, *unused_note(idle, "fit")))

    def predict(self, params: Any, exog: Any = None) -> np.ndarray:
        """exog @ fixed effects; `params` may hold all the parameters."""
        beta = np.asarray(params, dtype=float)[: self.k_fe]
        return (self.exog if exog is None else np.asarray(exog, dtype=float)) @ beta

    def __getattr__(self, name: str) -> Any:
        return refuse_model(name)

    def __repr__(self) -> str:
        return f"<MixedLM: {self.design.formula.text} (n = {self.nobs})>"


def unused_note(given: list[str], where: str) -> tuple[Note, ...]:
    """A note that names keywords without effect; none for none."""
    if not given:
        return ()
    return (
        Note(
            "unused",
            f"{where}() has no use for {', '.join(given)}: the fit is exact and needs no settings.",
            "Leave them out.",
        ),
    )


def _constrained(model: MixedLM, free: Any) -> MixedLM:
    """The model under statsmodels' mask of free parameters."""
    mask = np.atleast_2d(np.asarray(getattr(free, "cov_re", np.nan), dtype=float))
    fixed = np.asarray(getattr(free, "fe_params", []), dtype=float)
    vc = np.asarray(getattr(free, "vcomp", []), dtype=float)
    whole = (fixed == 1).all() and (vc == 1).all() and mask.shape == (model.k_re,) * 2
    if whole and (mask == 1).all():
        return model
    if whole and (mask == np.eye(model.k_re)).all() and model.effects is not None:
        return _uncorrelated(model, model.effects)
    raise DesignError(
        "free: a mask of ones, or one with the identity for cov_re (independent random "
        "effects), is offered; other parameters cannot be held fixed."
    )


def _uncorrelated(model: MixedLM, effects: RandomTerm) -> MixedLM:
    term = independent(effects)
    place, slot = model.slot(effects)

    def swap(factor: RandomFactor) -> RandomFactor:
        slots = tuple(replace(s, term=term) if s is slot else s for s in factor.slots)
        return replace(factor, slots=slots)

    random = tuple(swap(f) if t == place else f for t, f in enumerate(model.design.random))
    formula = replace(
        model.design.formula,
        text=model.design.formula.text.replace(effects.text, term.text),
        random=tuple(term if t == effects else t for t in model.design.formula.random),
    )
    design = replace(model.design, formula=formula, random=random)
    return replace(model, design=design, effects=term)
