"""The pictures of a page about one fit, with what they show in words."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from henderson.diagnostics.autocorrelation import finest
from henderson.plots.of_fit import Plots
from henderson.plots.views import view
from henderson.report.figures import MAX_POINTS, Picture, blank, picture
from henderson.report.sheets import Missing, attempt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.fit import Fit

# In inches; letters of 9 points can be read where the page shows it 325 pixels wide.
SIZE = (4.5, 3.4)
# Pictures of more grouping factors than these make a page longer and no clearer.
MOST_FACTORS = 3
MOST_COEFFICIENTS = 15


class FitPictures:
    """Draws pictures of a fit and numbers them; `made` holds all that were drawn."""

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        self.plots = Plots(fit, MAX_POINTS)
        self.factors = [f.name for f in fit.design.random]
        self.made: list[Picture] = []

    def draw(
        self,
        method: Callable[..., Axes],
        title: str,
        text: str,
        *,
        tagged: bool = True,
        height: float = SIZE[1],
    ) -> Picture:
        """One picture by a method that takes `ax=`.

        tagged : whether its groups are levels of the first grouping factor, which the page
            highlights.
        height : in inches.
        """
        ax = blank((SIZE[0], height))
        method(ax=ax)
        tagged = tagged and bool(self.factors)
        self.made.append(picture(ax, f"f{len(self.made)}", title, text, tagged=tagged))
        return self.made[-1]

    def lead(self) -> list[Picture]:
        """The data with the fit in it; a linear model of the mean alone has no such picture."""
        design = self.fit.design
        predictors = [c for c in design.fixed.spec.columns if c in design.frame.data]
        if not (predictors or self.factors):
            return []
        if not predictors:
            text = f"Rows by {self.factors[0]}, in order of their means; bars are what the model "
            text += "makes of each, the dashed line the population."
        elif self.factors:
            text = f"Rows and a line per {self.factors[0]}; dashed, the population's line with its "
            held = view(self.fit, None, None).held
            text += f"95 % interval{f', at {held}' if held else ''}."
        else:
            text = "Rows, and what the model predicts."
        return [self.draw(self.plots.groups, "The fit over the data", text)]

    def effects(self) -> list[Picture]:
        """The coefficients; one alone is in the headline."""
        count = sum(n != "Intercept" for n in self.fit.params.index)
        if not 2 <= count <= MOST_COEFFICIENTS:
            return []
        text = "Fixed effects with their 95 % intervals."
        height = max(SIZE[1], 0.9 + 0.34 * count)
        return [self.draw(self.plots.coefficients, "Coefficients", text, height=height)]

    def random(self) -> list[Picture]:
        """The levels of the first grouping factors, and how far they are shrunken."""
        out = []
        for i, name in enumerate(self.factors[:MOST_FACTORS]):
            text = f"Conditional modes of {name} with 95 % intervals, sorted."
            method = partial(self.plots.caterpillar, name)
            out.append(self.draw(method, f"Random effects of {name}", text, tagged=i == 0))
        if self.factors:
            text = f"What the rows of each {self.factors[0]} say by themselves, and what the model "
            text += "makes of it."
            out.append(self.draw(self.plots.shrinkage, f"Shrinkage of {self.factors[0]}", text))
        return out

    def adequacy(self) -> list[Picture]:
        """Residuals, quantiles and influence."""
        return [
            self.draw(
                self.plots.residuals,
                "Residuals",
                "Residuals against fitted values; a pattern is a missing term.",
            ),
            self.draw(
                self.plots.scale_location,
                "Spread",
                "Size of residuals against fitted values; a trend means that the residual "
                "variance is not constant.",
            ),
            self.draw(
                self.plots.qq,
                "Normality of residuals",
                "Ordered residuals against normal quantiles, with a 95 % band.",
            ),
            *self._normal_effects(),
            *self._autocorrelation(),
            *self._influence(),
        ]

    def _normal_effects(self) -> list[Picture]:
        text = "Ordered conditional modes against normal quantiles, with a 95 % band."
        return [
            self.draw(
                partial(self.plots.random_qq, name), f"Normality of {name}", text, tagged=i == 0
            )
            for i, name in enumerate(self.factors[:MOST_FACTORS])
        ]

    def _autocorrelation(self) -> list[Picture]:
        """Residuals by lag, where rows follow each other in groups."""
        groups = finest(self.fit)
        if groups is None or groups.sizes.max() < 3:
            return []
        text = f"Autocorrelation of residuals by lag within {groups.name}, rows in their order, "
        text += "with a 95 % band for none."
        return [self.draw(self.plots.acf, "Independence", text, tagged=False)]

    def _influence(self) -> list[Picture]:
        """Cook's distances by level of the first grouping factor; rows are too many to see."""
        if not (self.factors and self.fit.design.p):
            return []
        found = attempt("Influence", self.fit.influence)
        if isinstance(found, Missing):
            return []
        text = f"How far the fixed effects move without each {found.by}; the farthest are named."
        tagged = found.by == self.factors[0]
        return [self.draw(partial(self.plots.influence, found), "Influence", text, tagged=tagged)]
