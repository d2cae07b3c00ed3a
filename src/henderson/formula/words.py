"""The words of a formula: covariance structures, and the functions that may be called."""

from __future__ import annotations

STRUCTURES = frozenset({
    "us", "diag", "cs", "hcs", "ar1", "har1", "toep", "htoep", "ou", "exp", "gau", "known",
})  # fmt: skip

# What an unnamed option of a structure means: `known(1 | id, K)` is `known(1 | id, matrix=K)`.
UNNAMED_OPTION = {"known": "matrix"}

MATHS = frozenset({
    "abs", "sqrt", "exp", "exp2", "exp10", "expm1", "log", "log2", "log10", "log1p", "sin",
    "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "floor", "ceil",
    "round", "sign", "where",
})  # fmt: skip
CODINGS = frozenset({
    "C", "factor", "Treatment", "Sum", "Poly", "Helmert", "Diff",
})  # fmt: skip
TRANSFORMS = frozenset({
    "I", "scale", "center", "standardize", "poly", "bs", "cr", "cs", "cc", "lag", "Q",
})  # fmt: skip

# Functions that any formula may call, whoever wrote it: none can reach beyond its arguments.
FUNCTIONS = MATHS | CODINGS | TRANSFORMS
CONSTANTS = frozenset({"pi", "TRUE", "FALSE"})
CONTRASTS = frozenset({
    "contr.treatment", "contr.SAS", "contr.sum", "contr.helmert", "contr.diff", "contr.poly",
})  # fmt: skip
