import numpy as np

from s2s_scverse._lattice import KINDS, Lattice, regular_sample
from s2s_scverse._train import Section


def large():
    index = np.stack(np.meshgrid(np.arange(120), np.arange(100), indexing="ij"), axis=-1).reshape(-1, 2)
    lattice = Lattice(KINDS["square"], index, np.eye(2), np.zeros(2))
    measured = regular_sample(lattice, 2, (0, 0))
    values = index[measured].astype(np.float32)
    return Section(lattice, measured, values, values.sum(axis=1, dtype=float) + 1)


def test_small_sections_stay_whole():
    section = large()
    (sites,) = section.pieces(3000)
    assert section.cut(sites) is section


def test_large_sections_are_cut_into_connected_pieces_that_know_what_the_whole_knows():
    section = large()
    pieces = [section.cut(sites) for sites in section.pieces(1600)]
    counts = [int(piece.measured.sum()) for piece in pieces]
    assert 1400 <= sum(counts) <= 1800
    assert max(counts) <= 1500
    for piece in pieces:
        assert np.array_equal(piece.lattice.index[piece.measured], piece.values)
        assert np.array_equal(piece.depth, piece.values.sum(axis=1) + 1)
        assert len(piece.lattice) == np.prod(piece.lattice.shape)  # a box
        assert piece.lattice.stride(piece.measured) == 2
    seen = np.concatenate([piece.lattice.index for piece in pieces])
    assert len(np.unique(seen, axis=0)) == len(seen)
    assert np.ptp(seen, axis=0).min() >= 58  # spread over the section
