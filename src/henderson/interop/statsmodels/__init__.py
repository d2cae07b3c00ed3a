"""statsmodels' mixed model in its own words: `mixedlm(formula, data, groups=...).fit()`.

    import henderson as hd
    result = hd.mixedlm("score ~ edu", df, groups=df["classroom"], re_formula="~edu").fit()
    print(result.summary())

rows         which rows take part, and the column of groups
components   `re_formula` and `vc_formula` -> random terms
patsy_order  the order of columns that statsmodels' users know
building     `mixedlm`
model        `MixedLM`
results      `MixedLMResults`: statsmodels' names and meanings
effects      random effects group by group
information  covariance of all the parameters
hypotheses   t-, Wald and F-tests
summary      the printed table
"""

from henderson.interop.statsmodels.building import mixedlm
from henderson.interop.statsmodels.model import MixedLM
from henderson.interop.statsmodels.results import MixedLMResults

__all__ = ["MixedLM", "MixedLMResults", "mixedlm"]
