"""What views tell of the spots that are hidden in them."""

import numpy as np
import torch

from s2s_scverse._lattice import KINDS, Lattice
from s2s_scverse._train._batches import cut
from s2s_scverse._train._pairs import sparser_views
from s2s_scverse._train._scenes import build_scene


def laid_out(values, *, standardise):
    index = np.stack(np.meshgrid(np.arange(17), np.arange(17), indexing="ij"), axis=-1).reshape(-1, 2)
    lattice = Lattice(KINDS["square"], index, np.eye(2), np.zeros(2))
    known = (index % 2 == 0).all(axis=1)
    views = sparser_views(lattice, known, n=4, drop=0.0, rng=np.random.default_rng(0))
    none = np.empty((len(views.lattice), 0), np.float32)
    made = {"estimate": MeanOfVisible(), "orientations": np.eye(2, dtype=int)[None]}
    return build_scene(views, values[: len(views.lattice)], none, standardise=standardise, **made), views


class MeanOfVisible:
    """The simplest initial estimate."""

    def genes(self, lattice, visible, values, noise_weights):  # noqa: ARG002
        return np.broadcast_to(values.mean(axis=0)[None, :, None], (1, values.shape[1], len(lattice))).copy()


def test_the_mean_of_all_spots_does_not_tell_where_hidden_ones_lie():
    """Of pure noise, standardised as a whole, hidden spots lie opposite the visible ones: in views they must not."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(81, 3000)).astype(np.float32)
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    slopes = []
    for standardise in (False, True):
        scene, views = laid_out(values, standardise=standardise)
        products, squares = 0.0, 0.0
        for view in range(len(views.visible)):
            sites, tissue = scene.gathers[0], scene.tissues[0]
            batch = cut(scene, view, torch.arange(3000), sites, tissue, scene.known[0] * (1 - scene.visible[view]))
            start = batch.start[:, 0, 0, 0]
            hidden = (batch.target * batch.weight).sum(dim=(1, 2, 3)) / batch.weight.sum(dim=(1, 2, 3))
            products += float((start * hidden).sum())
            squares += float(start.square().sum())
        slopes.append(products / max(squares, 1.0))
    assert slopes[0] < -0.2
    assert abs(slopes[1]) < 0.01
