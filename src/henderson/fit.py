"""A finished fit: what was estimated, and the verbs that follow from it.

`Fit` is frozen. Its attributes are arithmetic on the optimum; each longer answer is one line that
calls the room that works it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from henderson.design import Design
from henderson.engine.optimise import Optimum
from henderson.errors import DesignError, Note
from henderson.natural import Structured, is_structured, structured_parts
from henderson.tables.maketables import Maketables
from henderson.varcorr import VarCorr
from henderson.verdicts import notes

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from henderson.diagnostics.checks import Checks
    from henderson.diagnostics.influence import Influence
    from henderson.inference.anova import Anova
    from henderson.inference.bootstrap import Bootstrap
    from henderson.inference.caic import CAic
    from henderson.inference.exact_rlrt import ExactRlrt
    from henderson.inference.means import Means
    from henderson.inference.measures import R2, Icc
    from henderson.inference.profile import Profile
    from henderson.inference.ranova import Ranova
    from henderson.inference.robust import RobustCovariance
    from henderson.inference.wald import TestResult
    from henderson.plots import Plots
    from henderson.tables.equation import Equation
    from henderson.tables.summary import Summary

Ddf = Literal[
    "satterthwaite", "kenward-roger", "between-within", "residual", "normal", "kr", "bw", "z"
]
ResidualKind = Literal[
    "response",
    "conditional",
    "marginal",
    "pearson",
    "studentised",
    "studentised-marginal",
    "normalized",
    "whitened",
    "quantile",
]


@dataclass(frozen=True)
class Fit(Maketables):
    """A fitted linear (mixed) model.

    Parameters
    ----------
    design : the data as matrices.
    optimum : the engine's answer.
    call : the arguments of the `lmm` or `lm` that made it, by name, for `update`; the data are the
        caller's table itself, not a copy. Empty where something else made it.

    Attributes follow statsmodels' names (`params`, `bse`, `tvalues`, `pvalues`, `resid`, `llf`)
    for the fixed effects, and R's (`fixef`, `ranef`, `coef`, `varcorr`, `sigma`, `theta`) with
    R's meanings.
    """

    design: Design
    optimum: Optimum
    call: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    # -- what was fitted ---------------------------------------------------------------------

    @property
    def formula(self) -> str:
        """The model as it was written."""
        return self.design.formula.text

    @property
    def method(self) -> Literal["REML", "ML"]:
        return "REML" if self.optimum.reml else "ML"

    @property
    def nobs(self) -> int:
        return self.design.n

    @property
    def n_groups(self) -> dict[str, int]:
        """Number of levels per grouping factor."""
        return {f.name: len(f.levels) for f in self.design.random}

    @property
    def converged(self) -> bool:
        """The optimum satisfies the first- and second-order conditions."""
        return self.optimum.verdict.converged

    @property
    def is_singular(self) -> bool:
        """Some covariance matrix of random effects is not of full rank."""
        return self.optimum.is_singular

    @cached_property
    def notes(self) -> tuple[Note, ...]:
        """What the fit has to say about itself; each note carries its advice."""
        return notes(self.design, self.optimum)

    # -- estimates ---------------------------------------------------------------------------

    @cached_property
    def params(self) -> pd.Series:
        """Fixed effects (p,)."""
        return pd.Series(self.optimum.beta, index=self.design.names, name="estimate")

    def fixef(self) -> pd.Series:
        """Fixed effects (p,); R's name for `params`."""
        return self.params

    @cached_property
    def bse(self) -> pd.Series:
        """Standard errors (p,) of the fixed effects."""
        sd = np.sqrt(np.diag(self.optimum.cov_beta))
        return pd.Series(sd, index=self.design.names, name="std_error")

    def cov_params(self) -> pd.DataFrame:
        """Covariance (p, p) of the fixed effects; R's `vcov`."""
        names = self.design.names
        return pd.DataFrame(self.optimum.cov_beta, index=names, columns=names)

    @property
    def sigma(self) -> float:
        """Residual standard deviation, in units of the response."""
        return float(np.sqrt(self.optimum.sigma2))

    @property
    def scale(self) -> float:
        """Residual variance."""
        return self.optimum.sigma2

    @cached_property
    def theta(self) -> pd.Series:
        """Entries of the relative Cholesky factor, column by column within a term (as in lme4).

        Of structured terms and residuals the parameters of `structures()`, named "text.parameter".
        """
        names: list[str] = []
        values: list[float] = []
        for factor, sigma in zip(self.design.random, self.optimum.sigmas, strict=True):
            for slot in factor.slots:
                if is_structured(slot):
                    continue
                block = sigma[slot.columns, slot.columns]
                labels, entries = _theta(factor.name, slot.names, block, slot.term.structure)
                names += labels
                values += entries
        for text, parameters in self.structures().items():
            names += [f"{text}.{name}" for name in parameters]
            values += parameters.values()
        return pd.Series(values, index=names, name="theta", dtype=float)

    def structures(self) -> dict[str, dict[str, float]]:
        """The parameters of structured random terms and of the residuals' structure, by its text.

        Standard deviations (of random effects, in units of the response), correlations "rho",
        ranges in units of the positions, and for variance functions ratios and powers: those of
        standard deviations relative to `sigma`. Terms without structure are in `varcorr()`.
        """
        return {part.text: dict(part.values) for part in self.structured}

    @cached_property
    def structured(self) -> tuple[Structured, ...]:
        """The structured random terms and the parts of the residuals' structure."""
        return structured_parts(self.design, self.optimum)

    def varcorr(self) -> VarCorr:
        """Variances and correlations of the random effects."""
        cov = {
            f.name: pd.DataFrame(self.scale * s, index=_columns(f), columns=_columns(f))
            for f, s in zip(self.design.random, self.optimum.sigmas, strict=True)
        }
        terms = tuple((f.name, slot.names) for f in self.design.random for slot in f.slots)
        return VarCorr(cov, terms, self.sigma, tuple(p for p in self.structured if p.names))

    def ranef(self) -> dict[str, pd.DataFrame]:
        """Conditional modes (BLUPs) by grouping factor: one row a level, one column an effect.

        Levels of a known covariance that have no rows stand after those that have.
        """
        return {
            f.name: pd.DataFrame(
                f.extended(self.optimum.modes(t)),
                index=pd.Index(f.all_levels, name=f.name),
                columns=_columns(f),
            )
            for t, f in enumerate(self.design.random)
        }

    def condvar(self, *, given_beta: bool = True) -> dict[str, np.ndarray]:
        """Conditional covariances (J, K, K) of the modes by grouping factor.

        With `given_beta` the fixed effects are taken as known, as lme4 does; without it their
        uncertainty is included (the prediction error covariance of Henderson's equations).
        """
        return {
            f.name: self.optimum.conditional_variances(t, given_beta=given_beta)
            if f.known is None
            else self.optimum.level_variances(t, f.extended, f.known.extended_rest, given_beta)
            for t, f in enumerate(self.design.random)
        }

    def coef(self) -> dict[str, pd.DataFrame]:
        """Fixed plus random effects by level, as R's `coef`."""
        return {name: _coefficients(self.params, modes) for name, modes in self.ranef().items()}

    # -- likelihood --------------------------------------------------------------------------

    @property
    def criterion(self) -> float:
        """-2 log-likelihood (ML) or the REML criterion."""
        return self.optimum.criterion

    @property
    def llf(self) -> float:
        """Log-likelihood, restricted for REML."""
        return -0.5 * self.criterion

    @property
    def llf_error(self) -> float:
        """Monte-Carlo standard error of `llf`: zero unless the engine was iterative."""
        return 0.5 * self.optimum.criterion_error

    @property
    def npar(self) -> int:
        """Fixed effects, covariance parameters and the residual variance."""
        layout = self.optimum.layout
        free = sum(term.structure.n_parameters for _, term in layout.terms) + layout.n_residual
        return self.design.p + free + 1

    @property
    def aic(self) -> float:
        return self.criterion + 2.0 * self.npar

    @property
    def bic(self) -> float:
        return self.criterion + np.log(self.nobs) * self.npar

    @property
    def df_resid(self) -> int:
        """n - p."""
        return self.design.n - self.design.p

    # -- values row by row -------------------------------------------------------------------

    @cached_property
    def fittedvalues(self) -> pd.Series:
        """X beta + Z b + offset, with the caller's index."""
        return pd.Series(self._linear(random=True), index=self.design.index, name="fitted")

    @cached_property
    def resid(self) -> pd.Series:
        """y less the fitted values: conditional residuals."""
        return pd.Series(self.design.y, index=self.design.index, name="resid") - self.fittedvalues

    def residuals(
        self,
        kind: ResidualKind = "response",
        *,
        seed: int | np.random.Generator | None = None,
    ) -> pd.Series:
        """Residuals with the caller's index.

        Parameters
        ----------
        kind : "response" or "conditional", y less the fitted values; "marginal", y less the fixed
            part; "pearson", conditional over the standard deviations of the errors;
            "studentised", "studentised-marginal", over their own standard deviations;
            "normalized", uncorrelated and of variance one too: over the Cholesky factor of the
            errors' covariance R, in the order of the positions; "whitened", marginal over the
            Cholesky factor of V, component by component; "quantile", where each response lies
            among responses simulated from the fit, in (0, 1). Where the model is right normalized
            and whitened residuals look like white noise, and quantiles are uniform.
        seed : of the simulations of "quantile".
        """
        from henderson.diagnostics.residuals import residuals

        return pd.Series(residuals(self, kind, seed), index=self.design.index, name=kind)

    def acf(
        self, by: Any = None, kind: ResidualKind = "normalized", max_lag: int | None = None
    ) -> pd.DataFrame:
        """Autocorrelation of residuals by lag, in the order of the rows within the groups `by`."""
        from henderson.diagnostics.autocorrelation import acf

        return acf(self, by, kind, max_lag)

    def variogram(
        self, position: Any = None, by: Any = None, kind: ResidualKind = "pearson", bins: int = 15
    ) -> pd.DataFrame:
        """Half the squared difference of residuals, by distance in `position` within groups."""
        from henderson.diagnostics.autocorrelation import variogram

        return variogram(self, position, by, kind, bins)

    def influence(self, by: Any = None, *, refit: bool = False) -> Influence:
        """Leverage, Cook's distance, DFBETAS, COVRATIO: what changes without a row or a level.

        Parameters
        ----------
        by : the name of a grouping factor or a column, whose levels are left out one at a time;
            "row"; or labels. By default the first grouping factor (rows without one).
        refit : estimate the covariance parameters again, a fit a level; otherwise they are held,
            and the answer is exact and immediate.
        """
        from henderson.diagnostics.influence import influence

        return influence(self, by, refit)

    def check(self) -> Checks:
        """Assumptions one by one: a verdict, what it means, and what to do."""
        from henderson.diagnostics.checks import check

        return check(self)

    def _linear(self, *, random: bool) -> np.ndarray:
        design = self.design
        out = design.X @ self.optimum.beta
        if design.offset is not None:
            out = out + design.offset
        if random:
            for t, factor in enumerate(design.random):
                out = out + np.einsum("nk,nk->n", factor.z, self.optimum.modes(t)[factor.codes])
        return out

    def predict(
        self,
        newdata: Any = None,
        random: str = "all",
        new_levels: Literal["population", "error"] = "population",
        *,
        interval: Literal["confidence", "prediction"] | None = None,
        level: float = 0.95,
        ddf: Literal["satterthwaite", "residual", "normal"] = "satterthwaite",
        residuals: bool = False,
    ) -> pd.Series | pd.DataFrame:
        """Predictions for the rows of `newdata` (or the fitted rows).

        Parameters
        ----------
        random : "all" random effects, "none" (the population), or some terms, `"(1 | g)"`; the
            columns of other terms need not be there.
        new_levels : what to do with a level that the fit has not seen: predict the "population",
            or raise an "error".
        interval : "confidence", for what is predicted; "prediction", for a new response, whose
            residual and whose random effects left out of `random` (or of unseen levels) vary too;
            new rows have weight one, or the variance that a variance function gives them. The
            result is then a frame: predicted, std_error, lower, upper, from the joint covariance of
            fixed and random effects.
        level, ddf : of the interval.
        residuals : whether to add what correlated residuals of the fitted rows say of the new ones
            (kriging): rows of known correlation groups, at any position. No intervals then.
        """
        if interval is not None:
            if residuals:
                raise DesignError("residuals=True has no intervals: ask for one or the other.")
            from henderson.inference.prediction_intervals import predict_interval

            return predict_interval(self, newdata, random, new_levels, interval, level, ddf)
        from henderson.prediction import predict

        return predict(self, newdata, random, new_levels, residuals)

    def simulate(
        self,
        nsim: int = 1,
        seed: int | np.random.Generator | None = None,
        random: Literal["new", "conditional"] = "new",
    ) -> pd.DataFrame:
        """Responses (n, nsim) drawn from the fit.

        Parameters
        ----------
        random : "new" random effects in every draw, or "conditional" on the predicted ones.
        """
        from henderson.simulation import simulate_fit

        return simulate_fit(self, nsim, seed, random)

    # -- inference ---------------------------------------------------------------------------

    @cached_property
    def df(self) -> pd.Series:
        """Satterthwaite's degrees of freedom (p,) of the fixed effects."""
        return self.degrees_of_freedom("satterthwaite")

    def degrees_of_freedom(self, ddf: Ddf = "satterthwaite") -> pd.Series:
        """Denominator degrees of freedom (p,) of the t-test of each fixed effect."""
        from henderson.inference.wald import coefficient_ddf

        return coefficient_ddf(self, ddf)

    @cached_property
    def tvalues(self) -> pd.Series:
        return (self.params / self.bse).rename("statistic")

    @cached_property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values (p,) with Satterthwaite's degrees of freedom."""
        from henderson.inference.wald import t_pvalues

        return t_pvalues(self.tvalues, self.df)

    def conf_int(self, level: float = 0.95, ddf: Ddf = "satterthwaite") -> pd.DataFrame:
        """Wald intervals of the fixed effects: columns lower, upper."""
        from henderson.inference.wald import wald_interval

        return wald_interval(self, level, ddf)

    def confint(
        self,
        method: Literal["wald", "profile", "bootstrap"] = "wald",
        level: float = 0.95,
        which: str | Sequence[str] | None = None,
        **options: Any,
    ) -> pd.DataFrame:
        """Intervals (columns lower, upper) of the parameters.

        Parameters
        ----------
        method : "wald", of the fixed effects; "profile" (likelihood) or "bootstrap", of standard
            deviations, correlations, sigma and fixed effects.
        which : names of parameters; "profile" also takes kinds ("fixed", "sd", "cor", "sigma").
        options : `ddf` for "wald"; nsim, seed, kind, workers, cluster and `interval` ("percentile",
            "basic", "normal", "bca") for "bootstrap".
        """
        from henderson.inference.confint import confint

        return confint(self, method, level, which, options)

    def profile(self, which: str | Sequence[str] | None = None) -> Profile:
        """Profile likelihood (ML) of the parameters: zeta curves, and exact limits."""
        from henderson.inference.profile import profile

        return profile(self, which)

    def bootstrap(
        self,
        nsim: int = 1000,
        *,
        seed: int | np.random.Generator | None = None,
        kind: Literal["parametric", "residual", "case"] = "parametric",
        workers: int = 1,
        cluster: Any = None,
    ) -> Bootstrap:
        """Estimates of nsim bootstrap replicates; they depend on the seed, not on the workers.

        Parameters
        ----------
        kind : "parametric", responses drawn from the fit; "residual", from its predicted effects
            and residuals, stretched to the estimated variances; "case", whole clusters of rows.
        workers : threads for models with one grouping factor, processes for others.
        cluster : for "case", if not the outermost grouping factor: a column or labels.
        """
        from henderson.inference.bootstrap import bootstrap

        return bootstrap(self, nsim, seed, kind, workers, cluster)

    def cov_robust(
        self, kind: Literal["CR0", "CR1", "CR2", "CR3"] = "CR2", cluster: Any = None
    ) -> RobustCovariance:
        """Cluster-robust covariance of the fixed effects, with degrees of freedom.

        Parameters
        ----------
        cluster : if not the outermost grouping factor, a column or labels; clusters must hold whole
            levels of every grouping factor.
        """
        from henderson.inference.robust import cov_robust

        return cov_robust(self, kind, cluster)

    def test(self, hypothesis: Any, ddf: Ddf = "satterthwaite") -> TestResult:
        """t- or F-test of linear hypotheses: `"edu"`, `"a - b = 0"`, several, or a matrix."""
        from henderson.inference.wald import wald_test

        return wald_test(self, hypothesis, ddf)

    def anova(self, type: Literal[1, 2, 3] = 3, ddf: Ddf = "satterthwaite") -> Anova:
        """F-tests of the terms of the fixed part.

        Parameters
        ----------
        type : 3, marginal hypotheses (unweighted means); 2, each term after all that do not contain
            it; 1, each after those before it. None depends on the contrasts of the formula.
        """
        from henderson.inference.anova import anova

        return anova(self, type, ddf)

    def ranova(self) -> Ranova:
        """One likelihood-ratio test per random term, left out or reduced."""
        from henderson.inference.ranova import ranova

        return ranova(self)

    def exact_rlrt(
        self, nsim: int = 10_000, seed: int | np.random.Generator | None = None
    ) -> ExactRlrt:
        """Exact restricted likelihood-ratio test of the only variance component."""
        from henderson.inference.exact_rlrt import exact_rlrt

        return exact_rlrt(self, nsim, seed)

    def emmeans(
        self,
        specs: str | Sequence[str],
        by: str | Sequence[str] | None = None,
        at: Mapping[str, Any] | None = None,
        weights: Literal["equal", "proportional"] = "equal",
        ddf: Ddf = "satterthwaite",
        level: float = 0.95,
    ) -> Means:
        """Estimated marginal means of `specs`, in parts by the levels of `by`.

        Parameters
        ----------
        specs, by : names of predictors; several as a list, or as "a:b".
        at : predictor -> value or values; otherwise all levels of a factor, a covariate's mean.
        weights : of the factors averaged over: "equal", or "proportional" to how often their
            combinations occur.
        """
        from henderson.inference.means import emmeans

        return emmeans(self, specs, by, at, weights, ddf, level)

    def slopes(
        self,
        variable: str,
        by: str | Sequence[str] | None = None,
        at: Mapping[str, Any] | None = None,
        weights: Literal["equal", "proportional"] = "equal",
        ddf: Ddf = "satterthwaite",
        level: float = 0.95,
    ) -> Means:
        """Slopes of the mean in a covariate, for each level of `by`; R's `emtrends`.

        The covariate may stand within transformations: the slope is that at its mean, or at the
        values given in `at`.
        """
        from henderson.inference.means import slopes

        return slopes(self, variable, by, at, weights, ddf, level)

    def r2(self) -> R2:
        """Nakagawa's R2: marginal (fixed part) and conditional (fixed and random parts)."""
        from henderson.inference.measures import r2

        return r2(self)

    def icc(self) -> Icc:
        """Intraclass correlations: adjusted, unadjusted, and per grouping factor."""
        from henderson.inference.measures import icc

        return icc(self)

    def caic(self) -> CAic:
        """Conditional AIC, which counts how freely the fitted values follow the data."""
        from henderson.inference.caic import caic

        return caic(self)

    # -- matrices ----------------------------------------------------------------------------

    @property
    def X(self) -> np.ndarray:
        """(n, p), the columns of the fixed effects."""
        return self.design.X

    @property
    def Z(self) -> csr_array:
        """(n, q), sparse: a column for every random effect, level by level within a factor."""
        return self.design.Z

    def D(self) -> pd.DataFrame:
        """Covariance of one level's random effects, block-diagonal over the grouping factors."""
        from henderson.matrices import random_covariance

        return random_covariance(self)

    def R(self, rows: Any = None) -> pd.DataFrame:
        """Covariance of the residuals of some rows."""
        from henderson.matrices import residual_covariance

        return residual_covariance(self, rows)

    def V(self, rows: Any = None) -> pd.DataFrame:
        """The covariance Z D Z' + R of some rows: positions, a slice, a mask, or a level."""
        from henderson.matrices import implied_covariance

        return implied_covariance(self, rows)

    # -- tables, pictures, words -------------------------------------------------------------

    def summary(self, ddf: Ddf = "satterthwaite") -> Summary:
        """The fit in lme4's layout."""
        from henderson.tables.summary import summary

        return summary(self, ddf)

    def tidy(
        self,
        effects: Literal["fixed", "ran_pars", "ran_vals"] = "fixed",
        *,
        conf_int: bool = True,
        level: float = 0.95,
        ddf: Ddf = "satterthwaite",
    ) -> pd.DataFrame:
        """One row an estimate, with broom.mixed's columns."""
        from henderson.tables.tidy import tidy

        return tidy(self, effects, conf_int=conf_int, level=level, ddf=ddf)

    def glance(self) -> pd.DataFrame:
        """The whole fit in one row."""
        from henderson.tables.tidy import glance

        return glance(self)

    def augment(self) -> pd.DataFrame:
        """The fitted rows with fitted values and residuals."""
        from henderson.tables.tidy import augment

        return augment(self)

    def equation(self) -> Equation:
        """The model in text and LaTeX, and its R formula."""
        from henderson.tables.equation import equation

        return equation(self)

    @property
    def plot(self) -> Plots:
        """Pictures of the fit: `fit.plot.residuals()`, ..."""
        from henderson.plots import Plots

        return Plots(self)

    def report(self, path: str) -> str:
        """Write one self-contained HTML page; returns the path."""
        from henderson.report import fit_report

        return fit_report(self, path)

    # -- again -------------------------------------------------------------------------------

    def refit(self, y: Any) -> Fit:
        """The same model for another response (n,)."""
        from henderson.model import refit

        return refit(self, y)

    def update(self, formula: str | None = None, data: Any = None, **changes: Any) -> Fit:
        """Fit again with another formula, other data, or other arguments of `lmm`.

        Parameters
        ----------
        formula : R's notation: a dot is the old response, or the old terms, as in
            `". ~ . - x"`, `"log(.) ~ ."`, `". ~ . + (1 | item) - (1 | g)"`. What is taken away has
            to be there.
        data : by default the table that was given to `lmm`, read again.
        changes : `method`, `weights`, `subset`, ... as in `lmm`; None takes one back. Without
            random terms left it is `lm` that fits.

        Raises
        ------
        FitError : the fit was not made by `lmm` or `lm`. DesignError : an unknown argument.
        FormulaError : a term to be taken away is not there; a dot within a term.

        Examples
        --------
        >>> import henderson as hd
        >>> fit = hd.lmm("Reaction ~ Days + (Days | Subject)", hd.load_dataset("sleepstudy"))
        >>> fit.update(". ~ . - (Days | Subject) + (1 | Subject)", method="ML")
        <Fit: Reaction ~ Days + (1 | Subject) (ML, n = 180)>
        """
        from henderson.model import update

        return update(self, formula, data, changes)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fit to a file that `henderson.load` reads: data and numbers, no code.

        The rows and columns that took part are in it, readable for everybody.

        Raises
        ------
        FitError : a fit not of `lmm` or `lm`, or with names of `context`. DataError : a column of
            something else than numbers, truth values and text.
        """
        from henderson.saved import save

        save(self, path)

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        return f"<Fit: {self.formula} ({self.method}, n = {self.nobs})>"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def _columns(factor: Any) -> list[str]:
    """Names of a grouping factor's effects, in the order of its columns."""
    return [name for slot in factor.slots for name in slot.names]


def _theta(
    group: str, names: tuple[str, ...], sigma: np.ndarray, structure: str
) -> tuple[list[str], list[float]]:
    lower = _lower_factor(sigma)
    labels, entries = [], []
    for j, column in enumerate(names):
        for i in range(j, len(names)):
            if i > j and structure == "diag":
                continue
            labels.append(f"{group}.{names[i]}" + ("" if i == j else f".{column}"))
            entries.append(float(lower[i, j]))
    return labels, entries


def _lower_factor(sigma: np.ndarray) -> np.ndarray:
    """Lower triangular L with sigma = L L' and no negative diagonal, for a sigma of any rank."""
    values, vectors = np.linalg.eigh(sigma)
    values = np.where(values > 1e-13 * values[-1], values, 0.0)
    root = vectors * np.sqrt(values)
    _, upper = np.linalg.qr(root.T)
    return (upper * np.where(np.diag(upper) < 0, -1.0, 1.0)[:, None]).T


def _coefficients(fixed: pd.Series, modes: pd.DataFrame) -> pd.DataFrame:
    names = [*fixed.index, *(c for c in modes.columns if c not in fixed.index)]
    table = pd.DataFrame(0.0, index=modes.index, columns=names) + fixed.reindex(names).fillna(0.0)
    table[list(modes.columns)] += modes
    return table
