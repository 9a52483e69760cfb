"""Every switch changes what it says and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from s2s_scverse._lattice import KINDS, Lattice, SectionOnLattice, regular_sample
from s2s_scverse._train import TrainingConfig, fit
from s2s_scverse._train._batches import Batch
from s2s_scverse._train._images import matched_images
from s2s_scverse._train._module import TrainingPlan
from s2s_scverse._train._shrinkage import DOUBT, find_shrinkage
from s2s_scverse.datasets import natural_images
from s2s_scverse.nn import CDCIN, CDCINConfig

NETWORK = CDCINConfig(stages=2, features=8, growth=8, blocks=1, context_channels=2)
TRAINING = TrainingConfig(initial="kriging", steps_per_epoch=3, max_epochs=1, masks=2, n_images=3, batch_size=4)


def photographs(size, n, rng):
    return natural_images("textures", size=size, n=n, rng=rng)


@pytest.fixture(scope="module")
def section():
    index = np.stack(np.meshgrid(np.arange(14), np.arange(16), indexing="ij"), axis=-1).reshape(-1, 2)
    lattice = Lattice(KINDS["square"], index, np.eye(2)[::-1], np.zeros(2))
    x, y = lattice.unit_coordinates.T / 4
    rng = np.random.default_rng(0)
    values = np.stack([np.sin(x + g) + np.cos(y) for g in range(3)], axis=1) + rng.normal(scale=0.3, size=(len(x), 3))
    measured = regular_sample(lattice, 2, (0, 0))
    return SectionOnLattice(
        None, np.arange(len(index)), lattice, measured, ~measured, values[measured].astype(np.float32)
    )


@pytest.mark.parametrize(
    "change",
    [
        {"augment": False},
        {"loss": "l1"},
        {"dense_weight": 3.0},
        {"mask_dropout": 0.0},
        {"match_images": "noise"},
        {"match_images": "distribution"},
        {"schedule": "constant"},
    ],
    ids=str,
)
def test_every_switch_changes_training(section, change):
    first, other = (fit_once(section, training).history[0] for training in (TRAINING, replace(TRAINING, **change)))
    assert first.keys() == other.keys()
    assert first["validation"] != other["validation"]
    assert first["validation_start"] == other["validation_start"]


def test_maps_shown_are_extra_channels_only(section):
    shown = fit_once(section, TRAINING)
    hidden = fit_once(section, replace(TRAINING, show_maps=False))
    assert shown.network.config.context_channels == 2
    assert hidden.network.config == replace(shown.network.config, context_channels=1)
    blind = fit_once(section, TRAINING, mask_channel=False)
    assert blind.network.config.context_channels == 1
    assert np.isfinite(blind.predict(blind.section.values).sites).all()


def fit_once(section, training, **network):
    (fitted,) = fit(
        [section],
        network=replace(NETWORK, **network),
        training=training,
        images=photographs,
        device=torch.device("cpu"),
        rng=np.random.default_rng(0),
    )
    return fitted


@pytest.mark.parametrize("consistency", ["exact", "noisy", "off"])
def test_measured_values_are_kept_in_the_result_whatever_the_network_does(section, consistency):
    fitted = fit_once(section, TRAINING, consistency=consistency)
    assert fitted.network.config.consistency == consistency
    assert fitted.predict(fitted.section.values).sites.shape == ((~section.measured).sum(), 3)


def test_images_get_the_noise_or_the_values_of_genes():
    rng = np.random.default_rng(0)
    images = rng.standard_normal((5000, 40)).astype(np.float32)
    genes = rng.exponential(size=(300, 2)).astype(np.float32)
    nuggets = np.array([0.0, 4.0])
    assert matched_images(images, genes, nuggets, "none", rng) is images
    noisy = matched_images(images, genes, nuggets, "noise", rng)
    np.testing.assert_allclose(noisy.std(axis=0), 1, atol=0.05)
    # Without noise the image is as it was, with four times the signal's variance it has a fifth of its power.
    correlation = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(images.T, noisy.T, strict=True)])
    clean = correlation > 0.99
    assert 5 < clean.sum() < 35
    np.testing.assert_allclose(correlation[~clean], np.sqrt(1 / 5), atol=0.04)
    valued = matched_images(images, genes, nuggets, "distribution", rng)
    for image in valued.T:
        assert set(image) <= set(genes[:, 0]) or set(image) <= set(genes[:, 1])
        assert image.mean() == pytest.approx(1, abs=0.15)


def test_schedule():
    def rates(**change):
        training = replace(TRAINING, learning_rate=0.5, max_epochs=4, steps_per_epoch=5, **change)
        configured = TrainingPlan(CDCIN(NETWORK), [], training, {}).configure_optimizers()
        schedule, found = configured["lr_scheduler"]["scheduler"], []
        for _ in range(20):
            found.append(schedule.get_last_lr()[0])
            configured["optimizer"].step()
            schedule.step()
        return found

    assert rates(schedule="constant") == [0.5] * 20
    falling = rates(schedule="cosine")
    assert falling[0] == pytest.approx(0.1)
    assert falling[10] == pytest.approx(0.25)
    assert falling[5:] == sorted(falling[5:], reverse=True)
    assert falling[19] < 0.01


def test_weights_kept(section):
    training = replace(TRAINING, max_epochs=3, learning_rate=0.3, schedule="constant", shrink=False)
    runs = {keep: fit_once(section, replace(training, keep=keep)) for keep in ("last", "best")}
    assert runs["last"].history == runs["best"].history
    errors = [row["validation"] for row in runs["best"].history]
    assert errors.index(min(errors)) < len(errors) - 1, "expected the last pass not to be the best"
    same = [torch.equal(a, b) for a, b in zip(*(run.network.parameters() for run in runs.values()), strict=True)]
    assert not all(same)


class Doubling(torch.nn.Module):
    """A network whose correction at each site is given."""

    def __init__(self, correction):
        super().__init__()
        self.correction, self.config = correction, CDCINConfig()

    def use_lattice(self, *, hexagonal):
        pass

    def forward(self, start, *_):
        return (start + self.correction)[None]


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        pytest.param([2.0, 2.0, 2.0, 2.0], 1.0, id="all need twice as much: at most 1"),
        pytest.param([0.5, 0.5, 0.5, 0.5], 0.5, id="all need half: certain"),
        # Factor 0.5, jackknifed variance 3 * var([1/3, 2/3, 2/3, 1/3]) = 1/12: 0.5 - (1/12) / 0.5.
        pytest.param([1.0, 0.0, 0.0, 1.0], 0.5 - 1 / 6, id="half of them need it: shrunk"),
        pytest.param([-1.0, -1.0, -1.0, -1.0], 0.0, id="wrong way"),
        pytest.param([1.0, -1.0, 1.0, -0.9], 0.0, id="as often wrong"),
    ],
)
def test_shrinkage_factor(missing, expected):
    zeros = torch.zeros(1, 1, 1, 4)
    batch = Batch(
        start=zeros,
        values=zeros,
        mask=zeros,
        maps=zeros,
        tissue=zeros + 1,
        target=torch.tensor(missing).reshape(1, 1, 1, 4),
        weight=zeros + 1,
        hexagonal=False,
    )
    found = find_shrinkage(Doubling(zeros + 1), [[batch]], TRAINING, torch.device("cpu"))
    assert found == pytest.approx(expected * 4 / (4 + DOUBT), abs=1e-6)


def test_one_network_tells_square_from_hexagonal(section):
    lattice = Lattice(KINDS["hex"], section.lattice.index, section.lattice.basis, np.zeros(2))
    both = [section, replace(section, lattice=lattice)]
    square, hexagonal = fit(
        both,
        network=NETWORK,
        training=replace(TRAINING, shrink=False),
        images=None,
        device=torch.device("cpu"),
        rng=np.random.default_rng(0),
    )
    assert square.network is hexagonal.network
    network = square.network
    inputs = torch.rand(1, 1, 9, 9), torch.zeros(1, 1, 9, 9), torch.zeros(1, 1, 9, 9), torch.rand(1, 2, 9, 9)
    seen = {}
    for kind in (True, False):
        network.use_lattice(hexagonal=kind)
        seen[kind] = network(*inputs)
    assert not torch.allclose(seen[True], seen[False])
    found = [model.predict(section.values).sites for model in (square, hexagonal)]
    assert found[0].shape == found[1].shape
