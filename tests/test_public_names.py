"""What `import henderson` offers, and what it must not cost."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import henderson
from henderson import versions
from henderson.engine import kernels

SLOW = ("pandas", "formulaic", "matplotlib", "scipy", "numpy", "narwhals", "jinja2")


def in_a_new_process(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_import_loads_nothing_heavy() -> None:
    code = "import sys, henderson; print([m for m in {} if m in sys.modules])"
    assert in_a_new_process(code.format(SLOW)) == "[]"


@pytest.mark.parametrize("name", henderson.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(henderson, name) is getattr(henderson, name)
    assert name in dir(henderson)


def test_no_public_name_is_that_of_a_module() -> None:
    modules = {module.name for module in pkgutil.iter_modules(henderson.__path__)}
    assert modules.isdisjoint(henderson.__all__)


def test_public_names_survive_the_import_of_every_module() -> None:
    names = list(henderson.__all__)
    code = (
        "import importlib, pkgutil, sys, henderson\n"
        "for m in pkgutil.walk_packages(henderson.__path__, 'henderson.'):\n"
        "    if not m.name.endswith('__main__'): importlib.import_module(m.name)\n"
        f"names = {names}\n"
        "print([n for n in names if f'henderson.{n}' in sys.modules])"
    )
    assert in_a_new_process(code) == "[]"


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(henderson.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("henderson")
        for alias in node.names
    }
    assert seen == henderson._PUBLIC


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'lmmm'"):
        _ = henderson.lmmm


def test_versions_name_python_the_requirements_and_the_kernels(
    capsys: pytest.CaptureFixture[str],
) -> None:
    henderson.show_versions()
    printed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert printed == versions.versions()
    assert printed["henderson"] == henderson.__version__
    assert printed["kernels"].startswith("NumPy") == (kernels.backend() == "numpy")
    assert all(printed[name][0].isdigit() for name in versions.REQUIRED)


def test_a_package_that_is_absent_is_said_to_be() -> None:
    assert versions._version("no-package-of-this-name") == "not installed"
