"""``s2s demo``: the main job on the embedded simulated section."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, cast

import typer

from ._app import Json, on_a_terminal, print_json, reported
from ._write import replacing, write_section

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.figure import Figure

__all__ = ["demo"]

DEPTH: Final = 600.0
"""Counts per spot, simulated and normalised to: a fixed number, so that no spot's values depend on another's."""
MAX_EPOCHS: Final = 10
"""Enough for a section of this size, and a bound on the time that the command takes."""
SHOWN: Final = ("domain_1", "hot_spot_1", "cell_type_1")
"""Genes of the picture, chosen by what they look like, not by how well they are imputed."""
BASELINES: Final[tuple[Literal["nearest", "linear"], ...]] = ("nearest", "linear")


class Preset(StrEnum):
    """Recipes of `s2s.tl.impute` that are quick enough for a demonstration."""

    default = "default"
    fast = "fast"


@dataclass(frozen=True)
class Result:
    """Mean scores of a method over genes, at held-out spots."""

    method: str
    pcc: float
    rmse: float
    mae: float
    seconds: float


def demo(
    *,
    out_dir: Annotated[Path, typer.Option(help="Folder for demo.h5ad and demo.png; made if there is none.")] = Path(),
    seed: Annotated[int, typer.Option(help="Seed of the section and of training.")] = 0,
    preset: Annotated[Preset, typer.Option(help="How thoroughly to train.")] = Preset.default,
    as_json: Json = False,
    rows: Annotated[int, typer.Option(hidden=True)] = 48,
    cols: Annotated[int, typer.Option(hidden=True)] = 56,
    n_genes: Annotated[int, typer.Option(hidden=True)] = 60,
    max_epochs: Annotated[int, typer.Option(hidden=True)] = MAX_EPOCHS,
) -> None:
    """Simulate a section, hide three quarters of it, impute them, and score the result.

    Prints the mean scores over genes at the hidden spots, next to those of simple interpolation, and writes the section
    and a picture of it.
    """
    with reported():
        table, picture = _writable(out_dir, "demo.h5ad", "demo.png")
        dense = _hidden_section(rows, cols, n_genes, seed)
        results = _compete(dense, preset, seed, max_epochs, progress=on_a_terminal())
        _save(dense, table, picture)
    if as_json:
        files = {"h5ad": str(table), "png": str(picture)}
        print_json({"seed": seed, "scores": [asdict(result) for result in results], "files": files})
        return
    measured, hidden = (int(dense.obs[key].sum()) for key in ("s2s_measured", "s2s_held_out"))
    typer.echo(f"Simulated section: {measured} spots measured, {hidden} hidden, {dense.n_vars} genes.")
    typer.echo("Means over genes at the hidden spots:\n")
    typer.echo("\n".join(_table(results)))
    typer.echo(f"\nWrote {table}\n      {picture}")


def _writable(folder: Path, *names: str) -> list[Path]:
    """Return paths in a folder, which is made; refuse what cannot be written before any work is done."""
    from .._checks import check_folder

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in names]
    for path in paths:
        if path.is_dir():
            msg = f"{path} is a folder, a file of this name is to be written; choose another --out-dir"
            raise IsADirectoryError(msg)
    check_folder(folder, "--out-dir")
    return paths


def _hidden_section(rows: int, cols: int, n_genes: int, seed: int) -> "AnnData":
    """Simulate a section on its lattice, three quarters of whose spots are hidden."""
    import scanpy as sc

    from .. import datasets, pp

    adata = datasets.simulated_tissue(n_rows=rows, n_cols=cols, n_genes=n_genes, depth=DEPTH, rng=seed)
    sc.pp.normalize_total(adata, target_sum=DEPTH)
    sc.pp.log1p(adata)
    dense = pp.grid(adata, upsample=1)
    pp.sparsify(dense, stride=2)
    return dense


def _compete(dense: "AnnData", preset: Preset, seed: int, max_epochs: int, *, progress: bool) -> list[Result]:
    """Impute by all methods, and score them."""
    from .. import get, tl

    def impute() -> None:
        tl.impute(dense, preset=preset.value, max_epochs=max_epochs, rng=seed, progress=progress)

    seconds: dict[str, float] = {"s2s": _timed(impute)}
    seconds |= {method: _timed(partial(tl.interpolate, dense, method)) for method in BASELINES}
    tl.evaluate(dense, list(seconds))
    scores = get.evaluation_df(dense)
    results = []
    for method, elapsed in seconds.items():
        pcc, rmse, mae = scores.loc[scores["method"] == method, ["pcc", "rmse", "mae"]].mean().tolist()
        results.append(Result(method, pcc, rmse, mae, round(elapsed, 2)))
    return results


def _timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _save(dense: "AnnData", table: Path, picture: Path) -> None:
    """Write the section and its picture, each whole or not at all."""
    from .. import pl

    genes = [gene for gene in SHOWN if gene in dense.var_names]
    figure = cast("Figure", pl.compare(dense, genes, return_fig=True))
    write_section(dense, table)
    with replacing(picture) as temporary:
        figure.savefig(temporary, dpi=150)


def _table(results: list[Result]) -> list[str]:
    """Align the scores as text, the best first."""
    ranked = sorted(results, key=lambda result: -result.pcc)
    lines = [f"{'method':<10}{'PCC':>8}{'RMSE':>8}{'MAE':>8}{'seconds':>10}"]
    lines += [f"{r.method:<10}{r.pcc:>8.3f}{r.rmse:>8.3f}{r.mae:>8.3f}{r.seconds:>10.1f}" for r in ranked]
    return lines
