import numpy as np
import pandas as pd
import pytest

import s2s_scverse as s2s
from s2s_scverse.pl._history import relative_error

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


def test_a_perfect_initial_estimate_has_no_relative_error():
    relative, used = relative_error(TABLE.assign(validation_start=0.0), keep="best")
    assert np.isnan(relative).all()
    assert used is None


def test_weights_that_are_not_used(trained):
    trained.uns["s2s"]["s2s"] |= {"shrinkage": 0.0}
    _, error = s2s.pl.history(trained, show=False)
    assert error.get_legend_handles_labels()[1][-1] == "not used: shrinkage factor 0"


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
