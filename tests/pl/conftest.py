import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib import pyplot as plt

from s2s_scverse._adata import grid_entry
from s2s_scverse._lattice import KINDS, Lattice


@pytest.fixture(autouse=True)
def _nothing_left_open():
    plt.switch_backend("agg")
    yield
    plt.close("all")


@pytest.fixture
def build_section():
    """Build a section by hand: values of one gene row by row, and which sites are measured and held out."""

    def build(lattice, values, measured, held_out=None, genes=("gene",), **layers):
        values = np.asarray(values, np.float32).reshape(len(lattice), len(genes))
        obs = pd.DataFrame(index=[f"s{i}" for i in range(len(lattice))])
        obs["array_row"], obs["array_col"] = lattice.array.T
        obs["s2s_measured"] = np.asarray(measured, bool)
        if held_out is not None:
            obs["s2s_held_out"] = np.asarray(held_out, bool)
        made = {key: np.asarray(layer, np.float32).reshape(values.shape) for key, layer in layers.items()}
        adata = AnnData(values, obs, pd.DataFrame(index=list(genes)), layers=made)
        adata.obsm["spatial"] = lattice.coordinates
        adata.uns["s2s"] = {"grid": grid_entry(lattice, stride=1)}
        return adata

    return build


@pytest.fixture
def make_lattice():
    """Build a full array of sites of any kind, turned by `angle` degrees."""

    def build(kind="square", rows=2, cols=3, pitch=10.0, angle=0.0, origin=(100.0, 200.0)):
        if kind == "square":
            array = np.stack(np.divmod(np.arange(rows * cols), cols), axis=1)
        else:
            array = np.array([(row, col) for row in range(rows) for col in range(2 * cols) if (row + col) % 2 == 0])
        turn = np.deg2rad(angle)
        rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        basis = pitch * np.asarray(KINDS[kind].unit_basis) @ rotation
        return Lattice.from_array(kind, array, basis, np.array(origin))

    return build


@pytest.fixture
def colour_at():
    """Render a figure, and read the colour of the pixel at data coordinates of axes, 0 to 1."""

    def read(axis, *points):
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas = FigureCanvasAgg(axis.figure)
        canvas.draw()
        picture = np.asarray(canvas.buffer_rgba())[..., :3] / 255
        at = np.floor(axis.transData.transform(np.asarray(points, float))).astype(int)
        return picture[len(picture) - 1 - at[:, 1], at[:, 0]]

    return read


@pytest.fixture
def stained():
    """An image with a pixel every 2 units, and an entry of uns that holds it: red is x, green is y, no blue."""
    rows, cols = np.mgrid[:120, :100]
    image = np.stack([2 * cols, 2 * rows, np.zeros_like(rows)], axis=-1).astype(np.uint8)
    return {"library": {"images": {"hires": image}, "scalefactors": {"tissue_hires_scalef": 0.5}}}
