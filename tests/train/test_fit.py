from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from s2s_scverse._lattice import KINDS, Lattice, SectionOnLattice, regular_sample
from s2s_scverse._predict import fit as fit_predictor
from s2s_scverse._train import TrainingConfig, fit
from s2s_scverse._train._apply import predict_sites, whole_section
from s2s_scverse._train._scenes import Batch
from s2s_scverse._train._shrinkage import DOUBT, find_shrinkage
from s2s_scverse.nn import CDCIN, CDCINConfig

QUICK = TrainingConfig(min_spots=16, max_epochs=2, steps_per_epoch=3, masks=2, n_images=2, batch_size=4)
TRAINING = replace(QUICK, initial="kriging", max_epochs=1)


def lattice_of(n_rows, n_cols, kind="square"):
    index = np.stack(np.meshgrid(np.arange(n_rows), np.arange(n_cols), indexing="ij"), axis=-1).reshape(-1, 2)
    return Lattice(KINDS[kind], index, np.asarray(KINDS[kind].unit_basis), np.zeros(2))


def smooth_section(kind="square", n_genes=3):
    lattice = lattice_of(16, 18, kind)
    x, y = lattice.unit_coordinates.T / 5
    values = np.stack([np.sin(x + g) * np.cos(y) + 2 for g in range(n_genes)], axis=1).astype(np.float32)
    measured = regular_sample(lattice, 2, (0, 0))
    return section_of(lattice, measured, values[measured]), values


def section_of(lattice, measured, values):
    return SectionOnLattice(None, np.arange(len(lattice)), lattice, measured, ~measured, values)


def photographs(size, n, rng):
    return rng.random((n, *size), dtype=np.float32)


def imputed(model):
    return model.predict(model.section.values).sites


def noisy_section():
    section, _ = smooth_section()
    noise = np.random.default_rng(0).normal(scale=0.3, size=section.values.shape)
    return replace(section, values=(section.values + noise).astype(np.float32))


def run_all(sections, training, images=None, seed=0, **network):
    network = CDCINConfig(**{"stages": 1, "features": 8, "growth": 8, "blocks": 1} | network)
    device, rng = torch.device("cpu"), np.random.default_rng(seed)
    return fit(sections, network=network, training=training, images=images, device=device, rng=rng)


def run(section, training=QUICK, images=None, seed=0, **network):
    (fitted,) = run_all([section], training, images, seed, **network)
    return fitted


@pytest.mark.parametrize("kind", list(KINDS))
def test_smooth_maps_are_recovered_on_every_kind_of_lattice(kind):
    section, truth = smooth_section(kind)
    fitted = run(section, images=photographs)
    error = imputed(fitted) - truth[~section.measured]
    assert np.abs(error).mean() < 0.1
    assert fitted.network.config.hexagonal == (kind == "hex")
    terms = {"loss_genes_sparser", "loss_genes_dense", "loss_images_sparser", "loss_images_dense"}
    assert set(fitted.history[0]) == terms | {"epoch", "validation", "validation_start"}
    assert [row["epoch"] for row in fitted.history] == [0, 1]


@pytest.mark.parametrize(("start", "channels"), [("nearest", 2), ("kriging", 2), ("pca_kriging", 4)])
def test_every_start_works(start, channels):
    section, truth = smooth_section()
    fitted = run(section, replace(QUICK, initial=start))
    assert fitted.network.config.context_channels == channels
    assert np.abs(imputed(fitted) - truth[~section.measured]).mean() < 0.5


def test_few_spots_or_a_shrinkage_factor_of_0_give_the_initial_estimate():
    lattice, (section, _) = lattice_of(6, 6), smooth_section()
    few = section_of(lattice, regular_sample(lattice, 2, (0, 0)), np.arange(9, dtype=np.float32)[:, None])
    untrained, unused = run(few), replace(run(section, replace(QUICK, initial="pca_kriging")), shrinkage=0.0)
    assert untrained.network is None
    for fitted in (untrained, unused):
        measured, values = fitted.section.measured, fitted.section.values
        sites = fitted.section.positions(measured)
        predictor = fit_predictor("pca_kriging", sites[measured], sites[~measured], values)
        np.testing.assert_allclose(imputed(fitted), np.maximum(predictor.maps(values)[0], 0), atol=1e-5)


def test_gene_blocks_do_not_matter(monkeypatch):
    section, _ = smooth_section(n_genes=5)
    model = run(section).with_errors()
    whole = model.predict(section.values)
    monkeypatch.setattr("s2s_scverse._train._model.SMALLEST_BLOCK", 2)
    monkeypatch.setattr("s2s_scverse._train._model.VALUES_PER_BLOCK", 1)
    small = model.predict(section.values)
    for name in ("sites", "std", "reliability"):
        np.testing.assert_allclose(getattr(small, name), getattr(whole, name), atol=2e-5)
    blocks = [model.predict(section.values[:, genes]).sites for genes in (slice(0, 2), slice(2, 5))]
    np.testing.assert_allclose(np.hstack(blocks), whole.sites, atol=2e-5)


def test_genes_that_were_not_trained_on_and_constant_ones_are_imputed():
    section, truth = smooth_section(n_genes=5)
    fitted = run(replace(section, values=section.values[:, :4]))
    found = fitted.predict(np.column_stack([section.values[:, 4], np.ones(len(section.values), np.float32)])).sites
    assert np.abs(found[:, 0] - truth[~section.measured, 4]).mean() < 0.1
    assert (found[:, 1] == 1).all()


def whole_batch(section):
    sites = section.positions(section.measured)
    maps = fit_predictor("stack", sites[section.measured], sites, section.values).maps(section.values)
    standard = np.stack([each.T for each in maps])
    (batch,) = whole_section(section.lattice, section.measured, section.values, standard)
    return batch


@pytest.mark.parametrize(("kind", "stages"), [("square", 1), ("hex", 2)])
def test_pieces_of_a_large_section_leave_no_seams(kind, stages, monkeypatch):
    lattice = lattice_of(40, 34, kind)
    rng = np.random.default_rng(0)
    measured = regular_sample(lattice, 2, (0, 0))
    section = section_of(lattice, measured, rng.normal(size=(measured.sum(), 3)).astype(np.float32))
    config = CDCINConfig(stages=stages, features=8, growth=8, context_channels=5, hexagonal=kind == "hex")
    network = CDCIN(replace(config, zero_init=False)).eval()
    batch, position = whole_batch(section), torch.from_numpy(lattice.position)
    arguments = network, batch, position, replace(QUICK, precision="32"), torch.device("cpu")
    whole = predict_sites(*arguments)
    assert (whole - batch.start.flatten(1)[:, position]).std() > 1e-3
    monkeypatch.setattr("s2s_scverse._train._apply.LARGEST_SIDE", 9)
    torch.testing.assert_close(predict_sites(*arguments), whole, atol=1e-5, rtol=0)
    # A rim that is too narrow shows.
    monkeypatch.setattr(CDCINConfig, "reach", 2)
    assert (predict_sites(*arguments) - whole).abs().max() > 1e-4


def test_the_shrinkage_factor_fits_validation_spots():
    section, _ = smooth_section()
    assert 0 <= run(section, replace(QUICK, shrink=True)).shrinkage <= 1
    assert run(section, replace(QUICK, shrink=False)).shrinkage == 1
    noise = np.random.default_rng(0).normal(size=section.values.shape).astype(np.float32)
    harmful = replace(QUICK, shrink=True, learning_rate=0.3, max_epochs=1)
    assert run(replace(section, values=noise), harmful).shrinkage < 0.5


@pytest.fixture(scope="module")
def noisy():
    return run(noisy_section(), TRAINING, photographs)


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
def test_every_switch_changes_training(noisy, change):
    first = noisy.history[0]
    other = run(noisy_section(), replace(TRAINING, **change), photographs).history[0]
    assert first.keys() == other.keys()
    assert first["validation"] != other["validation"]
    assert first["validation_start"] == other["validation_start"]


def test_maps_shown_are_extra_channels_only(noisy):
    hidden = run(noisy_section(), replace(TRAINING, show_maps=False), photographs)
    assert noisy.network.config.context_channels == 2
    assert hidden.network.config == replace(noisy.network.config, context_channels=1)


def test_weights_kept():
    section = noisy_section()
    training = replace(TRAINING, max_epochs=3, learning_rate=0.03, schedule="constant", shrink=False)
    runs = {keep: run(section, replace(training, keep=keep), photographs, seed=3) for keep in ("last", "best")}
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
    nothing = dict.fromkeys(("mask", "maps"), zeros)
    target = torch.tensor(missing).reshape(1, 1, 1, 4)
    batch = Batch(**nothing, tissue=zeros + 1, target=target, weight=zeros + 1, hexagonal=False)
    found = find_shrinkage(Doubling(zeros + 1), [[batch]], TRAINING, torch.device("cpu"))
    assert found.factor == pytest.approx(expected * 4 / (4 + DOUBT), abs=1e-6)


def test_shrinkage_factor_is_0_where_correlations_fall():
    """One gene gains half of its squared error; the small maps of two others lose their pattern."""
    start = torch.tensor([[-3.0, 1.0, 1.0, 1.0], [-0.1, 0.1, -0.1, 0.1], [-0.1, 0.1, -0.1, 0.1]]).reshape(3, 1, 1, 4)
    correction = torch.tensor([[2.0, 0.0, 0.0, 0.0], [0.3, 0.0, 0.0, -0.3], [0.3, 0.0, 0.0, -0.3]]).reshape(3, 1, 1, 4)
    target, ones = start.clone(), torch.ones(3, 1, 1, 4)
    target[0] += correction[0] / 2
    batch = Batch(mask=0 * ones, maps=start, tissue=ones, target=target, weight=ones, hexagonal=False)
    found = find_shrinkage(Doubling(correction), [[batch] * 60], TRAINING, torch.device("cpu"))
    assert found.factor == 0
    alone = batch.each(lambda tensor: tensor[:1])
    assert find_shrinkage(Doubling(correction[:1]), [[alone] * 60], TRAINING, torch.device("cpu")).gain > 0


def test_networks_that_do_not_help_are_not_trained(monkeypatch):
    default = {field.name: getattr(CDCINConfig(), field.name) for field in fields(CDCINConfig)}
    training = replace(QUICK, weights="simulated", max_epochs=1)
    for least, epochs in ((np.inf, 0), (0.0, 1)):
        monkeypatch.setattr("s2s_scverse._train._fit.LEAST_GAIN", least)
        assert len(run(noisy_section(), training, **default).history) == epochs


def test_one_network_tells_square_from_hexagonal():
    section = noisy_section()
    lattice = Lattice(KINDS["hex"], section.lattice.index, section.lattice.basis, np.zeros(2))
    both = [section, replace(section, lattice=lattice)]
    square, hexagonal = run_all(both, replace(TRAINING, shrink=False))
    assert square.network is hexagonal.network
    network = square.network
    inputs = torch.rand(1, 1, 9, 9), torch.zeros(1, 1, 9, 9), torch.zeros(1, 1, 9, 9), torch.rand(1, 2, 9, 9)
    seen = {}
    for kind in (True, False):
        network.use_lattice(hexagonal=kind)
        seen[kind] = network(*inputs)
    assert not torch.allclose(seen[True], seen[False])
    assert square.predict(section.values).sites.shape == hexagonal.predict(section.values).sites.shape
