"""What the network is trained on: pieces of sections, pairs of sparser and dense views, and windows of them."""

import numpy as np
import pytest
import torch

from s2s_scverse._lattice import KINDS, Lattice, SectionOnLattice, regular_sample
from s2s_scverse._train import TrainingConfig
from s2s_scverse._train._fit import MAX_TRAINED, PIECE, _pieces
from s2s_scverse._train._layout import held_views, sparser_views
from s2s_scverse._train._lightning import masked_error
from s2s_scverse._train._scenes import Term, Windows, build_scene, cut


def full(n_rows, n_cols, kind="square"):
    index = np.stack(np.meshgrid(np.arange(n_rows), np.arange(n_cols), indexing="ij"), axis=-1).reshape(-1, 2)
    return Lattice(KINDS[kind], index, np.asarray(KINDS[kind].unit_basis), np.zeros(2))


def test_spots_kept_aside_are_holes_and_between_the_sites_of_sparser_samples():
    lattice = full(16, 16)
    measured = regular_sample(lattice, 2, (1, 1))
    known = measured.copy()
    aside = np.flatnonzero(measured)[[3, 20, 41, 62]]
    known[aside] = False
    holes, (views, scored) = held_views(lattice, measured, known)
    assert holes[0].lattice is lattice
    assert np.array_equal(holes[0].visible, known[None])
    assert np.array_equal(holes[1], (measured & ~known)[None])
    assert len(views.lattice) == 64
    assert views.known.all()
    held = ~known[measured]
    assert not (views.visible & held).any()
    assert not (scored & ~held).any()
    for visible, of in zip(views.visible, scored, strict=True):
        phase = views.lattice.index[visible][0] % 2
        assert not np.all(views.lattice.index[of] % 2 == phase, axis=1).any()
    assert (scored.sum(axis=0)[held] == 3).all()


def scene(kind="square", side=10, n_genes=3, n_images=2):
    """Maps whose value tells the site: 100 * map + site."""
    lattice = full(side, side, kind)
    known = regular_sample(lattice, 2, (0, 0))
    views = sparser_views(lattice, known, n=4, drop=0.0, rng=np.random.default_rng(0))
    n = len(views.lattice)

    truth = (100 * np.arange(n_genes) + np.arange(n)[:, None]).astype(np.float32)
    images = (100 * np.arange(n_genes, n_genes + n_images) + np.arange(n)[:, None]).astype(np.float32)
    made = {"estimate": Nothing(), "orientations": KINDS[kind].symmetries, "standardise": False}
    return build_scene(views, truth, images, **made), views


class Nothing:
    """An initial estimate of -1 everywhere."""

    def genes(self, lattice, visible, values, noise_weights, covariates):
        assert noise_weights is covariates is None
        return self.images(lattice, visible, values)

    def images(self, lattice, visible, values):
        assert len(values) == visible.sum()
        return np.full((1, values.shape[1], len(lattice)), -1, np.float32)


def windows(laid, *, images=False, steps=6):
    config = TrainingConfig(steps_per_epoch=steps, batch_size=4, crop=4)
    return Windows([Term("t", (laid,), images=images, weight=1.0)], config, seed=1, epoch=0)


@pytest.mark.parametrize(("kind", "images"), [("square", False), ("square", True), ("hex", False), ("quincunx", True)])
def test_windows_show_visible_sites_and_score_hidden_ones(kind, images):
    laid, views = scene(kind)
    for parts in windows(laid, images=images):
        batch = parts["t"]
        sites = (batch.target % 100).long()
        assert (batch.target // 100 >= 3).all() == images
        tissue = batch.tissue
        assert torch.equal(batch.values, batch.target * batch.mask)
        matches = [torch.equal(torch.from_numpy(v)[sites] * tissue.bool(), batch.mask.bool()) for v in views.visible]
        assert any(matches)
        assert torch.equal(batch.weight, tissue * (1 - batch.mask))
        assert (batch.start == -1).all()


def test_masked_error_by_hand():
    prediction, target = torch.tensor([1.0, 5.0, 9.0]), torch.tensor([2.0, 2.0, 0.0])
    weight = torch.tensor([1.0, 1.0, 0.0])
    assert masked_error(prediction, target, weight, "l1").item() == pytest.approx(2)
    assert masked_error(prediction, target, weight, "l2").item() == pytest.approx(5)
    assert masked_error(prediction, target, weight, "huber").item() == pytest.approx((0.5 + 2.5) / 2)
    assert masked_error(prediction, target, 0 * weight, "l2").item() == 0


class MeanOfVisible:
    """The simplest initial estimate."""

    def genes(self, lattice, visible, values, noise_weights, covariates):  # noqa: ARG002
        return np.broadcast_to(values.mean(axis=0)[None, :, None], (1, values.shape[1], len(lattice))).copy()


def laid_out(values, *, standardise):
    lattice = full(17, 17)
    known = regular_sample(lattice, 2, (0, 0))
    views = sparser_views(lattice, known, n=4, drop=0.0, rng=np.random.default_rng(0))
    none = np.empty((len(views.lattice), 0), np.float32)
    made = {"estimate": MeanOfVisible(), "orientations": np.eye(2, dtype=int)[None]}
    return build_scene(views, values[: len(views.lattice)], none, standardise=standardise, **made), views


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


def test_large_sections_are_cut_into_connected_pieces_that_know_what_the_whole_knows():
    lattice = full(180, 160)
    measured = regular_sample(lattice, 2, (0, 0))
    values = lattice.index[measured].astype(np.float32)
    depth = values.sum(axis=1, dtype=float) + 1
    section = SectionOnLattice(None, np.arange(len(lattice)), lattice, measured, ~measured, values, depth)
    assert section.cut(np.ones(len(section.lattice), bool)) is section
    pieces = [section.cut(sites) for sites in _pieces(section)]
    counts = [int(piece.measured.sum()) for piece in pieces]
    assert 0.85 * MAX_TRAINED <= sum(counts) <= 1.15 * MAX_TRAINED
    assert max(counts) <= PIECE
    for piece in pieces:
        assert np.array_equal(piece.lattice.index[piece.measured], piece.values)
        assert np.array_equal(piece.depth, piece.values.sum(axis=1) + 1)
        assert len(piece.lattice) == np.prod(piece.lattice.shape)  # a box
        assert piece.lattice.stride(piece.measured) == 2
    seen = np.concatenate([piece.lattice.index for piece in pieces])
    assert len(np.unique(seen, axis=0)) == len(seen)
    assert np.ptp(seen, axis=0).min() >= 85  # spread over the section
