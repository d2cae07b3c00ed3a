"""The blocks of Z, V and L: what grouping does to matrices, shown for a few rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import block_diag, cho_solve, cholesky

from henderson.errors import DesignError
from henderson.plots.style import BLUE, FONT, INK, MUTED, PAPER, VERMILION, lattice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.fit import Fit

# Without a choice of rows: those of the first levels, as many as make a readable picture.
MOST_ROWS = 48
LARGEST = 400
PANEL = (3.1, 3.3)


@dataclass(frozen=True)
class Blocks:
    """Matrices of some rows.

    Attributes
    ----------
    rows : (r,) positions, sorted by the first grouping factor.
    z : (r, q) the columns of Z that are not zero in these rows.
    v : (r, r) their covariance ZDZ' + R.
    l : (q + p, q + p) Cholesky factor of Henderson's equations for these rows alone,
        [Z'R^-1 Z + D^-1, Z'R^-1 X; X'R^-1 Z, X'R^-1 X] with D^-1 replaced by I for effects in
        units of their own standard deviations (Z Lambda for Z).
    n_random : q.
    """

    rows: np.ndarray
    z: np.ndarray
    v: np.ndarray
    l: np.ndarray  # noqa: E741
    n_random: int


def blocks(fit: Fit, rows: Any = None) -> Blocks:
    """The matrices of some rows: a level, a slice, a mask or positions; the first levels' if None.

    The model has random effects.

    Raises
    ------
    DesignError : an unknown level, or more rows than can be drawn.
    """
    from henderson.matrices import row_positions

    codes = fit.design.random[0].codes
    where = _first_levels(codes) if rows is None else row_positions(fit, rows)
    _check_count(where)
    where = where[np.argsort(codes[where], kind="stable")]
    z, roots = _columns(fit, where)
    v = fit.V(where).to_numpy()
    r = fit.R(where).to_numpy() / fit.scale
    return Blocks(where, z, v, _henderson(z @ roots, fit.design.X[where], r), z.shape[1])


def _check_count(where: np.ndarray) -> None:
    if not 0 < len(where) <= LARGEST:
        raise DesignError(
            f"{len(where)} rows cannot be drawn: choose between 1 and {LARGEST}, such as one level."
        )


def _first_levels(codes: np.ndarray) -> np.ndarray:
    """The rows of the first levels: whole ones up to the limit, one at least in part."""
    order = np.argsort(codes, kind="stable")
    sizes = np.cumsum(np.bincount(codes))
    whole = sizes[sizes <= MOST_ROWS]
    return order[: int(whole[-1]) if len(whole) else MOST_ROWS]


def _columns(fit: Fit, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The columns of Z (r, q) of the levels that occur, and Lambda (q, q) for them."""
    parts, roots = [], []
    for factor, sigma in zip(fit.design.random, fit.optimum.sigmas, strict=True):
        present, code = np.unique(factor.codes[where], return_inverse=True)
        k = factor.z.shape[1]
        z = np.zeros((len(where), len(present), k))
        z[np.arange(len(where)), code] = factor.z[where]
        parts.append(z.reshape(len(where), -1))
        between = np.eye(len(present))
        if factor.known is not None:
            between = _triangular(factor.known.covariance(present))
        roots.append(np.kron(between, _triangular(sigma)))
    return np.hstack(parts), block_diag(*roots)


def _triangular(sigma: np.ndarray) -> np.ndarray:
    """The lower triangular factor of a covariance of any rank: a QR of a square root gives it."""
    values, vectors = np.linalg.eigh(sigma)
    _, upper = np.linalg.qr((vectors * np.sqrt(np.maximum(values, 0.0))).T)
    return upper.T


def _henderson(z: np.ndarray, x: np.ndarray, r: np.ndarray) -> np.ndarray:
    m = np.hstack([z, x])
    a = m.T @ cho_solve((cholesky(r, lower=True), True), m)
    q = z.shape[1]
    a[:q, :q] += np.eye(q)
    return _lower(a)


def _lower(a: np.ndarray) -> np.ndarray:
    """Lower Cholesky factor; columns that the rows do not determine stay zero."""
    out = np.zeros_like(a)
    for j in range(len(a)):
        column = a[j:, j] - out[j:, :j] @ out[j, :j]
        if column[0] > 1e-9 * a[j, j]:
            out[j:, j] = column / np.sqrt(column[0])
    return out


def matrices(
    fit: Fit, rows: Any = None, axes: Sequence[Axes] | np.ndarray | None = None
) -> list[Axes]:
    """Z, V and L of some rows as grids of colour: blue above zero, orange below, blank at zero.

    Without random effects X, and V, which is R.
    """
    if not fit.design.random:
        return _of_residuals(fit, rows, axes)
    found = blocks(fit, rows)
    drawn = lattice(axes, 3, PANEL)
    r, q = found.z.shape
    p = len(found.l) - q
    _grid(drawn[0], found.z, f"Z: {r} rows, {q} columns")
    _grid(drawn[1], found.v, f"V = ZDZ' + R: {r} x {r}")
    _grid(drawn[2], found.l, f"L: {q} random + {p} fixed")
    drawn[2].axhline(q - 0.5, color=MUTED, linewidth=0.7)
    drawn[2].axvline(q - 0.5, color=MUTED, linewidth=0.7)
    return drawn


def _of_residuals(fit: Fit, rows: Any, axes: Sequence[Axes] | np.ndarray | None) -> list[Axes]:
    """X and V of some rows; the first groups' if None."""
    from henderson.matrices import row_positions

    residual = fit.design.residual
    at = None if residual is None else residual.positions
    codes = np.zeros(fit.nobs, dtype=np.intp) if at is None else at.codes
    where = _first_levels(codes) if rows is None else row_positions(fit, rows)
    _check_count(where)
    where = where[np.argsort(codes[where], kind="stable")]
    drawn = lattice(axes, 2, PANEL)
    x, r = fit.design.X[where], len(where)
    _grid(drawn[0], x, f"X: {r} rows, {x.shape[1]} columns")
    _grid(drawn[1], fit.V(where).to_numpy(), f"V = R: {r} x {r}")
    return drawn


def _grid(ax: Axes, values: np.ndarray, title: str) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    reach = float(np.abs(values).max()) or 1.0
    # A root keeps small entries visible beside large ones.
    shade = np.sign(values) * np.sqrt(np.abs(values) / reach)
    colours = LinearSegmentedColormap.from_list("signed", [VERMILION, PAPER, BLUE])
    ax.imshow(shade, cmap=colours, vmin=-1.0, vmax=1.0, aspect="auto", interpolation="nearest")
    ax.set_title(title, loc="left", fontsize=FONT, color=INK, parse_math=False)
    ax.set_xticks([])
    ax.set_yticks([])
    for side in ax.spines.values():
        side.set_color(MUTED)
