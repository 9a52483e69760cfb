import numpy as np
import pytest
import torch

from s2s_scverse._lattice import KINDS, Lattice, regular_sample
from s2s_scverse._train import TrainingConfig
from s2s_scverse._train._batches import Term, Windows
from s2s_scverse._train._losses import masked_error, staged_loss
from s2s_scverse._train._pairs import sparser_views
from s2s_scverse._train._scenes import build_scene


def scene(kind="square", side=10, n_genes=3, n_images=2, orientations=None):
    """Maps whose value tells the site: 100 * map + site."""
    index = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), axis=-1).reshape(-1, 2)
    lattice = Lattice(KINDS[kind], index, np.asarray(KINDS[kind].unit_basis), np.zeros(2))
    known = regular_sample(lattice, 2, (0, 0))
    views = sparser_views(lattice, known, n=4, drop=0.0, rng=np.random.default_rng(0))
    n = len(views.lattice)

    truth = (100 * np.arange(n_genes) + np.arange(n)[:, None]).astype(np.float32)
    images = (100 * np.arange(n_genes, n_genes + n_images) + np.arange(n)[:, None]).astype(np.float32)
    symmetries = KINDS[kind].symmetries if orientations is None else orientations
    made = {"estimate": Nothing(), "orientations": symmetries, "standardise": False}
    return build_scene(views, truth, images, **made), views


class Nothing:
    """An initial estimate of -1 everywhere."""

    def genes(self, lattice, visible, values, noise_weights):
        assert noise_weights is None
        return self.images(lattice, visible, values)

    def images(self, lattice, visible, values):
        assert len(values) == visible.sum()
        return np.full((1, values.shape[1], len(lattice)), -1, np.float32)


def windows(terms, *, seed=1, epoch=0, **arguments):
    config = TrainingConfig(**({"steps_per_epoch": 6, "batch_size": 4, "crop": 4} | arguments))
    return Windows(terms, config, seed=seed, epoch=epoch)


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("images", [False, True])
def test_windows_show_visible_sites_and_score_hidden_ones(kind, images):
    laid, views = scene(kind)
    for parts in windows([Term("t", (laid,), images=images, weight=1.0)]):
        batch = parts["t"]
        sites = (batch.target % 100).long()
        assert (batch.target // 100 >= 3).all() == images
        tissue = batch.tissue
        assert torch.equal(batch.values, batch.target * batch.mask)
        matches = [torch.equal(torch.from_numpy(v)[sites] * tissue.bool(), batch.mask.bool()) for v in views.visible]
        assert any(matches)
        assert torch.equal(batch.weight, tissue * (1 - batch.mask))
        assert (batch.start == -1).all()


def test_windows_are_pieces_of_turned_sections():
    laid, views = scene(n_images=0)
    seen = set()
    for parts in windows([Term("t", (laid,), images=False, weight=1.0)], steps_per_epoch=60):
        sites = (parts["t"].target[0, 0] % 100).long().numpy()
        down = views.lattice.index[sites[1, 0]] - views.lattice.index[sites[0, 0]]
        right = views.lattice.index[sites[0, 1]] - views.lattice.index[sites[0, 0]]
        seen.add((tuple(down.tolist()), tuple(right.tolist())))
    assert len(seen) == 8


def test_masked_error_by_hand():
    prediction, target = torch.tensor([1.0, 5.0, 9.0]), torch.tensor([2.0, 2.0, 0.0])
    weight = torch.tensor([1.0, 1.0, 0.0])
    assert masked_error(prediction, target, weight, "l1").item() == pytest.approx(2)
    assert masked_error(prediction, target, weight, "l2").item() == pytest.approx(5)
    assert masked_error(prediction, target, weight, "huber").item() == pytest.approx((0.5 + 2.5) / 2)
    assert masked_error(prediction, target, 0 * weight, "l2").item() == 0


def test_later_stages_weigh_more():
    stages = torch.tensor([1.0, 2.0, 4.0]).reshape(3, 1, 1, 1, 1)
    zero, one = torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)
    assert staged_loss(stages, zero, one, "l1").item() == pytest.approx(1 / 3 + 2 * 2 / 3 + 4)
