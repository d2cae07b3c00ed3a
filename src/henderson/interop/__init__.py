"""Doors for scripts written for other packages: their words, this engine."""
