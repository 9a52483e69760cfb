"""Every switch changes what it says and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from s2s_scverse._lattice import KINDS, Lattice, SectionOnLattice, regular_sample
from s2s_scverse._train import TrainingConfig, fit
from s2s_scverse._train._batches import Batch, Windows
from s2s_scverse._train._images import matched_images
from s2s_scverse._train._layout import choose_validation, lay_out
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


def steps(section, training=TRAINING, images=photographs):
    """Terms and batches of the first epoch."""
    rng = np.random.default_rng(0)
    known = section.measured & ~choose_validation(section.measured, 0.1, rng)
    terms, _ = lay_out(section, known, None, training, images, rng)
    return terms, list(Windows(terms, training, seed=0, epoch=0))


def same(one, other):
    pairs = ((getattr(one, name), getattr(other, name)) for name in one.__dataclass_fields__)
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)


def plan(network=NETWORK, training=TRAINING, terms=()):
    torch.manual_seed(0)
    return TrainingPlan(CDCIN(network), list(terms), training, {})


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"sparser_weight": 0.0}, {"genes_dense", "images_dense"}),
        ({"dense_weight": 0.0}, {"genes_sparser", "images_sparser"}),
        ({"image_weight": 0.0}, {"genes_sparser", "genes_dense"}),
        ({"n_images": 0}, {"genes_sparser", "genes_dense"}),
    ],
    ids=lambda value: str(sorted(value)),
)
def test_terms_switch_off_one_by_one(section, change, left):
    terms, _ = steps(section, replace(TRAINING, **change))
    assert {term.name for term in terms} == left
    full, _ = steps(section)
    weights = {term.name: term.weight for term in full}
    assert all(term.weight == weights[term.name] for term in terms)
    # What is left is laid out as before: same views, same starting maps of the genes.
    for term in terms:
        (before,) = (other for other in full if other.name == term.name)
        assert torch.equal(term.scenes[0].visible, before.scenes[0].visible)
        genes = term.scenes[0].n_genes
        assert torch.equal(term.scenes[0].maps[:, :, :genes], before.scenes[0].maps[:, :, :genes])


def test_natural_images_off_leaves_the_genes_alone(section):
    terms, _ = steps(section, images=None)
    assert {term.name for term in terms} == {"genes_sparser", "genes_dense"}


def test_weights_scale_their_terms(section):
    terms, batches = steps(section)
    loss = plan(terms=terms).training_step(batches[0], 0)
    heavier, _ = steps(section, replace(TRAINING, dense_weight=3.0))
    more = plan(terms=heavier).training_step(batches[0], 0)
    parts = plan(terms=terms)
    parts.training_step(batches[0], 0)
    dense = parts._sums["genes_dense"] + TRAINING.image_weight * parts._sums["images_dense"]
    torch.testing.assert_close(more - loss, 2 * dense)


@pytest.mark.parametrize("kind", ["l1", "l2", "huber"])
def test_loss(section, kind):
    terms, batches = steps(section)
    training = replace(TRAINING, loss=kind, sparser_weight=0.0, image_weight=0.0)
    (term,) = (term for term in terms if term.name == "genes_dense")
    batch = {"genes_dense": batches[0]["genes_dense"]}
    loss = plan(training=training, terms=[term]).training_step(batch, 0).item()
    part = batch["genes_dense"]
    scored = part.weight.bool()
    # Untrained, both stages return the starting map where nothing was measured.
    difference = (part.start - part.target)[scored].abs()
    by_hand = {
        "l1": difference,
        "l2": difference**2,
        "huber": torch.where(difference < 1, difference**2 / 2, difference - 0.5),
    }
    assert loss == pytest.approx(1.5 * by_hand[kind].mean().item(), rel=1e-5)


def test_loss_changes_no_batch(section):
    _, one = steps(section)
    _, other = steps(section, replace(TRAINING, loss="l1", learning_rate=0.1, shrink=False, precision="32"))
    assert all(same(a[name], b[name]) for a, b in zip(one, other, strict=True) for name in a)


def test_spot_dropping(section):
    terms, _ = steps(section, replace(TRAINING, mask_dropout=0.0))
    scenes = {term.name: term.scenes[0] for term in terms}
    dense = scenes["genes_dense"]
    assert torch.equal(dense.visible, dense.known[:1].expand_as(dense.visible))
    dropped = {term.name: term.scenes[0] for term in steps(section)[0]}["genes_dense"]
    assert (dropped.visible.sum(dim=1) < dropped.known[0].sum()).all()
    assert torch.equal(dropped.known, dense.known)


def test_augmentation(section):
    terms, batches = steps(section, replace(TRAINING, augment=False))
    assert all(len(term.scenes[0].gathers) == 1 for term in terms)
    full, _ = steps(section)
    assert all(len(term.scenes[0].gathers) == 8 for term in full)
    for term, before in zip(terms, full, strict=True):
        assert torch.equal(term.scenes[0].gathers[0], before.scenes[0].gathers[0])
        assert torch.equal(term.scenes[0].maps, before.scenes[0].maps)
    assert batches[0]["genes_dense"].start.shape == (4, 1, 14, 16)


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
        images=None,
        device=torch.device("cpu"),
        rng=np.random.default_rng(0),
    )
    return fitted


def test_stages_and_shared_weights():
    def count(**change):
        return sum(weights.numel() for weights in CDCIN(replace(NETWORK, **change)).parameters())

    assert count(stages=3) == 3 * count(stages=1)
    assert count(stages=3, share_stages=True) == count(stages=1)


@pytest.mark.parametrize("consistency", ["exact", "noisy", "off"])
def test_measured_values_are_kept_in_the_result_whatever_the_network_does(section, consistency):
    fitted = fit_once(section, TRAINING, consistency=consistency)
    assert fitted.network.config.consistency == consistency
    assert fitted.predict(fitted.section.values).sites.shape == ((~section.measured).sum(), 3)


def test_attention_and_number_of_stages_train(section):
    for change in ({"attention": True, "heads": 2, "window": 4, "channel_squeeze": 4}, {"stages": 3}):
        assert len(fit_once(section, TRAINING, **change).history) == 1


@pytest.mark.parametrize("matching", ["noise", "distribution"])
def test_matched_images_change_nothing_but_images(section, matching):
    terms, _ = steps(section, replace(TRAINING, match_images=matching))
    full, _ = steps(section)
    for term, before in zip(terms, full, strict=True):
        (scene,), (other,) = term.scenes, before.scenes
        genes = scene.n_genes
        assert torch.equal(scene.visible, other.visible)
        assert torch.equal(scene.truth[:genes], other.truth[:genes])
        assert torch.equal(scene.maps[:, :, :genes], other.maps[:, :, :genes])
        assert not torch.equal(scene.truth[genes:], other.truth[genes:])


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
        configured = plan(training=training).configure_optimizers()
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
