"""What each approach is, in words, in an equation and in R, for the columns at hand."""

from __future__ import annotations

from collections.abc import Callable

from henderson.formula.names import r_name
from henderson.seven.result import Key
from henderson.seven.setting import Setting


def question(key: Key, s: Setting) -> str:
    """One sentence: what the approach estimates and what it assumes."""
    return _QUESTIONS[key].format(
        x=s.what, g=s.group, n=s.n, J=len(s.levels), slope=s.slope, X=s.predictor
    )


def equation(key: Key, s: Setting) -> str:
    """The model in plain text: i counts rows, j groups."""
    y, g = s.outcome, s.group
    x = f"[{s.predictor} = {s.factor_levels[1]}]" if s.is_factor else s.predictor
    means = f"share of {s.predictor} = {s.factor_levels[1]}" if s.is_factor else f"mean {x}"
    error = "e_ij ~ N(0, s2)"
    lines: dict[Key, tuple[str, ...]] = {
        "lm_global": (f"{y}_ij = b0 + b1 {x}_ij + e_ij", error),
        "ancova_inter": (f"{y}_ij = b0 + b1 {x}_ij + a_j + e_ij", f"a_j fixed, one per {g}", error),
        "aggregation": (f"mean {y}_j = b0 + b1 {means}_j + e_j", "e_j ~ N(0, s2)"),
        "hierarchical": (
            f"level 1: {y}_ij = b0_j + b1_j {x}_ij + e_ij",
            "level 2: b1_j = b1 + d_j",
            "d_j ~ N(0, t2)",
        ),
        "lmm_inter": (f"{y}_ij = b0 + b1 {x}_ij + u_j + e_ij", "u_j ~ N(0, t2)", error),
        "ancova_full": (
            f"{y}_ij = b0 + b1 {x}_ij + a_j + c_j {x}_ij + e_ij",
            f"a_j, c_j fixed, one each per {g}",
            error,
        ),
        "lmm_full": (
            f"{y}_ij = b0 + b1 {x}_ij + u_j + v_j {x}_ij + e_ij",
            "(u_j, v_j) ~ N(0, D)",
            error,
        ),
    }
    return "\n".join(lines[key])


def r_formula(key: Key, s: Setting) -> str:
    """The call in R, lme4 for the mixed models."""
    y, x, g = r_name(s.outcome), r_name(s.predictor), r_name(s.group)
    calls: dict[Key, Callable[[], str]] = {
        "lm_global": lambda: f"lm({y} ~ {x})",
        "ancova_inter": lambda: f"lm({y} ~ {x} + {g})",
        "aggregation": lambda: f"lm({y} ~ {x}, data = means per {g})",
        "hierarchical": lambda: f"lm(slope ~ 1, data = slopes per {g})",
        "lmm_inter": lambda: f"lmer({y} ~ {x} + (1 | {g}))",
        "ancova_full": lambda: f"lm({y} ~ {x} + {g} + {x}:{g})",
        "lmm_full": lambda: f"lmer({y} ~ {x} + ({x} | {g}))",
    }
    return calls[key]()


_QUESTIONS: dict[Key, str] = {
    "lm_global": (
        "One line through all {n} rows: the {slope} of {x} within and between groups mixed, "
        "assuming that the rows are independent."
    ),
    "ancova_inter": (
        "The common {slope} of {x} within groups, a fixed intercept for each of the {J} groups "
        "({g}): assumes one {slope}, and speaks of these groups only."
    ),
    "aggregation": (
        "The line through the {J} group means: the {slope} of {x} between groups, another quantity "
        "than the {slope} within them."
    ),
    "hierarchical": (
        "A regression in each group, then the mean of their {slope}s of {x}: assumes that every "
        "{slope} is equally precise."
    ),
    "lmm_inter": (
        "The {slope} of {x} for groups drawn from a population of {g}: assumes normal group "
        "intercepts that are unrelated to {X}, and one {slope}."
    ),
    "ancova_full": (
        "A separate line for each of the {J} groups ({g}): the coefficient is the {slope} of {x} "
        "in the reference group alone."
    ),
    "lmm_full": (
        "The mean {slope} of {x} in a population of {g} whose intercepts and {slope}s both vary: "
        "assumes that they are jointly normal."
    ),
}
