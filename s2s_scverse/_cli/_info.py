"""``s2s info``: what is in a file, and what would be done with it."""

from typing import TYPE_CHECKING, Any

import typer

from .. import _keys
from .._progress import duration
from ._app import Json, print_json, reported
from ._impute import Genes, Preset, PresetOption, Upsample, read_genes
from ._sections import (
    BinSize,
    Layer,
    Laying,
    LibraryKey,
    Positions,
    Source,
    SpatialKey,
    Table,
    has_lattice,
    measured_counts,
)

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["info"]


def info(
    source: Source,
    *,
    upsample: Upsample = None,
    genes: Genes = None,
    preset: PresetOption = Preset.default,
    bin_size: BinSize = None,
    layer: Layer = None,
    positions: Positions = None,
    table: Table = "table",
    spatial_key: SpatialKey = "spatial",
    library_key: LibraryKey = None,
    as_json: Json = False,
) -> None:
    """Tell what lattice a section lies on, what s2s impute would do, and how long that would take.

    Times are for two cores without an accelerator, and right within a factor of two or so.
    """
    with reported():
        names = read_genes(genes)
        laying = Laying(positions, table, layer, bin_size, spatial_key, library_key)
        read = laying.read(source)
        on_lattice = has_lattice(read)
        dense = laying.lay(read, upsample=upsample)
        found = _describe(dense, names, preset) | {"on_lattice": on_lattice, "observations": read.n_obs}
    if as_json:
        print_json(found)
        return
    typer.echo("\n".join(_lines(found)))


def _describe(dense: "AnnData", names: list[str] | None, preset: Preset) -> dict[str, Any]:
    from dataclasses import replace

    from .._adata import find_runs, read_sections
    from .._checks import check_genes
    from .._train import TRAINING_PRESETS
    from ..nn import PRESETS
    from ..tl._estimate import Size, estimate

    measured = dense.obs[_keys.MEASURED].to_numpy()
    sections, sizes = [], []
    for section in read_sections(dense):
        lattice, spots = section.lattice, int(measured[section.rows].sum())
        sizes.append(Size(spots, len(lattice)))
        sections.append(
            {
                "section": section.name,
                "lattice": lattice.kind.name,
                "rows": lattice.shape[0],
                "columns": lattice.shape[1],
                "stride": lattice.stride(measured[section.rows]),
                "spots": spots,
                "sites": len(lattice),
            }
        )
    network, training = PRESETS[preset.value], TRAINING_PRESETS[preset.value]
    if measured.all():
        training = replace(training, max_epochs=0)
    n_genes = len(check_genes(dense, names))
    cost = estimate(sizes, n_genes, network, training, errors=not measured.all(), held=dense.n_vars)
    return {
        "genes": dense.n_vars,
        "imputed": n_genes,
        "sections": sections,
        "counts": measured_counts(dense),
        "runs": list(find_runs(dense)),
        "preset": preset.value,
        "seconds": round(cost.seconds),
        "gigabytes": round(cost.gigabytes, 1),
    }


def _lines(found: dict[str, Any]) -> list[str]:
    where = ", on its lattice already" if found["on_lattice"] else ""
    lines = [f"{found['observations']} observations, {found['genes']} genes{where}"]
    for section in found["sections"]:
        name = "" if section["section"] is None else f"section {section['section']!r}: "
        new = section["sites"] - section["spots"]
        lines.append(
            f"{name}{section['lattice']} lattice, {section['rows']} x {section['columns']}; {section['spots']} spots "
            f"(one in {section['stride']} along each axis), {new} unmeasured sites"
        )
    lines.append(
        "values are counts: they would be scaled per spot, and log1p taken"
        if found["counts"]
        else "values are no counts: they would be imputed as they are"
    )
    lines += [f"layers of earlier runs: {', '.join(found['runs'])}"] if found["runs"] else []
    if all(section["sites"] == section["spots"] for section in found["sections"]):
        return [*lines, "every site is measured: s2s impute would have nothing to do"]
    some = "" if found["imputed"] == found["genes"] else f"{found['imputed']} of {found['genes']} genes, "
    cost = f"about {duration(found['seconds'])}, {found['gigabytes']:.1f} GB of memory"
    return [*lines, f"s2s impute, {some}preset {found['preset']!r}: {cost}"]
