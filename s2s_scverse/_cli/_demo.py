"""``s2s demo``: impute and score a simulated section."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import numpy as np
import typer
from typer import Option

from .. import _keys
from . import _options as options
from ._app import print_json
from ._evaluate import BASELINES, as_text, gain_as_text, run_methods, score
from ._files import check_output, replacing, write_section

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

DEPTH: Final = 600.0
"""Counts per spot, simulated and normalized to: a constant, so that no spot's values depend on another's."""
SHOWN: Final = ("domain_1", "hot_spot_1", "cell_type_1")
"""Genes in the picture, chosen for their patterns, not for how well they are imputed."""
METHODS: Final = ("s2s", "stack", "pca_kriging", "kriging", "linear", "nearest")
WITHOUT_IMAGE: Final = "stack_without_image"
PIXELS: Final = 12  # pixels of the simulated image between neighbouring sites


def demo(
    *,
    out_dir: Annotated[Path, Option(help="Folder for demo.h5ad and demo.png; made if needed.")] = Path(),
    seed: Annotated[int, Option(help="Random seed of the section and of training.")] = 0,
    preset: Annotated[
        Literal["default", "fast", "quick"],
        Option(help="Training preset.", **options.one_of("default", "fast", "quick")),
    ] = "fast",
    image: Annotated[
        bool, Option("--image", help="Simulate a stained image of the section, too, and use it as a covariate.")
    ] = False,
    as_json: options.Json = False,
    rows: Annotated[int, Option(hidden=True)] = 48,
    cols: Annotated[int, Option(hidden=True)] = 56,
    n_genes: Annotated[int, Option(hidden=True)] = 60,
    max_epochs: Annotated[int | None, Option(hidden=True)] = None,
) -> None:
    """Impute and score a simulated section.

    Simulates a section, holds out three quarters of its spots and imputes them. Prints mean scores over genes at the
    held-out spots for s2s, for the stack of kriging methods that its network refines, and for simpler methods. Writes
    the section and a picture of three genes.
    """
    from .. import pl, pp, tl

    out_dir.mkdir(parents=True, exist_ok=True)
    table, picture = (check_output(out_dir / name, option="--out-dir") for name in ("demo.h5ad", "demo.png"))
    dense = _simulate(rows, cols, n_genes, seed, image=image)
    if image:
        pp.image_features(dense)
    covariates = _keys.IMAGE_FEATURES if image else None
    methods = list(METHODS)
    seconds = run_methods(dense, methods, None, covariates=covariates, preset=preset, max_epochs=max_epochs, rng=seed)
    if image:
        tl.interpolate(dense, "stack", key_added=WITHOUT_IMAGE)
        methods.append(WITHOUT_IMAGE)
    _, means, compared = score(dense, methods, None, seconds, over=(*BASELINES, WITHOUT_IMAGE, "stack"))
    genes = [gene for gene in SHOWN if gene in dense.var_names]
    columns: Any = ("image", "measured", "imputed", "truth", "error") if image else None
    figure: Any = pl.compare(dense, genes, columns=columns, alpha=1.0, return_fig=True)
    write_section(dense, table)
    with replacing(picture) as temporary:
        figure.savefig(temporary, dpi=150)
    if as_json:
        files = {"h5ad": str(table), "png": str(picture)}
        print_json({"seed": seed, "scores": means.to_dict("records"), "gains": compared, "files": files})
        return
    measured, held_out = (int(dense.obs[key].sum()) for key in (_keys.MEASURED, _keys.HELD_OUT))
    typer.echo(f"Simulated section: {measured} spots measured, {held_out} held out, {dense.n_vars} genes.")
    typer.echo(f"Means over genes at the held-out spots:\n\n{as_text(means)}\n")
    trained = len(dense.uns[_keys.UNS][_keys.UNS]["history"]) > 0
    for gain in compared:
        typer.echo(gain_as_text(gain) + (" (what the network adds)" if trained and gain["over"] == "stack" else ""))
    typer.echo(f"\nWrote {table}\n      {picture}")


def _simulate(rows: int, cols: int, n_genes: int, seed: int, *, image: bool) -> "AnnData":
    """Simulate a section on its lattice and hold out three quarters of its spots."""
    from .. import datasets, pp

    adata = datasets.simulated_tissue(n_rows=rows, n_cols=cols, n_genes=n_genes, depth=DEPTH, rng=seed)
    if image:
        pixels, scale = stained(adata, np.random.default_rng(seed))
        adata.uns["spatial"] = {"demo": {"images": {"hires": pixels}, "scalefactors": {"tissue_hires_scalef": scale}}}
    adata.uns["spatial_unit"] = "micrometre"
    dense = pp.grid(adata, upsample=1)
    pp.normalize(dense, target_sum=DEPTH)
    pp.sparsify(dense, stride=2)
    return dense


def stained(adata: "AnnData", rng: np.random.Generator) -> "tuple[NDArray[np.uint8], float]":
    """Draw haematoxylin and eosin, whose densities differ between domains, and nuclei; return pixels per micrometre.

    Only the domains of the sites are used, not their expression.
    """
    from scipy.ndimage import gaussian_filter
    from scipy.spatial import cKDTree
    from skimage.color import hed2rgb

    at = adata.obsm[_keys.SPATIAL]
    pitch = float(np.median(np.asarray(cKDTree(at).query(at, 2)[0])[:, 1]))
    width, height = (int(extent) for extent in (at.max(axis=0) / pitch + 2) * PIXELS)
    y, x = np.mgrid[:height, :width]
    found = cKDTree(at).query(np.stack([x, y], axis=-1) * pitch / PIXELS)
    distance, nearest = np.asarray(found[0]), np.asarray(found[1])
    domain = adata.obs["domain"].cat.codes.to_numpy()[nearest]
    tissue = gaussian_filter((distance < 0.7 * pitch).astype(float), 1)
    density = rng.uniform([0.02, 0.04], [0.12, 0.16], (domain.max() + 1, 2))[domain]  # of both stains
    density = gaussian_filter(density, (2, 2, 0))
    nuclei = gaussian_filter((rng.random((height, width)) < 0.6 * density[..., 0]).astype(float), 1.2)
    stains = np.stack([density[..., 0] + 2 * nuclei * density[..., 0], density[..., 1], np.zeros_like(nuclei)], axis=-1)
    stains += rng.normal(0, 0.004, stains.shape)
    colours = hed2rgb(np.maximum(stains, 0) * tissue[..., None])
    return (255 * np.clip(colours, 0, 1)).astype(np.uint8), PIXELS / pitch
