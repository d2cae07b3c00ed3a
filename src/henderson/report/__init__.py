"""One self-contained HTML page about a fit or about the seven approaches."""

from henderson.report.of_approaches import approaches_report
from henderson.report.of_fit import fit_report

__all__ = ["approaches_report", "fit_report"]
