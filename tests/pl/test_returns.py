"""What every plot returns, and what it leaves as it was."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import s2s_scverse as s2s

PLOTS = [
    (s2s.pl.grid, {}, 1),
    (s2s.pl.compare, {"genes": "gene"}, 3),
    (s2s.pl.uncertainty, {"genes": "gene"}, 2),
    (s2s.pl.history, {}, 2),
    (s2s.pl.evaluation, {"scores": ["pcc", "rmse"]}, 2),
    (s2s.pl.image_features, {"n_components": 2}, 2),
    (s2s.pl.reliability, {}, 2),
]


@pytest.fixture(params=PLOTS, ids=lambda plot: plot[0].__name__)
def plot(request, make_lattice, build_section):
    """A plot of a section that has everything, the name of its argument for axes, and how many there are."""
    adata = build_section(make_lattice(), np.arange(6), np.ones(6), s2s=np.arange(6), s2s_std=np.ones(6))
    adata.var["s2s_reliability"] = 0.5
    adata.obsm["s2s_image"] = np.array([[0, 1, 2, 0, 1, 3], [1, 0, 0, 2, 1, 0]], np.float32).T
    history = pd.DataFrame({"epoch": [0], "loss_x": [1.0], "validation": [0.5], "validation_start": [1.0]})
    adata.uns["s2s"]["s2s"] = {"history": history}
    scores = pd.DataFrame({"gene": ["gene"], "method": ["s2s"], "pcc": [0.5], "rmse": [1.0]})
    adata.uns["s2s"]["evaluation"] = {"scores": scores}
    draw, always, n = request.param
    return lambda **options: draw(adata, **always, **options), "ax" if n == 1 else "axes", n


@pytest.fixture
def shown(monkeypatch):
    calls = []
    monkeypatch.setattr(plt, "show", lambda: calls.append(1))
    return calls


def test_what_comes_back_and_settings_of_the_user_stay(plot, shown):
    draw, _, n = plot
    axes = draw(show=False)
    assert isinstance(axes, Axes) if n == 1 else axes.shape in ((n,), (1, n))
    plt.close("all")
    assert isinstance(draw(return_fig=True), Figure)
    assert not plt.get_fignums()
    assert not shown
    assert draw(show=True) is None
    before = sc.settings.autoshow
    try:
        for sc.settings.autoshow in (True, False):
            assert (draw() is None) == sc.settings.autoshow
    finally:
        sc.settings.autoshow = before
    assert len(shown) == 2
    before = dict(mpl.rcParams)
    draw(return_fig=True)
    assert dict(mpl.rcParams) == before
    assert list(mpl.colormaps["viridis"].get_bad()) == [0, 0, 0, 0]


def test_axes_titles_and_size_of_the_user(plot, shown):
    draw, argument, n = plot
    figure, axes = plt.subplots(1, n)
    names = list("abc"[:n])
    assert draw(**{argument: axes}, title=names[0] if n == 1 else names, return_fig=True) is figure
    assert [axis.get_title() or axis.get_title(loc="left") for axis in np.atleast_1d(axes)] == names
    assert draw(figsize=(5, 3), return_fig=True).get_size_inches().tolist() == [5, 3]
    with pytest.raises(ValueError, match=f"expected {n} axes, one for each panel, found 4"):
        draw(**{argument: plt.subplots(1, 4)[1]})
    with pytest.raises(TypeError, match="axes must be matplotlib axes, found str"):
        draw(**{argument: "left"})
    if n > 1:
        with pytest.raises(ValueError, match=f"expected {n} titles, one for each panel of a row, found 1"):
            draw(title="all", return_fig=True)
