from collections.abc import Sequence

import numpy as np
from anndata import AnnData
from matplotlib.colors import Colormap
from numpy.typing import NDArray

from .. import _keys
from .._checks import check_int, few
from ._drawing import chosen_sections, find_place
from ._figure import GivenAxes, Shown
from ._maps import Look, MapRow, Panel, colour_limits, draw_maps


def image_features(
    adata: AnnData,
    *,
    key: str = _keys.IMAGE_FEATURES,
    n_components: int = 3,
    library_id: str | None = None,
    vmin: float | str = "p1",
    vmax: float | str = "p99",
    cmap: str | Colormap = "viridis",
    img: bool | str | None = None,
    img_alpha: float = 1.0,
    scalebar_dx: float | None = None,
    title: str | Sequence[str] | None = None,
    ncols: int = 1,
    figsize: tuple[float, float] | None = None,
    rasterized: bool = False,
    axes: GivenAxes = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Shown:
    """Draw the leading principal components of the image descriptors next to the tissue.

    Each row shows a section: a panel with the image, and one for each component at all sites, in standard deviations.
    The title of a component is its part of the variance of the (standardised) descriptors, the note below it the
    descriptor with the largest loading. If the components do not follow the borders of the tissue, check the
    registration.

    Parameters
    ----------
    adata
        A section on its lattice, with descriptors (:func:`s2s_scverse.pp.image_features`), or several.
    key
        Key of `adata.obsm` with the descriptors, or with any other covariates.
    n_components
        Number of components to draw, at most that of the descriptors that vary.
    library_id
        Section to draw, all by default.
    vmin, vmax
        Limits of the colours of all components: a number, or a percentile of their values (``"p99"``).
    cmap
        Colour map.
    img
        Image to draw: True for the one of the highest resolution in ``adata.uns["spatial"]``, or its name there
        (``"lowres"``), False for none. By default the image is drawn if `adata` has one for every section.
    img_alpha, scalebar_dx, title, ncols, figsize, rasterized, axes, show, return_fig
        As in :func:`s2s_scverse.pl.compare`.

    Returns
    -------
    As :func:`s2s_scverse.pl.compare`; axes of shape (n_sections, n_panels).

    Raises
    ------
    KeyError
        If `adata` has no lattice or no such descriptors, or the section or the requested image does not exist.
    ValueError
        If no descriptor varies, some are NaN, a section lies outside the requested image, or limits or an opacity are
        out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import s2s_scverse as s2s
    >>> tissue = s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=6)
    >>> dense, dapi = s2s.pp.grid(tissue), np.zeros((400, 400))
    >>> column, row = (0.2 * tissue.obsm["spatial"]).astype(int).T
    >>> dapi[row, column] = tissue.to_df()["domain_1"]
    >>> s2s.pp.image_features(dense, dapi, transform=0.2)
    >>> s2s.pl.image_features(dense, n_components=2, show=False).shape
    (1, 2)
    """
    n_components = check_int("n_components", n_components, least=1)
    adata, sections = chosen_sections(adata, library_id)
    scores, parts, loadings = leading_components(adata, key, n_components)
    entry = adata.uns.get(_keys.UNS, {}).get(_keys.IMAGE, {}).get(key, {})
    named = entry.get("extractor") != "function" and len(entry.get("names", ())) == loadings.shape[1]
    notes = [entry["names"][each].replace("_", " ") if named else "" for each in np.abs(loadings).argmax(axis=1)]
    titles = [f"component {number}, {100 * part:.0f}\N{NO-BREAK SPACE}%" for number, part in enumerate(parts, 1)]
    limits = colour_limits(scores, vmin, vmax)
    with_image = all(find_place(adata, section, img, bw=False).underlay is not None for section in sections)
    rows = []
    for section in sections:
        own = scores[section.rows]
        panels = [Panel("image", np.full(len(own), np.nan, np.float32), "image")] if with_image else []
        panels += [Panel(title, own[:, i], "component", notes[i]) for i, title in enumerate(titles)]
        rows.append(MapRow("", section, panels, {"component": limits}))
    tissue = title, img, img_alpha, False, None, scalebar_dx  # nothing is drawn above the image
    look = Look("SD", *tissue, ncols, figsize, rasterized, axes, show, return_fig)
    return draw_maps(rows, adata, {"component": cmap}, look)


def leading_components(
    adata: AnnData, key: str, n: int
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Return the leading principal components of standardised descriptors.

    These are scores of variance 1 (n_sites, n), the part of the variance of each (n,), and loadings (n, n_features)
    whose sum is positive.
    """
    if key not in adata.obsm:
        known = few(adata.obsm) or "empty"
        msg = f"image features {key!r} not found in adata.obsm ({known}); call s2s.pp.image_features first"
        raise KeyError(msg)
    values = np.asarray(adata.obsm[key], np.float64).reshape(adata.n_obs, -1)
    if not np.isfinite(values).all():
        msg = f"adata.obsm[{key!r}] must be finite"
        raise ValueError(msg)
    spread = values.std(axis=0)
    varies = spread > 1e-9 * np.abs(values).max(axis=0)
    if not varies.any():
        msg = f"no column of adata.obsm[{key!r}] varies between the sites"
        raise ValueError(msg)
    values = np.where(varies, values - values.mean(axis=0), 0) / np.where(varies, spread, 1)
    variances, axes = np.linalg.eigh(values.T @ values / len(values))
    n = min(n, int((variances > 1e-9 * variances[-1]).sum()))
    variances, loadings = variances[::-1][:n], axes[:, ::-1][:, :n].T
    loadings = loadings * np.where(loadings.sum(axis=1, keepdims=True) < 0, -1, 1)
    scores = values @ loadings.T / np.sqrt(variances)
    return scores.astype(np.float32), variances / varies.sum(), loadings
