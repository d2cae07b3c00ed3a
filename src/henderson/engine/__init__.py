"""Criterion, derivatives and optimiser of linear mixed models: arrays only."""
