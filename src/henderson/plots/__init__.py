"""Pictures. Every one takes axes in and gives axes out; matplotlib is loaded by the first drawn."""

from henderson.plots.of_approaches import ApproachesPlots
from henderson.plots.of_fit import Plots

__all__ = ["ApproachesPlots", "Plots"]
