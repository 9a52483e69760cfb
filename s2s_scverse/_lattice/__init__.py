"""Lattices of sites: numpy and scipy only."""

from ._bins import auto_bin_size, bin_lattice
from ._infer import affine_residual, lattice_from_array, lattice_from_coordinates, residual, unit_coordinates
from ._kinds import KINDS, Kind, KindName
from ._lattice import Lattice, Raster
from ._section_on_lattice import SectionOnLattice
from ._sites import Fill, fill_sites, random_sample, regular_sample

__all__ = [
    "KINDS",
    "Fill",
    "Kind",
    "KindName",
    "Lattice",
    "Raster",
    "SectionOnLattice",
    "affine_residual",
    "auto_bin_size",
    "bin_lattice",
    "fill_sites",
    "lattice_from_array",
    "lattice_from_coordinates",
    "random_sample",
    "regular_sample",
    "residual",
    "unit_coordinates",
]
