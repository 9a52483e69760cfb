"""Detection of several sections, or fields of view in local coordinates, in an AnnData without `library_key`."""

import re
import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .. import _keys
from .._checks import few
from .._lattice import Lattice, affine_residual, residual

SECTION_WORDS = (
    "(samples?|library|slides?|sections?|slices?|batch|puck|donor|patient|subject|individual|animal|mouse|replicate|"
    "specimen|dataset|orig|chip|capture|experiment|gsm|genotype|treatment|condition|timepoint|stage|run|core)(id|name)?"
)
FIELD_WORDS = "fovs?|field|tiles?|roi|image|region|position|view|scan"
"""Words in the names of columns that identify sections, or fields of view."""
MOST_VALUES, MOST_SUFFIXES = 500, 12  # largest numbers of values of such a column, and of endings of spot names
MIXED = 0.3  # fraction of nearest cells in another group, relative to random groups, above which groups overlap
CONTRADICTION = 0.1  # residual of a lattice, in pitches, from which separate lattices are tested
EXPLAINED = 0.1  # fraction of this residual that remains with separate lattices, at most
FEWEST = 10  # number of spots of each group, at least


def hint(adata: AnnData, positions: NDArray[np.generic]) -> str:
    """Return advice for spots without a common lattice: the column that may identify several sections."""
    names, places = _columns(adata, SECTION_WORDS), pd.DataFrame(positions)
    if not names and places.duplicated().any():
        columns = _discrete(adata).items()
        names = [key for key, column in columns if not places.assign(key=column.to_numpy()).duplicated().any()]
    if not names:
        return "If adata holds several sections, pass library_key="
    return f"If adata.obs[{names[0]!r}] names sections, pass library_key={names[0]!r}"


def check_libraries(adata: AnnData) -> None:
    """Refuse several entries in ``uns["spatial"]``, unless obs assigns all spots to one of them, or to fields."""
    spatial = adata.uns.get("spatial")
    entries = spatial.items() if isinstance(spatial, Mapping) else ()
    libraries = {str(name) for name, entry in entries if isinstance(entry, Mapping)}
    if len(libraries) < 2:
        return
    texts = {key: set(column.astype(str)) for key, column in _discrete(adata).items()}
    matching = [key for key, values in texts.items() if values <= libraries]
    if any(len(texts[key]) == 1 or _named(key, FIELD_WORDS) for key in matching):
        return
    how = "pass library_key=, or keep only the entry of this section"
    if matching:
        how = f"pass library_key={matching[0]!r}, since adata.obs[{matching[0]!r}] names them"
    msg = f"adata.uns['spatial'] names {len(libraries)} libraries ({few(sorted(libraries))}), not one: {how}"
    raise ValueError(msg)


def check_lattice(adata: AnnData, lattice: Lattice, coordinates: NDArray[np.float64]) -> None:
    """Refuse (or warn of) spots that lie on separate lattices, one for each value of a column."""
    named, found = _columns(adata, SECTION_WORDS), residual(lattice, coordinates)
    for key, column in _discrete(adata).items() if found > CONTRADICTION else ():
        groups = [np.flatnonzero(column == value) for value in column.unique()]
        if len(groups) < 2 or min(map(len, groups)) < FEWEST:
            continue
        alone = [affine_residual(lattice.subset(rows), coordinates[rows]) ** 2 * len(rows) for rows in groups]
        if np.sqrt(sum(alone) / len(lattice)) > EXPLAINED * found:
            continue
        msg = f"spots of each value of adata.obs[{key!r}] lie on a lattice of their own; pass library_key={key!r}"
        if key in named:
            raise ValueError(msg)
        warnings.warn(msg, UserWarning, stacklevel=3)
        return
    _warn(adata, named)


def check_cells(adata: AnnData, coordinates: NDArray[np.float64], spatial_key: str) -> None:
    """Refuse overlapping cells of several sections, or of fields of view with local coordinates."""
    others = {name: values for name, values in adata.obsm.items() if "spatial" in name.lower() and name != spatial_key}
    fields, named = _columns(adata, FIELD_WORDS), _columns(adata, SECTION_WORDS)
    for key in [*fields, *named]:
        if not _mixed(adata.obs[key], coordinates):
            continue
        overlap = f"the cells of different {key!r} (adata.obs) overlap"
        if key not in fields:
            how = f"library_key={key!r}, or drop the column if this is a single section"
            msg = f"{overlap}, and bins would mix them; pass {how}"
            raise ValueError(msg)
        planar = {name: np.asarray(values, float) for name, values in others.items() if values.shape[1:] == (2,)}
        apart = [name for name, values in planar.items() if not _mixed(adata.obs[key], values)]
        how = f"spatial_key={apart[0]!r}" if apart else f"coordinates of the whole section, or library_key={key!r}"
        msg = f"{overlap} in adata.obsm[{spatial_key!r}], which seems to be local to each field of view; pass {how}"
        raise ValueError(msg)
    _warn(adata, named)


def _warn(adata: AnnData, named: list[str]) -> None:
    """Warn of a column whose name suggests sections, else of spot names with the affixes of joined AnnData."""
    spots = adata.obs_names.to_series().astype(str)
    suffix = spots.str.extract(r"-([^-]+)$", expand=False)
    prefix = spots.str.extract(r"^(.+?)[_-][ACGT]{12,}", expand=False)
    suffix = suffix if prefix.isna().any() or (prefix == prefix.iloc[0]).all() else prefix
    if named:
        key = named[0]
        what, values = f"adata.obs[{key!r}] has {adata.obs[key].nunique()} values", adata.obs[key].unique()
    elif not suffix.isna().any() and 1 < suffix.nunique() <= MOST_SUFFIXES:
        parts = pd.factorize(suffix)[0]
        same = [key for key, column in _discrete(adata).items() if np.array_equal(pd.factorize(column)[0], parts)]
        key = same[0] if same else ""
        what, values = "the names of spots have different beginnings or endings, as in joined sections", suffix.unique()
    else:
        return
    advice = f"pass library_key={key and repr(key)} if these are several sections"
    msg = f"adata is laid out as one section, but {what} ({few(values, 3)}): {advice}"
    warnings.warn(msg, UserWarning, stacklevel=4)


def _discrete(adata: AnnData) -> dict[str, pd.Series]:
    """Return the columns of obs with few different names or whole numbers."""
    found = {}
    for key, column in adata.obs.items():
        if str(key) in (_keys.IN_TISSUE, _keys.ARRAY_ROW, _keys.ARRAY_COL) or str(key).startswith("s2s_"):
            continue
        if column.dtype.kind == "f" and not (column == column.round()).all():
            continue
        if column.astype(str).nunique() <= min(MOST_VALUES, max(len(column) // 2, 1)):
            found[str(key)] = column
    return found


def _columns(adata: AnnData, words: str) -> list[str]:
    """Return the columns with several values whose names contain one of the words."""
    return [key for key, column in _discrete(adata).items() if _named(key, words) and len(column.unique()) > 1]


def _named(key: str, words: str) -> bool:
    """Whether a name contains one of the words, as ``orig.ident``, ``sampleID`` and ``Slide_2`` do."""
    return any(re.fullmatch(words, part.lower()) for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", key))


def _mixed(column: pd.Series, coordinates: NDArray[np.float64]) -> bool:
    """Whether groups of cells overlap, so that the nearest cell may belong to any group."""
    codes, names = pd.factorize(column)
    share = np.bincount(codes[codes >= 0], minlength=len(names)) / max(len(codes), 1)
    sample = np.arange(0, len(codes), len(codes) // 20_000 + 1)
    near = np.asarray(cKDTree(coordinates).query(coordinates[sample], k=2)[1])
    other = np.where(near[:, 0] == sample, near[:, 1], near[:, 0])
    return bool((codes[other] != codes[sample]).mean() > MIXED * (1 - (share**2).sum()))
