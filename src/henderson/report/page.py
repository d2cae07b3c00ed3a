"""Rendering: the templates, what every page says of its making, and writing the file."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from henderson.report.colours import dark_rules

if TYPE_CHECKING:
    from jinja2 import Environment


def write(path: str, template: str, **values: Any) -> str:
    """Render a template of this package to `path`; returns the path.

    Raises
    ------
    OSError : the file cannot be written.
    """
    page = (
        _environment()
        .get_template(template)
        .render(style=_text("style.css") + dark_rules(), script=_text("script.js"), **values)
    )
    Path(path).write_text(page, encoding="utf-8")
    return path


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _text(name: str) -> str:
    return resources.files("henderson.report").joinpath("templates", name).read_text("utf-8")


def data_hash(data: pd.DataFrame) -> str:
    """A short fingerprint of the rows used, the same wherever they came from."""
    text = data.to_csv(index=False).encode()
    return hashlib.sha256(text).hexdigest()[:12]


def versions() -> str:
    """The versions that made the page, in one line."""
    from importlib.metadata import version
    from platform import python_version

    import henderson

    others = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "pandas"))
    return f"henderson {henderson.__version__}, Python {python_version()}, {others}"
