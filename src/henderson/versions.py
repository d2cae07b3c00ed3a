"""What is installed, for bug reports and for the curious."""

from __future__ import annotations

REQUIRED = ("numpy", "scipy", "pandas", "formulaic", "narwhals", "matplotlib", "jinja2", "tqdm")
OPTIONAL = ("pyarrow", "polars", "duckdb", "statsmodels")
KERNELS = {
    "compiled": "compiled",
    "numpy": "NumPy twin (same results, slower; needs a C++17 compiler at install to be compiled)",
}


def versions() -> dict[str, str]:
    """Versions of henderson, Python and the packages it uses, and which kernels are in use."""
    import platform

    import henderson

    found = {
        "henderson": henderson.__version__,
        "kernels": _kernels(),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    return found | {name: _version(name) for name in REQUIRED + OPTIONAL}


def show_versions() -> None:
    """Print what `versions()` finds, one line each."""
    found = versions()
    width = max(map(len, found))
    print("\n".join(f"{name:<{width}}  {value}" for name, value in found.items()))


def _version(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _kernels() -> str:
    from henderson.engine import kernels

    name = kernels.backend()
    return KERNELS.get(name, name)
