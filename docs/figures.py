"""Draws the figures of README.md and method.md.

    python docs/figures.py [NAME ...] [--folder docs/images] [--format svg]

``tissue`` reads ``visium_mouse_brain_coronal_he.h5ad`` from ``$S2S_DATA_DIR`` (docs/attribution.md).
"""

import argparse
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import anndata as ad
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from numpy.typing import NDArray
from pictures import with_palette

import s2s_scverse as s2s
from s2s_scverse._lattice import KINDS, Lattice, fill_sites
from s2s_scverse._train._layout import dense_masks, sparser_masks

# Okabe and Ito's colours, told apart by all; every meaning has a shape or a dash of its own as well.
BLACK, GREY, BLUE, ORANGE, PURPLE = "#222222", "#9a9a9a", "#0072b2", "#d55e00", "#b3578a"
WIDTH = 7.2  # inches
STYLE = {"font.family": "DejaVu Sans", "font.size": 9, "svg.fonttype": "path", "svg.hashsalt": "s2s_scverse"}
"""Text as outlines and no random names: the same picture everywhere, and the same file."""


def cascade() -> Figure:
    """What goes where in a cascade of two stages."""
    figure = Figure(figsize=(WIDTH, 3.15))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 100), ylim=(0, 43.75))
    ax.axis("off")
    lane, over, start_over, values, context = 23.0, 30.5, 35.0, 9.0, 3.0
    consistent, networks, sums, shrinkage, end = (18.0, 43.5, 83.0), (28.0, 53.5), (36.2, 61.7), 72.0, 94.0

    _box(ax, 6, lane, 10, "initial\nestimate", BLACK)
    for x in consistent:
        _box(ax, x, lane, 7, "DC", BLUE)
    for k, x in enumerate(networks, 1):
        _box(ax, x, lane, 7, f"$N_{k}$", ORANGE)
    for x in sums:
        ax.plot(x, lane, "o", markersize=13, markerfacecolor="white", markeredgecolor=BLACK)
        ax.text(x, lane, "+", ha="center", va="center_baseline", fontsize=12)
    _box(ax, shrinkage, lane, 8.5, "shrink $\\gamma$", BLACK)
    _box(ax, end, lane, 10, "imputed\nmap", BLACK)

    stops = (
        (11, 14.5),
        (21.5, 24.5),
        (31.5, 34.8),
        (37.6, 40),
        (47, 50),
        (57, 60.3),
        (63.1, 67.75),
        (76.25, 79.5),
        (86.5, 89),
    )
    for left, right in stops:
        _arrow(ax, (left, lane), (right, lane), BLACK)
    for dc, plus in zip(consistent, sums, strict=False):  # round each network
        _line(ax, [dc + 4.8, dc + 4.8, plus], [lane, over, over])
        _arrow(ax, (plus, over), (plus, lane + 1.6), BLACK)
    _line(ax, [6, 6, shrinkage], [lane + 3.2, start_over, start_over])
    _arrow(ax, (shrinkage, start_over), (shrinkage, lane + 3.2), BLACK)
    ax.text(shrinkage + 1.3, 31, "$s + \\gamma\\,(x_2 - s)$", ha="left", va="center")
    for k, (x, weight) in enumerate(zip(sums, ("1/2", "1"), strict=True), 1):
        ax.plot([x + 2.3, x + 2.3], [lane, 38.2], color="#666666", lw=1.1, ls=(0, (2, 1.5)))
        ax.text(x + 2.3, 40.4, f"$x_{k}$: loss, weighted {weight}", ha="center", va="center", color="#555555")

    _bar(ax, values, 59, "measured values $y$, mask $m$", BLUE)
    _bar(ax, context, 59, "initial estimates, tissue", ORANGE)
    for x in consistent:
        _arrow(ax, (x, values + 2.1), (x, lane - 3.2), BLUE)
    for x in networks:
        _arrow(ax, (x - 1.3, values + 2.1), (x - 1.3, lane - 3.2), BLUE)
        _arrow(ax, (x + 1.3, context + 2.1), (x + 1.3, lane - 3.2), ORANGE, ls=(0, (4, 1.5)))
    ax.text(1, (values + context) / 2, "inputs", va="center", color="#555555")
    return figure


def _line(ax: Axes, x: list[float], y: list[float]) -> None:
    ax.plot(x, y, color=BLACK, lw=1.1, solid_joinstyle="miter")


def _box(ax: Axes, x: float, y: float, width: float, text: str, color: str) -> None:
    patch = FancyBboxPatch(
        (x - width / 2, y - 3.2), width, 6.4, boxstyle="round,pad=0,rounding_size=0.9", fc="white", ec=color, lw=1.6
    )
    ax.add_patch(patch)
    ax.text(x, y, text, ha="center", va="center", color=color, linespacing=1.05)


def _bar(ax: Axes, y: float, x: float, text: str, color: str) -> None:
    patch = FancyBboxPatch((10, y - 2.1), 89, 4.2, boxstyle="square,pad=0", fc=color, ec="none", alpha=0.13)
    ax.add_patch(patch)
    ax.text(x, y, text, ha="left", va="center", color=color)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], color: str, ls: object = "-") -> None:
    ax.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=8, color=color, lw=1.1, ls=ls, shrinkA=0, shrinkB=0
        )
    )


def sampling() -> Figure:
    """Every way in which spots are hidden, on a square and on a hexagonal lattice."""
    titles = ("dense lattice: the sites", "sparse: the spots", "sparser → sparse", "sparse → dense")
    figure = Figure(figsize=(WIDTH, 4.35))
    axes = figure.subplots(
        2, 4, gridspec_kw={"left": 0.045, "right": 0.995, "top": 0.94, "bottom": 0.09, "wspace": 0.05, "hspace": 0.05}
    )
    for row, (kind, name) in enumerate((("square", "square"), ("hex", "hexagonal"))):
        _panels(axes[row], kind)
        axes[row, 0].set_ylabel(name, fontsize=10)
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, fontsize=10)
    figure.legend(handles=_legend(), loc="lower center", ncols=4, frameon=False, handletextpad=0.3, columnspacing=1.6)
    return figure


SEEN = {"marker": "o", "s": 22, "color": BLUE, "linewidths": 0}
SCORED = {"marker": "o", "s": 22, "facecolors": "white", "edgecolors": ORANGE, "linewidths": 1.3}
VALIDATION = {"marker": "X", "s": 24, "color": PURPLE, "linewidths": 0}
SITE = {"marker": "o", "s": 5, "color": GREY, "linewidths": 0}


def _panels(axes: NDArray[np.object_], kind: str) -> None:
    """One row: the section, its spots, and one mask of each term of the loss."""
    rng = np.random.default_rng(11)
    lattice, measured = _section(kind)
    spots = np.flatnonzero(measured)
    validation = np.zeros(len(lattice), bool)
    validation[rng.permutation(spots)[: round(0.1 * len(spots))]] = True
    known = measured & ~validation
    _draw(axes[0], lattice, [(~measured, SITE), (known, SEEN), (validation, VALIDATION)])
    _draw(axes[1], lattice, [(known, SEEN), (validation, VALIDATION)])
    masks = sparser_masks(lattice, known, n=1, dropout=0.3, rng=rng)
    seen = masks.visible[0]
    _draw(axes[2], masks.lattice, [(~seen, SCORED), (seen, SEEN)])
    seen = dense_masks(lattice, known, n=1, dropout=0.3, rng=rng).visible[0]
    _draw(axes[3], lattice, [(~measured, SITE), (validation, SITE), (known & ~seen, SCORED), (seen, SEEN)])
    limits = lattice.coordinates.min(axis=0) - 1, lattice.coordinates.max(axis=0) + 1
    for ax in axes:
        ax.set(
            xlim=(limits[0][0], limits[1][0]), ylim=(limits[1][1], limits[0][1]), xticks=[], yticks=[], aspect="equal"
        )
        for side in ax.spines.values():
            side.set_visible(False)


def _section(kind: str) -> tuple[Lattice, NDArray[np.bool_]]:
    """Spots in an oval, a few of them missing, and the unmeasured sites between them."""
    basis = np.asarray(KINDS[kind].unit_basis)
    index = np.stack(np.meshgrid(np.arange(-12, 13), np.arange(-12, 13), indexing="ij"), axis=-1).reshape(-1, 2)
    x, y = (index @ basis).T
    inside = ((x / 4.4) ** 2 + (y / 4.6) ** 2 < 1) & ((x - 1.5) ** 2 + (y + 1.4) ** 2 > 0.6)
    spots = Lattice(KINDS[kind], index[inside], basis, np.zeros(2)).densified(2)
    spots = Lattice(spots.kind, spots.index, basis, np.zeros(2))
    new = fill_sites(spots, factor=2, fill="tissue")
    lattice = spots.with_index(np.concatenate([spots.index, new]))
    return lattice, np.arange(len(lattice)) < len(spots)


def _draw(ax: Axes, lattice: Lattice, layers: list[tuple[NDArray[np.bool_], dict[str, object]]]) -> None:
    for chosen, look in layers:
        ax.scatter(*lattice.coordinates[chosen].T, **look)


def _legend() -> list[Line2D]:
    looks = (
        ("seen by the network", SEEN),
        ("masked and scored", SCORED),
        ("validation spots", VALIDATION),
        ("unmeasured", SITE),
    )
    handles = []
    for label, look in looks:
        edge = look.get("edgecolors", look.get("color"))
        face = look.get("facecolors", look.get("color"))
        size = float(np.sqrt(look["s"]))
        handles.append(
            Line2D(
                [], [], ls="", marker=look["marker"], ms=size, mfc=face, mec=edge, mew=look["linewidths"], label=label
            )
        )
    return handles


GENES = "Hpca", "Penk"


def tissue() -> Figure:
    """A Visium section: H&E image, measured quarter of the spots, imputed map, and all spots as measured."""
    path = Path(os.environ.get("S2S_DATA_DIR", "../shared/data")) / "visium_mouse_brain_coronal_he.h5ad"
    section = s2s.pp.grid(ad.read_h5ad(path), upsample=1)
    s2s.pp.sparsify(section, stride=2)
    s2s.pp.normalize(section)
    s2s.pp.image_features(section)
    s2s.tl.impute(section, list(GENES), preset="quick", covariates="s2s_image", progress=False)
    s2s.tl.evaluate(section, "s2s")
    pcc = s2s.get.evaluation_df(section).set_index("gene")["pcc"]
    measured, held_out = (section.obs[f"s2s_{key}"].to_numpy(bool) for key in ("measured", "held_out"))
    tissue_spots = measured | held_out

    figure = Figure(figsize=(9.6, 6.1))
    grid = figure.add_gridspec(2, 4, left=0.005, right=0.92, top=0.94, bottom=0.01, wspace=0.03, hspace=0.05)
    stained = figure.add_subplot(grid[:, 0])
    library = next(iter(section.uns["spatial"].values()))
    picture, scale = library["images"]["hires"], library["scalefactors"]["tissue_hires_scalef"]
    stained.imshow(picture, extent=(0, picture.shape[1] / scale, picture.shape[0] / scale, 0))
    stained.set_title("H&E image")
    axes = [stained]
    for row, gene in enumerate(GENES):
        values = section[:, gene].to_df()[gene].to_numpy()
        imputed = section[:, gene].to_df(layer="s2s")[gene].to_numpy()
        limit = np.percentile(values[measured], 99)
        panels = (
            (f"{measured.sum()} measured spots", measured, values),
            (f"imputed at {held_out.sum()} more", tissue_spots, imputed),
            ("all spots as measured", tissue_spots, values),
        )
        for column, (title, shown, colours) in enumerate(panels, 1):
            ax = figure.add_subplot(grid[row, column])
            spots = ax.scatter(
                *section.obsm["spatial"][shown].T,
                c=colours[shown],
                s=10.5,
                vmin=0,
                vmax=limit,
                cmap="magma",
                linewidths=0,
            )
            if row == 0:
                ax.set_title(title)
            axes.append(ax)
        axes[-3].text(0.98, 0.98, gene, style="italic", ha="right", va="top", transform=axes[-3].transAxes)
        axes[-2].text(0.98, 0.98, f"PCC {pcc[gene]:.2f}", ha="right", va="top", transform=axes[-2].transAxes)
        box = axes[-1].get_position()
        bar = figure.colorbar(spots, cax=figure.add_axes((0.93, box.y0 + 0.1 * box.height, 0.012, 0.8 * box.height)))
        bar.outline.set_visible(False)
        bar.set_label("log1p of normalised counts")
    low, high = np.percentile(section.obsm["spatial"], (0, 100), axis=0) + np.array([[-250], [250]])
    for ax in axes:
        ax.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]), aspect="equal")
        ax.axis("off")
    return figure


FIGURES: dict[str, Callable[[], Figure]] = {"cascade": cascade, "sampling": sampling, "tissue": tissue}


def main() -> None:
    """Draw figures into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *FIGURES], metavar="NAME", help=", ".join(FIGURES))
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument(
        "--format", choices=("svg", "png", "pdf"), default="svg", help="of the diagrams; tissue is a PNG"
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for name in options.names or FIGURES:
            figure = FIGURES[name]()
            if name == "tissue":
                path = options.folder / "tissue.png"
                _save_small(figure, path)
            else:
                path = options.folder / f"{name}.{options.format}"
                figure.savefig(path, dpi=200, metadata={"Date": None} if options.format == "svg" else None)
            if path.suffix == ".svg":  # matplotlib leaves spaces at the ends of lines, which pre-commit takes off
                lines = path.read_text(encoding="utf-8").splitlines()
                path.write_text("".join(f"{line.rstrip()}\n" for line in lines), encoding="utf-8")
            print(path)


def _save_small(figure: Figure, path: Path) -> None:
    """Write a PNG with a palette."""
    buffer = BytesIO()
    figure.savefig(buffer, dpi=150)
    path.write_bytes(with_palette(buffer.getvalue()))


if __name__ == "__main__":
    main()
