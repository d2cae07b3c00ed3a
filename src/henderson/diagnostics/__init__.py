"""Whether a fit can be trusted: residuals, influence, autocorrelation, checks in words."""
