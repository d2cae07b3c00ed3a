"""henderson: linear mixed models, exact, fast and explained.

    import henderson as hd
    fit = hd.lmm("score ~ edu + (1 | classroom)", hd.load_dataset("classroom_scores"))
    print(fit)

The public names are loaded on first use, so that `import henderson` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # For type checkers and editors; a test holds this list and the table below together.
    from henderson.data.bundled import datasets as datasets
    from henderson.data.bundled import load_dataset as load_dataset
    from henderson.design.relationship import Relationship as Relationship
    from henderson.errors import DataError as DataError
    from henderson.errors import DesignError as DesignError
    from henderson.errors import FitError as FitError
    from henderson.errors import FormulaError as FormulaError
    from henderson.errors import HendersonError as HendersonError
    from henderson.errors import HendersonWarning as HendersonWarning
    from henderson.errors import Note as Note
    from henderson.formula import structures as structures
    from henderson.inference.bootstrap_lrt import bootstrap_lrt as bootstrap_lrt
    from henderson.inference.comparison import anova as anova
    from henderson.inference.many_responses import lmm_many as lmm_many
    from henderson.inference.measures import compare as compare
    from henderson.inference.power import power as power
    from henderson.inference.structure_comparison import compare_structures as compare_structures
    from henderson.interop.statsmodels import mixedlm as mixedlm
    from henderson.model import lm as lm
    from henderson.model import lmm as lmm
    from henderson.saved import load as load
    from henderson.seven import approaches as approaches
    from henderson.simulation import simulate as simulate
    from henderson.tables.model_table import table as table
    from henderson.versions import show_versions as show_versions

__version__ = "0.1.0"

# Public name -> the module that defines it. No name may be that of a module of this package:
# importing the module would put it in the name's place.
_PUBLIC = {
    "DataError": "henderson.errors",
    "DesignError": "henderson.errors",
    "FitError": "henderson.errors",
    "FormulaError": "henderson.errors",
    "HendersonError": "henderson.errors",
    "HendersonWarning": "henderson.errors",
    "Note": "henderson.errors",
    "Relationship": "henderson.design.relationship",
    "anova": "henderson.inference.comparison",
    "approaches": "henderson.seven",
    "bootstrap_lrt": "henderson.inference.bootstrap_lrt",
    "compare": "henderson.inference.measures",
    "compare_structures": "henderson.inference.structure_comparison",
    "datasets": "henderson.data.bundled",
    "lm": "henderson.model",
    "lmm": "henderson.model",
    "lmm_many": "henderson.inference.many_responses",
    "load": "henderson.saved",
    "load_dataset": "henderson.data.bundled",
    "mixedlm": "henderson.interop.statsmodels",
    "power": "henderson.inference.power",
    "show_versions": "henderson.versions",
    "simulate": "henderson.simulation",
    "structures": "henderson.formula",
    "table": "henderson.tables.model_table",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    """Load a public name on first use and keep it (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'henderson' has no attribute '{name}'")
    from importlib import import_module

    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
