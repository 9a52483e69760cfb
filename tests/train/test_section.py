import numpy as np

from s2s_scverse._lattice import KINDS, Lattice, SectionOnLattice, regular_sample
from s2s_scverse._train._fit import MAX_TRAINED, PIECE, _pieces


def large():
    index = np.stack(np.meshgrid(np.arange(180), np.arange(160), indexing="ij"), axis=-1).reshape(-1, 2)
    lattice = Lattice(KINDS["square"], index, np.eye(2), np.zeros(2))
    measured = regular_sample(lattice, 2, (0, 0))
    values = index[measured].astype(np.float32)
    depth = values.sum(axis=1, dtype=float) + 1
    return SectionOnLattice(None, np.arange(len(index)), lattice, measured, ~measured, values, depth)


def test_large_sections_are_cut_into_connected_pieces_that_know_what_the_whole_knows():
    section = large()
    assert section.cut(np.ones(len(section.lattice), bool)) is section
    pieces = [section.cut(sites) for sites in _pieces(section)]
    counts = [int(piece.measured.sum()) for piece in pieces]
    assert 0.85 * MAX_TRAINED <= sum(counts) <= 1.15 * MAX_TRAINED
    assert max(counts) <= PIECE
    for piece in pieces:
        assert np.array_equal(piece.lattice.index[piece.measured], piece.values)
        assert np.array_equal(piece.depth, piece.values.sum(axis=1) + 1)
        assert len(piece.lattice) == np.prod(piece.lattice.shape)  # a box
        assert piece.lattice.stride(piece.measured) == 2
    seen = np.concatenate([piece.lattice.index for piece in pieces])
    assert len(np.unique(seen, axis=0)) == len(seen)
    assert np.ptp(seen, axis=0).min() >= 85  # spread over the section
