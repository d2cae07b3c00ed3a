"""A fitted model under statsmodels' names, with statsmodels' meanings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from henderson.errors import DesignError, Note
from henderson.fit import Fit
from henderson.inference.wald import two_sided
from henderson.interop.statsmodels import effects as random_effects_of
from henderson.interop.statsmodels.hypotheses import Linear, TTest, WaldTest, joint_test, linear
from henderson.interop.statsmodels.information import joint_covariance
from henderson.interop.statsmodels.model import MixedLM
from henderson.interop.statsmodels.refusals import refuse_results
from henderson.interop.statsmodels.summary import TITLE, Summary, summarise


@dataclass(frozen=True)
class MixedLMResults:
    """What `MixedLM.fit` returns.

    Parameters
    ----------
    model : as it was asked for.
    henderson : this package's own fit, with all of its verbs (t-tests with Satterthwaite's degrees
        of freedom, intervals, pictures).
    argument_notes : what there is to say about the arguments.

    Standard errors come from the joint observed information of fixed effects and relative
    variances, and p-values are normal, as in statsmodels.
    """

    model: MixedLM
    henderson: Fit
    argument_notes: tuple[Note, ...] = ()

    use_t = False
    cov_pen = None
    freepat = None
    k_constant = 1

    # -- estimates ---------------------------------------------------------------------------

    @cached_property
    def params(self) -> pd.Series:
        """Fixed effects, then variances and covariances divided by the scale (k,)."""
        values = [*self.fe_params, *_lower(self._relative), *self._relative_components]
        return pd.Series(values, index=self.model.param_names, dtype=float)

    @cached_property
    def fe_params(self) -> pd.Series:
        """Fixed effects (k_fe,)."""
        return self.henderson.params[self.model.exog_names].rename(None)

    @cached_property
    def cov_re(self) -> pd.DataFrame:
        """Covariance (k_re, k_re) of the correlated random effects."""
        names = self.model.exog_re_names
        return pd.DataFrame(self.scale * self._relative, index=names, columns=names)

    @property
    def cov_re_unscaled(self) -> np.ndarray:
        """`cov_re` divided by the scale."""
        return self._relative

    @cached_property
    def vcomp(self) -> np.ndarray:
        """Variances (k_vc,) of the components."""
        return self.scale * self._relative_components

    @cached_property
    def _relative(self) -> np.ndarray:
        if self.model.effects is None:
            return np.zeros((0, 0))
        t, _ = self.model.slot(self.model.effects)
        where = self.model.effect_columns
        return self.henderson.optimum.sigmas[t][np.ix_(where, where)]

    @cached_property
    def _relative_components(self) -> np.ndarray:
        places = [self.model.slot(c.term) for c in self.model.components]
        found = [
            self.henderson.optimum.sigmas[t][s.columns.start, s.columns.start] for t, s in places
        ]
        return np.array(found, dtype=float)

    @property
    def scale(self) -> float:
        """Residual variance."""
        return self.henderson.scale

    # -- precision ---------------------------------------------------------------------------

    @cached_property
    def _cov(self) -> np.ndarray:
        return joint_covariance(self.model, self.henderson)

    def cov_params(
        self,
        r_matrix: Any = None,
        column: Any = None,
        scale: Any = None,
        cov_p: Any = None,
        other: Any = None,
    ) -> pd.DataFrame | np.ndarray:
        """Covariance (k, k) of the parameters, or R Cov R' for `r_matrix` (r, k).

        Raises
        ------
        DesignError : `column`, `scale`, `cov_p` and `other`, which are not offered.
        """
        if any(v is not None for v in (column, scale, cov_p, other)):
            raise DesignError("cov_params takes r_matrix alone; select from the table it returns.")
        if r_matrix is not None:
            matrix = np.atleast_2d(np.asarray(r_matrix, dtype=float))
            if matrix.shape[1] != len(self._cov):
                raise DesignError(
                    f"r_matrix has {matrix.shape[1]} columns; there are {len(self._cov)} "
                    f"parameters: {', '.join(self.model.param_names)}."
                )
            return matrix @ self._cov @ matrix.T
        names = self.model.param_names
        return pd.DataFrame(self._cov, index=names, columns=names)

    @property
    def normalized_cov_params(self) -> pd.DataFrame:
        """`cov_params()` divided by the scale."""
        names = self.model.param_names
        return pd.DataFrame(self._cov / self.scale, index=names, columns=names)

    @cached_property
    def bse(self) -> pd.Series:
        """Standard errors (k,); NaN where the information is not positive, 0 of what is fixed."""
        variances = np.diag(self._cov)
        sd = np.sqrt(np.where(variances >= 0.0, variances, np.nan))
        return pd.Series(sd, index=self.model.param_names)

    @property
    def bse_fe(self) -> pd.Series:
        """Standard errors (k_fe,) of the fixed effects."""
        return self.bse[: self.k_fe]

    @property
    def bse_re(self) -> pd.Series:
        """statsmodels' standard errors of the variances: those of `params` times sqrt(scale)."""
        return self.bse[self.k_fe :] * np.sqrt(self.scale)

    @cached_property
    def tvalues(self) -> pd.Series:
        """Estimate over standard error (k,), also of the variances."""
        return self.params / self.bse

    @cached_property
    def pvalues(self) -> pd.Series:
        """Two-sided normal p-values (k,)."""
        values = [two_sided(float(t), np.inf) for t in self.tvalues]
        return pd.Series(values, index=self.tvalues.index)

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Normal intervals of all parameters: columns 0 and 1."""
        reach = special.ndtri(1.0 - alpha / 2.0) * self.bse
        return pd.DataFrame({0: self.params - reach, 1: self.params + reach})

    # -- the whole fit -----------------------------------------------------------------------

    @property
    def llf(self) -> float:
        """Log-likelihood, restricted for REML."""
        return self.henderson.llf

    @property
    def aic(self) -> float:
        """Akaike's criterion; NaN for REML, as in statsmodels (`henderson.aic` has it)."""
        return np.nan if self.reml else self.henderson.aic

    @property
    def bic(self) -> float:
        """Schwarz's criterion; NaN for REML."""
        return np.nan if self.reml else self.henderson.bic

    @property
    def method(self) -> str:
        """ "REML" or "ML"."""
        return self.henderson.method

    @property
    def reml(self) -> bool:
        return self.method == "REML"

    @property
    def converged(self) -> bool:
        return self.henderson.converged

    @property
    def nobs(self) -> int:
        return self.henderson.nobs

    @property
    def df_resid(self) -> int:
        """n less the number of fixed effects."""
        return self.henderson.df_resid

    @property
    def df_modelwc(self) -> int:
        """Number of parameters without the scale."""
        return self.k_fe + self.k_re2 + self.k_vc

    @property
    def k_fe(self) -> int:
        return self.model.k_fe

    @property
    def k_re(self) -> int:
        return self.model.k_re

    @property
    def k_re2(self) -> int:
        return self.model.k_re2

    @property
    def k_vc(self) -> int:
        return self.model.k_vc

    @property
    def mse_resid(self) -> float:
        """Sum of squared conditional residuals over `df_resid`."""
        return float(self.resid @ self.resid) / self.df_resid

    @property
    def notes(self) -> tuple[Note, ...]:
        """What there is to say about the arguments and the fit; each note carries its advice."""
        return (*self.argument_notes, *self.henderson.notes)

    # -- rows --------------------------------------------------------------------------------

    @property
    def fittedvalues(self) -> pd.Series:
        """Fixed and random effects together (n,), with the caller's index."""
        return self.henderson.fittedvalues.rename(None)

    @property
    def resid(self) -> pd.Series:
        """Response less fitted values (n,)."""
        return self.henderson.resid.rename(None)

    def predict(self, exog: Any = None, transform: bool = True) -> pd.Series | np.ndarray:
        """Predictions from the fixed effects alone.

        Parameters
        ----------
        exog : a table with the predictors, or their columns (m, k_fe) as an array; the rows of the
            fit by default.
        transform : False takes the array as it is; a table is always evaluated by the formula.
        """
        if exog is None:
            return self.model.exog @ self.fe_params.to_numpy()
        if isinstance(exog, np.ndarray | list) or not transform:
            columns = np.atleast_2d(np.asarray(exog, dtype=float))
            if columns.shape[1] != self.k_fe:
                raise DesignError(
                    f"exog has {columns.shape[1]} columns; the model has {self.k_fe} fixed "
                    f"effects: {', '.join(self.model.exog_names)}."
                )
            return columns @ self.fe_params.to_numpy()
        new = self.henderson.design.new(exog, random=False)
        out = new.X @ self.henderson.optimum.beta
        return pd.Series(out if new.offset is None else out + new.offset, index=new.index)

    # -- random effects ----------------------------------------------------------------------

    @cached_property
    def random_effects(self) -> dict[Any, pd.Series]:
        """Group -> its conditional modes."""
        return random_effects_of.modes(self.model, self.henderson)

    @cached_property
    def random_effects_cov(self) -> dict[Any, pd.DataFrame]:
        """Group -> covariance of its random effects given the data."""
        return random_effects_of.mode_covariances(self.model, self.henderson)

    # -- tests -------------------------------------------------------------------------------

    def t_test(self, r_matrix: Any, use_t: bool | None = None) -> TTest:
        """z-tests (t-tests with n - k_fe df for `use_t=True`) of each row of a hypothesis.

        Parameters
        ----------
        r_matrix : text such as "x = 0", or R (r, k_fe).
        """
        return TTest(self._linear(r_matrix), float(self.df_resid) if use_t else np.inf)

    def wald_test(self, r_matrix: Any, use_f: bool | None = None, scalar: bool = True) -> WaldTest:
        """Joint chi-square test of a hypothesis; `use_f=True` makes it an F-test.

        The statistic is one number; `scalar` is there for scripts that say so.
        """
        return joint_test(self._linear(r_matrix), self.df_resid, bool(use_f))

    def f_test(self, r_matrix: Any) -> WaldTest:
        """Joint F-test of a hypothesis with n - k_fe denominator degrees of freedom."""
        return joint_test(self._linear(r_matrix), self.df_resid, True)

    def wald_test_terms(self) -> pd.DataFrame:
        """One joint chi-square test for each term of the fixed part."""
        from henderson.interop.statsmodels.patsy_order import ordered_terms

        names = self.model.exog_names
        rows = {}
        for term, columns in ordered_terms(self.henderson.design.fixed.spec).items():
            there = [names.index(c) for c in columns if c in names]
            if there:
                test = joint_test(self._linear(np.eye(len(names))[there]), self.df_resid, False)
                rows[term] = (test.statistic, test.pvalue, len(there))
        return pd.DataFrame.from_dict(
            rows, orient="index", columns=["chi2", "P>chi2", "df constraint"]
        )

    def _linear(self, hypothesis: Any) -> Linear:
        return linear(hypothesis, self.params, self._cov, self.k_fe)

    # -- words -------------------------------------------------------------------------------

    def summary(
        self,
        yname: str | None = None,
        xname_fe: list[str] | None = None,
        xname_re: list[str] | None = None,
        title: str | None = None,
        alpha: float = 0.05,
    ) -> Summary:
        """The result in statsmodels' layout."""
        names = [*(xname_fe or self.model.exog_names), *(xname_re or self.model.covariance_names)]
        if len(names) != len(self.params):
            raise DesignError(
                f"{len(names)} names were given; there are {self.k_fe} fixed effects and "
                f"{len(self.model.covariance_names)} variances and covariances."
            )
        return summarise(self, title or TITLE, yname or self.model.endog_names, names, alpha)

    def __getattr__(self, name: str) -> Any:
        return refuse_results(name)

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        return f"<MixedLMResults: {self.henderson.formula} ({self.method}, n = {self.nobs})>"


def _lower(matrix: np.ndarray) -> list[float]:
    """The lower triangle, row by row."""
    return [float(matrix[i, j]) for i in range(len(matrix)) for j in range(i + 1)]
