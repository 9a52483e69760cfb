"""``s2s info``: describe a section and what ``s2s impute`` would do."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from .. import _keys
from . import _options as options
from ._app import print_json
from ._files import read_genes, read_section
from ._layout import VALUES, describe_values, has_lattice, lay_out, normalise

if TYPE_CHECKING:
    from anndata import AnnData

LEAST = 0.01  # fraction of the variance below which the text says that an image explains hardly anything


def info(
    source: options.Source,
    *,
    upsample: options.Upsample = None,
    genes: options.Genes = None,
    bin_size: options.BinSize = None,
    layer: options.Layer = None,
    positions: options.Positions = None,
    table: options.Table = "table",
    spatial_key: options.SpatialKey = "spatial",
    library_key: options.LibraryKey = None,
    as_json: options.Json = False,
) -> None:
    """Show the lattice of a section, and what s2s impute would do."""
    from .._adata import find_runs, read_sections
    from .._checks import check_genes
    from ..tl._blocks import needed_gigabytes

    adata = read_section(source, positions=positions, table=table, layer=layer)
    names = read_genes(genes, adata)
    on_lattice = has_lattice(adata)
    dense = lay_out(adata, upsample=upsample, bin_size=bin_size, spatial_key=spatial_key, library_key=library_key)
    laid = read_sections(dense)
    sections = [
        {
            "section": section.name,
            "lattice": section.lattice.kind.name,
            "rows": section.lattice.shape[0],
            "columns": section.lattice.shape[1],
            "stride": section.lattice.stride(section.measured),
            "spots": int(section.measured.sum()),
            "sites": len(section.lattice),
        }
        for section in laid
    ]
    with_image, explained = _image(dense, [section.name for section in laid])
    largest = max(len(section.lattice) for section in laid)
    found = {
        "observations": adata.n_obs,
        "on_lattice": on_lattice,
        "genes": dense.n_vars,
        "imputed": len(check_genes(dense, names)),
        "sections": sections,
        "values": describe_values(dense),
        "runs": list(find_runs(dense)),
        "image": with_image,
        "explained_by_image": explained,
        "gigabytes": round(needed_gigabytes(dense.n_obs, largest, dense.n_vars, 2), 1),
    }
    if as_json:
        print_json(found)
    else:
        typer.echo("\n".join(_lines(found)))


def _image(adata: "AnnData", sections: list[str | None]) -> tuple[bool, float | None]:
    """Whether all have an image, and which part of the differences between neighbouring spots it explains if known."""
    from .. import pp
    from .._image import find_library, library_image

    try:
        for name in sections:
            library_image(find_library(adata.uns.get("spatial"), name, ""), None, "")
    except (KeyError, ValueError):
        return False, None
    with suppress(KeyError, TypeError, ValueError):
        adata = adata.copy()
        normalise(adata, None)
        pp.image_features(adata)
        explained = adata.uns[_keys.UNS][_keys.IMAGE][_keys.IMAGE_FEATURES]["explained"]
        return True, None if np.isnan(explained).all() else round(float(np.nanmean(explained)), 3)
    return True, None


def _lines(found: dict[str, Any]) -> list[str]:
    where = ", on its lattice already" if found["on_lattice"] else ""
    lines = [f"{found['observations']} observations, {found['genes']} genes{where}"]
    for section in found["sections"]:
        name = "" if section["section"] is None else f"section {section['section']!r}: "
        unmeasured = section["sites"] - section["spots"]
        lines.append(
            f"{name}{section['lattice']} lattice, {section['rows']} x {section['columns']}; {section['spots']} spots "
            f"(one in {section['stride']} along each axis), {unmeasured} unmeasured sites"
        )
    lines.append(f"values are {VALUES[found['values']]}")
    if found["image"]:
        lines.append("there is an image of the tissue: s2s impute --image auto uses it as a covariate")
    if (part := found["explained_by_image"]) is not None:
        much = f"about {100 * part:.0f} %" if part >= LEAST else f"hardly any (less than {100 * LEAST:.0f} %)"
        lines.append(f"its stains explain {much} of the differences in expression between neighbouring spots")
    if found["runs"]:
        lines.append(f"layers of earlier runs: {', '.join(found['runs'])}")
    if all(section["sites"] == section["spots"] for section in found["sections"]):
        return [*lines, "every site is measured: s2s impute would have nothing to do"]
    some = "" if found["imputed"] == found["genes"] else f" for {found['imputed']} of {found['genes']} genes"
    return [*lines, f"s2s impute needs about {found['gigabytes']:.1f} GB of memory{some}"]
