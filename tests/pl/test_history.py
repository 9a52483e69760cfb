import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

import s2s_scverse as s2s
from s2s_scverse.pl._history import history_curves

TABLE = pd.DataFrame(
    {
        "epoch": [0, 1, 2],
        "loss_genes_sparser": [0.9, 0.8, 0.7],
        "loss_genes_dense": [0.8, 0.7, 0.6],
        "validation": [1.0, 0.4, 0.6],
        "validation_start": [0.8, 0.8, 0.8],
    }
)


@pytest.fixture
def trained(make_lattice, build_section):
    adata = build_section(make_lattice(), np.arange(6), np.ones(6))
    adata.uns["s2s"]["s2s"] = {"history": TABLE.copy()}
    return adata


def test_curves():
    curves = history_curves(TABLE, keep="last")
    assert curves.epoch.tolist() == [0, 1, 2]
    assert {name: values.tolist() for name, values in curves.losses.items()} == {
        "loss_genes_sparser": [0.9, 0.8, 0.7],
        "loss_genes_dense": [0.8, 0.7, 0.6],
    }
    np.testing.assert_allclose(curves.relative, [1.25, 0.5, 0.75])
    assert curves.used == 2
    assert history_curves(TABLE, keep="best").used == 1


def test_curves_where_the_starting_map_is_perfect():
    curves = history_curves(TABLE.assign(validation_start=0.0), keep="best")
    assert np.isnan(curves.relative).all()
    assert curves.used is None


@pytest.mark.parametrize(("keep", "epoch", "value"), [("best", 1, 0.5), ("last", 2, 0.75)])
def test_what_is_drawn(trained, keep, epoch, value):
    trained.uns["s2s"]["s2s"]["params"] = {"training": {"keep": keep}}
    losses, error = s2s.pl.history(trained, show=False)
    assert [line.get_label() for line in losses.lines] == ["genes, sparser → sparse", "genes, sparse → dense"]
    assert losses.lines[1].get_ydata().tolist() == [0.8, 0.7, 0.6]
    assert losses.get_ylim()[0] == 0
    start, network, used = error.lines
    assert list(start.get_ydata()) == [1, 1]
    np.testing.assert_allclose(network.get_ydata(), [1.25, 0.5, 0.75])
    assert (used.get_xdata()[0], used.get_ydata()[0]) == (epoch, pytest.approx(value))
    assert used.get_label() == f"used: {value:.3f}, epoch {epoch}"


def test_one_epoch_without_validation_and_an_unknown_term(trained):
    table = TABLE.iloc[:1].assign(validation=np.nan, loss_my_term=0.3)
    trained.uns["s2s"]["s2s"]["history"] = table
    losses, error = s2s.pl.history(trained, show=False)
    assert losses.lines[2].get_label() == "my term"
    assert {line.get_marker() for line in losses.lines} == {"o"}
    assert len(error.lines) == 2


def test_axes_of_the_user_are_drawn_into_and_not_shown(trained, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("shown"))
    figure, axes = plt.subplots(1, 2)
    given = s2s.pl.history(trained, axes=axes)
    assert given.tolist() == axes.tolist()
    assert s2s.pl.history(trained, axes=list(axes), return_fig=True) is figure


def test_return_types(trained, monkeypatch):
    assert s2s.pl.history(trained, show=False).shape == (2,)
    plt.close("all")
    assert isinstance(s2s.pl.history(trained, return_fig=True), Figure)
    assert plt.get_fignums() == []
    monkeypatch.setattr(plt, "show", lambda: None)
    assert s2s.pl.history(trained, show=True) is None


def test_bad_input(trained):
    with pytest.raises(KeyError, match=r"no run 'other' found in adata\.uns\['s2s'\], which has: s2s"):
        s2s.pl.history(trained, "other")
    with pytest.raises(ValueError, match="expected 2 axes, one for each panel, found 1"):
        s2s.pl.history(trained, axes=[plt.figure().add_subplot()])
    with pytest.raises(TypeError, match="axes must be matplotlib axes, found str"):
        s2s.pl.history(trained, axes=["left", "right"])
    trained.uns["s2s"]["s2s"]["history"] = pd.DataFrame()
    with pytest.raises(ValueError, match="history of run 's2s' is empty: nothing was trained"):
        s2s.pl.history(trained)
