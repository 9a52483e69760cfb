"""The examples of docs/draws.md run, and draws are nearer to the truth than the map."""

import re
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "draws.md"


@pytest.fixture(scope="module")
def names():
    found = {}
    exec("\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)), found)  # noqa: S102
    return found


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::SyntaxWarning")
def test_examples_of_the_page_on_statistics(names):
    dense, genes = names["dense"], names["genes"]
    truth = dense.copy()
    truth.X = truth.X.toarray()
    moran = names["autocorrelation"](truth)["moran"]
    bias, of_map = (np.abs(found - moran).mean() for found in (names["moran"]["estimate"], names["of_map"]))
    assert bias < of_map / 2
    share = truth.to_df().gt(2).mean()
    of_map = names["plain"].to_df().gt(2).mean()
    assert np.abs(names["share"]["estimate"] - share).mean() < 0.7 * np.abs(of_map - share).mean()
    clusters = names["clusters"]
    assert clusters.shape == (3, 3)
    assert (np.diag(clusters) > 0).all()
    tests = names["tests"]
    assert tests.index.equals(genes)
    assert tests["p_value"].between(0, 1).all()
    assert (tests["imputation_share"] < 1).all()
    graph = truth.obsp["spatial_connectivities"]
    true = np.sum(truth[:, names["ligand"]].X * (graph @ truth[:, names["receptor"]].X)) / graph.sum()
    assert names["score"]["estimate"].item() == pytest.approx(true, rel=0.05)
