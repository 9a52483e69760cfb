"""What the network is trained on: pieces of sections, pairs of sparser and dense masks, and crops of them."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from s2s_scverse._lattice import KINDS, Lattice, SectionOnLattice, random_sample, regular_sample
from s2s_scverse._train import _scenes
from s2s_scverse._train._fit import MAX_TRAINED, PIECE, _pieces
from s2s_scverse._train._layout import dense_masks, sampled_masks, sparser_masks
from s2s_scverse._train._lightning import masked_error, staged_loss
from s2s_scverse._train._scenes import Crops, Term, build_scene, cut
from s2s_scverse.tl import TrainingConfig


def full(n_rows, n_cols, kind="square"):
    index = np.stack(np.meshgrid(np.arange(n_rows), np.arange(n_cols), indexing="ij"), axis=-1).reshape(-1, 2)
    return Lattice(KINDS[kind], index, np.asarray(KINDS[kind].unit_basis), np.zeros(2))


@pytest.mark.parametrize("stride", [2, 3])
def test_sparser_lattices_are_one_in_four_of_the_spots_whatever_their_stride(stride):
    lattice = full(24, 24)
    known = regular_sample(lattice, stride, (1, 0))
    masks = sparser_masks(lattice, known, n=8, dropout=0.3, rng=np.random.default_rng(0))
    assert masks.known.all()
    np.testing.assert_allclose(masks.lattice.coordinates, lattice.coordinates[known])
    phases, dropping = set(), 0
    for visible in masks.visible:
        phase = tuple(masks.lattice.index[visible][0] % 2)
        phases.add(phase)
        regular = regular_sample(masks.lattice, 2, phase)
        assert not (visible & ~regular).any()
        assert visible.sum() >= 0.6 * regular.sum()
        dropping += visible.sum() < regular.sum()
    assert len(phases) == 4
    assert dropping == 4  # half of the 8 masks


def test_every_spot_is_visible_in_one_sparser_sample():
    lattice, rng = full(16, 16), np.random.default_rng(0)
    masks = sampled_masks(lattice, regular_sample(lattice, 2, (1, 1)), rng)
    assert len(masks.lattice) == 64
    assert masks.known.all()
    assert (masks.visible.sum(axis=0) == 1).all()
    for visible in masks.visible:
        assert masks.lattice.stride(visible) == 2
    masks = sampled_masks(lattice, random_sample(256, 0.25, rng), rng)
    assert (len(masks.lattice), *masks.visible.sum(axis=1)) == (64, 16, 16, 16, 16)
    masks = sampled_masks(lattice, random_sample(256, 20 / 256, rng), rng)  # a 13th of 20 spots would be one or two
    assert (len(masks.lattice), *masks.visible.sum(axis=1)) == (20, 4, 4, 4, 4)


def test_random_samples_are_thinned_at_random_and_dense_views_hide_half_to_all_of_the_drop():
    lattice = full(20, 20)
    known = random_sample(400, 0.4, np.random.default_rng(0))
    masks = sparser_masks(lattice, known, n=5, dropout=0.3, rng=np.random.default_rng(0))
    assert masks.lattice is lattice
    assert not (masks.visible & ~known).any()
    assert (masks.visible.sum(axis=1) == 64).all()
    assert len(np.unique(masks.visible, axis=0)) == 5
    known = regular_sample(lattice, 2, (0, 0))
    masks = dense_masks(lattice, known, n=20, dropout=0.3, rng=np.random.default_rng(0))
    hidden = 1 - masks.visible.sum(axis=1) / known.sum()
    assert not (masks.visible & ~known).any()
    assert 0.14 <= hidden.min() < 0.2
    assert 0.25 < hidden.max() <= 0.31


def laid_out(monkeypatch, estimated, values, images, lattice, *, orientations, standardise):
    """A scene whose initial estimates are those that `estimated` makes of (n_visible, n_genes), and its masks."""

    def fit(method, spots, sites, *others, **settings):
        return SimpleNamespace(maps=lambda values: [np.tile(estimated(values), (len(sites), 1))])

    monkeypatch.setattr(_scenes, "fit", fit)
    n_genes = values.shape[1]
    masks = sparser_masks(lattice, regular_sample(lattice, 2, (0, 0)), n=4, dropout=0.0, rng=np.random.default_rng(0))
    training = TrainingConfig(gene_scale=None if standardise else 1.0)
    made = {"training": training, "stacking": None, "spread": np.ones(n_genes), "orientations": orientations}
    return build_scene(masks, values, images, chosen=np.arange(n_genes), **made), masks


def scene(monkeypatch, kind="square", n_images=2):
    """Five maps whose value tells the site, 100 * map + site; initial estimates are -1 everywhere."""
    maps = (100 * np.arange(3 + n_images) + np.arange(25)[:, None]).astype(np.float32)
    made = {"orientations": KINDS[kind].symmetries, "standardise": False}
    return laid_out(
        monkeypatch,
        lambda values: np.full(values.shape[1], -1, np.float32),
        maps[:, :3],
        maps[:, 3:],
        full(10, 10, kind),
        **made,
    )


def windows(laid, *, images=False, steps=6):
    config = TrainingConfig(steps_per_epoch=steps, batch_size=4, crop=4)
    return Crops({"t": Term([laid], images=images, weight=1.0)}, config, seed=1, epoch=0)


@pytest.mark.parametrize(("kind", "images"), [("square", False), ("square", True), ("hex", False), ("quincunx", True)])
def test_windows_show_visible_sites_and_score_hidden_ones(monkeypatch, kind, images):
    laid, masks = scene(monkeypatch, kind)
    for parts in windows(laid, images=images):
        batch = parts["t"]
        sites = (batch.target % 100).long()
        assert (batch.target // 100 >= 3).all() == images
        tissue = batch.tissue
        assert torch.equal(batch.values, batch.target * batch.mask)
        matches = [torch.equal(torch.from_numpy(v)[sites] * tissue.bool(), batch.mask.bool()) for v in masks.visible]
        assert any(matches)
        assert torch.equal(batch.weight, tissue * (1 - batch.mask))
        assert (batch.start == -1).all()


def test_losses_by_hand():
    prediction, target = torch.tensor([1.0, 5.0, 9.0]), torch.tensor([2.0, 2.0, 0.0])
    weight = torch.tensor([1.0, 1.0, 0.0])
    assert masked_error(prediction, target, weight, "l1").item() == pytest.approx(2)
    assert masked_error(prediction, target, weight, "l2").item() == pytest.approx(5)
    assert masked_error(prediction, target, weight, "huber").item() == pytest.approx((0.5 + 2.5) / 2)
    assert masked_error(prediction, target, 0 * weight, "l2").item() == 0
    stages = torch.tensor([1.0, 2.0, 4.0]).reshape(3, 1, 1, 1, 1)
    zero, one = torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)
    assert staged_loss(stages, zero, one, "l1").item() == pytest.approx(1 / 3 + 2 * 2 / 3 + 4)


def test_the_mean_of_all_spots_does_not_tell_where_hidden_ones_lie(monkeypatch):
    """Of pure noise, standardised as a whole, hidden spots lie opposite the visible ones: under masks they must not."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(81, 3000)).astype(np.float32)
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    slopes = []
    for standardise in (False, True):
        made = {"orientations": np.eye(2, dtype=int)[None], "standardise": standardise}
        scene, masks = laid_out(monkeypatch, partial(np.mean, axis=0), values, values[:, :0], full(17, 17), **made)
        products, squares = 0.0, 0.0
        for number in range(len(masks.visible)):
            sites, tissue = scene.gathers[0], scene.tissues[0]
            batch = cut(scene, number, torch.arange(3000), sites, tissue, scene.known[0] * (1 - scene.visible[number]))
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
