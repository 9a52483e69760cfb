from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

import s2s_scverse as s2s
from s2s_scverse._keys import RELIABILITY
from s2s_scverse._lattice import KINDS, Lattice, SectionOnLattice, regular_sample
from s2s_scverse._predict import fit as fit_predictor
from s2s_scverse._train import _fit
from s2s_scverse._train._apply import predict_sites, whole_section
from s2s_scverse._train._fit import fit
from s2s_scverse._train._layout import image_box, images_at_sites
from s2s_scverse._train._model import find_device
from s2s_scverse._train._scenes import Batch
from s2s_scverse._train._shrinkage import DOUBT, find_shrinkage
from s2s_scverse.nn import CDCIN, CDCINConfig
from s2s_scverse.tl import TRAINING_PRESETS, TrainingConfig

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
    return model.predict(model.section.values).values[model.section.wanted]


def noisy_section():
    section, _ = smooth_section()
    noise = np.random.default_rng(0).normal(scale=0.3, size=section.values.shape)
    return replace(section, values=(section.values + noise).astype(np.float32))


def run_all(sections, training, images=None, seed=0, **network):
    network = CDCINConfig(**{"stages": 1, "features": 8, "growth": 8, "blocks": 1} | network)
    device, rng = torch.device("cpu"), np.random.default_rng(seed)
    return fit(sections, network_config=network, training=training, images=images, device=device, rng=rng)


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


@pytest.mark.parametrize(
    ("weight", "of"), [("sparser_weight", "sparser"), ("dense_weight", "dense"), ("image_weight", "images")]
)
def test_terms_can_be_switched_off(weight, of):
    section, _ = smooth_section()
    (row,) = run(section, replace(TRAINING, **{weight: 0}), photographs).history
    terms = {f"loss_{what}_{masks}" for what in ("genes", "images") for masks in ("sparser", "dense")}
    assert {key for key in row if key.startswith("loss")} == {term for term in terms if of not in term}


def estimated(method, section):
    sites = section.positions(section.measured)
    predictor = fit_predictor(method, sites[section.measured], sites[~section.measured], section.values)
    return predictor.maps(section.values)[0]


def test_few_spots_and_a_shrinkage_factor_of_0_give_the_initial_estimate():
    lattice = lattice_of(6, 6)
    few = section_of(lattice, regular_sample(lattice, 2, (0, 0)), np.arange(9, dtype=np.float32)[:, None])
    fitted = run(few)
    assert fitted.network is None
    np.testing.assert_allclose(imputed(fitted), np.maximum(estimated("pca_kriging", few), 0), rtol=1e-6)
    section, _ = smooth_section()
    fitted = replace(run(section, replace(QUICK, initial="pca_kriging")), shrinkage=0.0)
    np.testing.assert_allclose(imputed(fitted), estimated("pca_kriging", section), atol=1e-5)


def test_gene_blocks_do_not_matter(monkeypatch):
    section, _ = smooth_section(n_genes=5)
    fitted = run(section)
    expected = imputed(fitted)
    monkeypatch.setattr("s2s_scverse._train._apply.CELLS_PER_BATCH", 300)
    model = fitted.with_errors()
    whole = model.predict(section.values)
    monkeypatch.setattr("s2s_scverse._train._model.SMALLEST_PIECE", 2)
    monkeypatch.setattr("s2s_scverse._train._model.VALUES_PER_PIECE", 1)
    small = model.predict(section.values)
    np.testing.assert_allclose(small.values[section.wanted], expected, atol=2e-5)
    np.testing.assert_allclose(small.std, whole.std, atol=2e-5)
    np.testing.assert_allclose(small.by_gene[RELIABILITY], whole.by_gene[RELIABILITY], atol=1e-5)
    blocks = [model.predict(section.values[:, genes]).values for genes in (slice(0, 2), slice(2, 4), slice(4, 5))]
    np.testing.assert_allclose(np.hstack(blocks), whole.values, atol=2e-5)
    with threadpool_limits(2, user_api="blas"):
        threaded = model.predict(section.values)
    np.testing.assert_allclose(threaded.values, small.values, atol=2e-5)
    assert torch.get_num_threads() == 1


def test_genes_that_cannot_be_predicted_are_not_corrected():
    section, _ = smooth_section()
    noise = np.random.default_rng(0).permuted(section.values, axis=0)
    model = replace(run(section, replace(TRAINING, max_epochs=2)), shrinkage=0.5)
    values = np.hstack([section.values, noise])
    of_network, initial = model.predict(values).values, replace(model, shrinkage=0.0).predict(values).values
    changed = np.abs(of_network - initial).max(axis=0) > 0
    assert changed.tolist() == [True] * 3 + [False] * 3


def test_genes_that_were_not_trained_on_and_constant_ones_are_imputed():
    section, truth = smooth_section(n_genes=5)
    fitted = run(replace(section, values=section.values[:, :4]))
    found = fitted.predict(np.column_stack([section.values[:, 4], np.ones(len(section.values), np.float32)])).values
    assert np.abs(found[:, 0] - truth[:, 4])[~section.measured].mean() < 0.1
    assert (found[:, 1] == 1).all()


def whole_batch(section):
    sites = section.positions(section.measured)
    maps = fit_predictor("stack", sites[section.measured], sites, section.values).maps(section.values)
    standard = np.stack([each.T for each in maps])
    (batch,) = whole_section(section.lattice, section.measured, section.values, standard, 10**4)
    return batch


def test_attention_sees_windows_of_the_trained_size():
    section, _ = smooth_section()
    fitted = run(section, replace(QUICK, crop=8), attention=True, heads=2, window=4)
    assert np.isfinite(imputed(fitted)).all()
    # Crops of a network that adds nothing change nothing.
    network = CDCIN(fitted.network.config).eval()
    batch = whole_batch(section)
    position = torch.from_numpy(section.lattice.position)
    found = predict_sites(network, batch, position, replace(QUICK, crop=8), torch.device("cpu"))
    measured = torch.from_numpy(section.measured)
    torch.testing.assert_close(found[:, ~measured], batch.start.flatten(1)[:, position][:, ~measured])


def test_a_section_of_one_spot_beside_a_larger_one():
    section, truth = smooth_section()
    one = np.arange(len(truth)) == 100
    _, alone = run_all([section, section_of(section.lattice, one, truth[one])], TRAINING)
    assert np.isfinite(imputed(replace(alone, shrinkage=0.5))).all()


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
    for name, value in (("CELLS_PER_BATCH", 1), ("WIDEST", 9), ("LOWEST", 9)):
        monkeypatch.setattr(f"s2s_scverse._train._apply.{name}", value)
    torch.testing.assert_close(predict_sites(*arguments), whole, atol=1e-5, rtol=0)
    # A rim that is too narrow shows.
    monkeypatch.setattr(CDCINConfig, "reach", 2)
    assert (predict_sites(*arguments) - whole).abs().max() > 1e-4


def test_images_are_sampled_in_true_geometry():
    for kind in KINDS:
        lattice = lattice_of(5, 6, kind)
        height, width = image_box(lattice)
        ramp = np.broadcast_to(np.arange(width, dtype=np.float32), (1, height, width))
        values = images_at_sites(ramp, lattice, standardise=True)[:, 0]
        np.testing.assert_allclose(np.corrcoef(values, lattice.unit_coordinates[:, 0])[0, 1], 1)
        np.testing.assert_allclose([values.mean(), values.std()], [0, 1], atol=1e-6)
        values = images_at_sites(ramp / 9, lattice, standardise=False)[:, 0]
        np.testing.assert_allclose(np.ptp(values), np.ptp(lattice.unit_coordinates[:, 0]) / 9, rtol=1e-5)
        assert images_at_sites(0 * ramp + 1, lattice, standardise=True).shape == (30, 0)


def test_a_trained_network_is_scored_at_validation_spots_that_it_does_not_see(monkeypatch):
    found, kept = [], []
    look, choose = _fit.find_shrinkage, _fit.choose_validation
    monkeypatch.setattr(_fit, "find_shrinkage", lambda *args: found.append(args[1]) or look(*args))
    monkeypatch.setattr(_fit, "choose_validation", lambda *args: kept.append(choose(*args)) or kept[0])
    section = noisy_section()
    run(section)
    holes, sampled = ([batch for piece in way for batch in piece] for way in found)
    n = kept[0].sum()
    assert [int(batch.weight[0].sum()) for batch in holes] == [n]
    assert len(sampled) == 4
    assert sum(int(batch.weight[0].sum()) for batch in sampled) == 3 * n  # outside three of the four samples
    for batch in (*holes, *sampled):
        assert not (batch.weight * batch.mask).any()
    assert int((holes[0].mask + holes[0].weight)[0].sum()) == section.measured.sum()


def test_the_paper_preset_counts_errors_in_the_units_of_the_values():
    section, _ = smooth_section()
    training = replace(TRAINING_PRESETS["paper"], max_epochs=1, steps_per_epoch=2, n_images=2, batch_size=2)
    fitted = run(section, training, images=photographs, mask_channel=False, values_channel=False)
    assert fitted.network.config.in_channels == 1
    # The nearest fill of smooth maps is off by tenths, which divided by 10 would be hundredths.
    assert fitted.history[0]["loss_genes_sparser"] * 10 > 0.05
    assert np.isfinite(imputed(fitted)).all()


def test_every_switch_changes_training_and_maps_shown_are_extra_channels_only():
    section = noisy_section()
    first = run(section, TRAINING, photographs).history[0]
    switches = {"augment": False, "loss": "l1", "dense_weight": 3.0, "mask_dropout": 0.0, "schedule": "constant"}
    for name, value in switches.items():
        other = run(section, replace(TRAINING, **{name: value}), photographs).history[0]
        assert first.keys() == other.keys()
        assert first["validation"] != other["validation"], name
        assert first["validation_start"] == other["validation_start"], name
    shown = run(section, TRAINING, photographs)
    hidden = run(section, replace(TRAINING, show_maps=False), photographs)
    assert shown.network.config.context_channels == 2
    assert hidden.network.config == replace(shown.network.config, context_channels=1)


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


@pytest.mark.gpu
@pytest.mark.skipif(not torch.accelerator.is_available(), reason="no accelerator on this machine")
@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_an_accelerator_gives_what_the_cpu_gives_up_to_rounding(section, quick, precision):
    arguments = quick | {"training": replace(quick["training"], precision=precision)}
    assert find_device("auto").type != "cpu"
    s2s.tl.impute(section, key_added="here", device="cpu", **arguments)
    s2s.tl.impute(section, key_added="there", device="auto", **arguments)
    here, there = section.layers["here"], section.layers["there"]
    # Training goes its own way after a few steps of other rounding.
    assert np.square(here - there).mean() < 0.01 * here.var()
    assert section.uns["s2s"]["there"]["history"]["validation"].notna().all()
