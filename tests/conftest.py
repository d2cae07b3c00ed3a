"""Settings of every test."""

from __future__ import annotations

import matplotlib
from hypothesis import settings

# Tests state facts, not speeds: a slow machine is no counterexample.
settings.register_profile("henderson", deadline=None)
settings.load_profile("henderson")

# Pictures are drawn without a screen.
matplotlib.use("agg")
