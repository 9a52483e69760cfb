"""``s2s demo``: impute and score a simulated section."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from . import _options as options
from ._app import print_json
from ._evaluate import as_text, mean_scores, run_methods
from ._write import check_output, replacing, write_section

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["demo"]

DEPTH: Final = 600.0
"""Counts per spot, simulated and normalised to: a constant, so that no spot's values depend on another's."""
SHOWN: Final = ("domain_1", "hot_spot_1", "cell_type_1")
"""Genes in the picture, chosen for their patterns, not for how well they are imputed."""


def demo(
    *,
    out_dir: Annotated[Path, typer.Option(help="Folder for demo.h5ad and demo.png; made if needed.")] = Path(),
    seed: Annotated[int, typer.Option(help="Random seed of the section and of training.")] = 0,
    preset: Annotated[Literal["default", "fast", "quick"], typer.Option(help="Training preset.")] = "fast",
    as_json: options.Json = False,
    rows: Annotated[int, typer.Option(hidden=True)] = 48,
    cols: Annotated[int, typer.Option(hidden=True)] = 56,
    n_genes: Annotated[int, typer.Option(hidden=True)] = 60,
    max_epochs: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Simulate a section, hold out three quarters of its spots, impute them, and score the result.

    Prints the mean scores over genes at the held-out spots beside those of simple interpolation, and writes the section
    and a picture of it.
    """
    from .. import get, pl, tl

    out_dir.mkdir(parents=True, exist_ok=True)
    table, picture = (check_output(out_dir / name, option="--out-dir") for name in ("demo.h5ad", "demo.png"))
    dense = _simulate(rows, cols, n_genes, seed)
    methods = ["s2s", "nearest", "linear", "kriging"]
    seconds = run_methods(dense, methods, None, preset=preset, max_epochs=max_epochs, rng=seed)
    tl.evaluate(dense, methods)
    means = mean_scores(get.evaluation_df(dense), seconds)
    genes = [gene for gene in SHOWN if gene in dense.var_names]
    figure: Any = pl.compare(dense, genes, return_fig=True)
    write_section(dense, table)
    with replacing(picture) as temporary:
        figure.savefig(temporary, dpi=150)
    if as_json:
        files = {"h5ad": str(table), "png": str(picture)}
        print_json({"seed": seed, "scores": means.to_dict("records"), "files": files})
        return
    measured, held_out = (int(dense.obs[key].sum()) for key in ("s2s_measured", "s2s_held_out"))
    typer.echo(f"Simulated section: {measured} spots measured, {held_out} held out, {dense.n_vars} genes.")
    typer.echo(f"Means over genes at the held-out spots:\n\n{as_text(means)}\n\nWrote {table}\n      {picture}")


def _simulate(rows: int, cols: int, n_genes: int, seed: int) -> "AnnData":
    """Simulate a section on its lattice and hold out three quarters of its spots."""
    from .. import datasets, pp

    adata = datasets.simulated_tissue(n_rows=rows, n_cols=cols, n_genes=n_genes, depth=DEPTH, rng=seed)
    dense = pp.grid(adata, upsample=1)
    pp.normalize(dense, target_sum=DEPTH)
    pp.sparsify(dense, stride=2)
    return dense
