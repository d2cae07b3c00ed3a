"""The walk through the seven approaches on the bundled classroom scores, in print."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from henderson.data.bundled import load_dataset
from henderson.seven.compare import approaches
from henderson.seven.lessons import lessons
from henderson.seven.result import Approach, Approaches, Key
from henderson.seven.text import (
    approach_text,
    fill,
    number,
    skipped_text,
    t_text,
    table_text,
    verdicts_text,
)

if TYPE_CHECKING:
    from henderson.fit import Fit


def tutorial_approaches() -> Approaches:
    """The seven approaches on `classroom_scores`: score, parents' education, three classrooms."""
    return approaches(load_dataset("classroom_scores"), "score", "edu", "classroom")


def tutorial_text(result: Approaches | None = None) -> str:
    """The whole walk, at most 80 columns wide."""
    result = tutorial_approaches() if result is None else result
    return "\n\n".join(_sections(result)) + "\n"


def _sections(result: Approaches) -> Iterator[str]:
    yield title("Do parents' years of education go with higher scores?")
    yield _opening(result)
    yield _groups(result)
    for count, a in enumerate(result, start=1):
        yield title(f"{count}. {a.label}")
        yield fill(_STORY[a.key])
        yield approach_text(a).partition("\n")[2]
        extra = _EXTRA.get(a.key)
        if extra is not None and a.available:
            yield extra(result, a)
    yield title("All seven")
    yield table_text(result)
    yield fill(_TABLE_NOTE)
    yield t_text(result)
    yield verdicts_text(result)
    if skipped_text(result):
        yield skipped_text(result)
    yield from lessons(result)


def title(text: str) -> str:
    """A heading with a line under it."""
    return f"{text}\n{'=' * len(text)}"


def _opening(result: Approaches) -> str:
    return fill(
        f"{len(result.data)} students sit in {len(result.levels)} classrooms. We know their "
        f"{result.outcome} and their parents' years of education, {result.predictor}. How much "
        f"{result.outcome} goes with one more year of {result.predictor}? Students of one "
        "classroom share a teacher, so their scores are alike for reasons that have nothing to do "
        "with their parents. Seven analyses treat this in seven ways."
    )


def _groups(result: Approaches) -> str:
    """Rows and means per group."""
    x, y = f"mean {result.predictor}", f"mean {result.outcome}"
    head = f"{result.group:<14}{'n':>5}{x:>14}{y:>14}"
    counts = result.data[result.group].value_counts()
    lines = [
        f"{level!s:<14}{counts[level]:>5}{row[result.predictor]:>14.3f}{row[result.outcome]:>14.3f}"
        for level, row in result.aggregated.means.iterrows()
    ]
    return "\n".join([head, *lines])


def _slopes(result: Approaches, _: Approach) -> str:
    """Level 1 of the two-stage analysis, group by group."""
    head = f"{'level 1':<14}{'n':>5}{'intercept':>12}{'slope':>12}{'SE':>12}{'MSE':>10}"
    lines = [
        f"{g.level!s:<14}{g.n:>5}{g.intercept:>12.6f}{g.slope:>12.6f}{g.se:>12.6f}"
        f"{g.sse / (g.n - 2) if g.n > 2 else np.nan:>10.3f}"
        for g in result.two_stage.level1
    ]
    return "\n".join([head, *lines])


def _mixed(result: Approaches, a: Approach) -> str:
    assert a.fit is not None
    return "\n".join([*_about(a.fit), "", *_variances(a.fit), "", *_modes(a.fit)])


def _about(fit: Fit) -> list[str]:
    """Sizes, likelihood and convergence in two columns."""
    sizes = np.bincount(fit.design.random[0].codes)
    pairs = [
        ("Rows", str(fit.nobs), "Method", fit.method),
        ("Groups", str(len(sizes)), "Scale", number(fit.scale)),
        ("Min group size", str(sizes.min()), "Log-likelihood", f"{fit.llf:.4f}"),
        ("Mean group size", f"{sizes.mean():.1f}", "Converged", "yes" if fit.converged else "no"),
        ("Max group size", str(sizes.max()), "Singular", "yes" if fit.is_singular else "no"),
    ]
    return [f"{a:<18}{b:>10}    {c:<18}{d:>12}" for a, b, c, d in pairs]


def _variances(fit: Fit) -> list[str]:
    table = fit.varcorr().to_frame()
    lines = [f"{'Variance of':<34}{'(co)variance':>14}{'sd or corr':>14}"]
    for row in table.itertuples():
        names = [str(v) for v in (row.group, row.name1, row.name2) if isinstance(v, str)]
        lines.append(f"{' '.join(names):<34}{row.vcov:>14.6f}{row.sdcor:>14.6f}")
    return lines


def _modes(fit: Fit) -> list[str]:
    """The groups' predicted effects (BLUPs)."""
    name, modes = next(iter(fit.ranef().items()))
    head = f"{'BLUPs by ' + name:<22}" + "".join(f"{c:>14}" for c in modes.columns)
    return [head] + [
        f"{level!s:<22}" + "".join(f"{v:>14.6f}" for v in row)
        for level, row in zip(modes.index, modes.to_numpy(), strict=True)
    ]


_EXTRA: dict[Key, Callable[[Approaches, Approach], str]] = {
    "hierarchical": _slopes,
    "lmm_inter": _mixed,
    "lmm_full": _mixed,
}

_STORY: dict[Key, str] = {
    "lm_global": (
        "Forget the classrooms and draw one line. Each student counts as an independent piece of "
        "evidence, which is false, and whatever makes one classroom better than another is left "
        "in the errors or, worse, in the slope."
    ),
    "ancova_inter": (
        "Give each classroom an intercept of its own and keep one slope: parallel lines. What "
        "differs between classrooms can no longer disturb the slope. The price: the answer is "
        "about these classrooms, and each costs a parameter."
    ),
    "aggregation": (
        "Reduce each classroom to its mean and draw a line through the means. Three points remain. "
        "The line says how classrooms differ, not how students within a classroom do: a different "
        "question, with a very different answer."
    ),
    "hierarchical": (
        "Two stages: a line in each classroom, then a t-test of the slopes. Simple and honest, "
        "except that a slope from few students counts as much as one from many."
    ),
    "lmm_inter": (
        "Parallel lines again, but the intercepts are draws from a normal distribution, and we "
        "estimate its variance instead of one number per classroom. The model uses what the "
        "classrooms have in common to judge each of them."
    ),
    "ancova_full": (
        "A separate line for each classroom in one model. The coefficient called after the "
        "predictor is the slope in the reference classroom; the others are differences from it."
    ),
    "lmm_full": (
        "Intercepts and slopes both vary between classrooms, as draws from a bivariate normal "
        "distribution. With three classrooms this asks a lot of the data."
    ),
}

_TABLE_NOTE = (
    "RMSE = sqrt(SSE / residual df), residuals taken after the random effects. The mixed models "
    "show z, its standard error from the joint information of slope and variances. z is compared "
    "with a normal distribution, as if there were groups without number; the t-tests below count "
    "by their degrees of freedom how little a few groups say about a variance:"
)
