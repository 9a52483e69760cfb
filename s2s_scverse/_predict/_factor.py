"""Eigendecomposition of a Gaussian process covariance over spots, shared by all genes and nuggets.

With an unknown constant mean, kriging depends on P = R C (C (RKR + tI) C)^+ C R, where K is the correlation matrix of
the spots, t the nugget, R the root of the noise weights (the noise of a spot has the variance t / weight) and C the
projection that removes the weighted mean, R1. P is the inverse covariance of the centred data. The eigenvectors U of
C RKR C, without R1, do not depend on t, so that P = B diag(1 / (eigenvalues + t)) B' with B = RU.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
from scipy.linalg import eigh
from scipy.spatial.distance import cdist

from ._arrays import Bool, Float32, Float64, Index
from ._threads import one_thread

__all__ = ["KERNELS", "NUGGETS", "Factor", "Kernel", "correlation", "factorise", "kernels_for"]

Family = Literal["exponential", "matern32"]


class Kernel(NamedTuple):
    """Isotropic correlation function."""

    family: Family
    length: float  # in spot pitches


_LENGTHS: Final = (1.0, 2.0, 4.0, 8.0)  # longer ones reduce accuracy on small sections
_SPARSE_LENGTHS: Final = (2.0, 6.0)  # for more than _MANY_SPOTS; changes PCC by -0.2 to +0.02 %
_MANY_SPOTS: Final = 800
KERNELS: Final = tuple(
    Kernel(family, length) for family in get_args(Family) for length in sorted({*_LENGTHS, *_SPARSE_LENGTHS})
)
NUGGETS: Final = tuple(2.0**power for power in range(-6, 7))  # noise variance / signal variance


def kernels_for(n_spots: int, *, smooth: bool) -> list[Kernel]:
    """Return the kernels to compare; `smooth` ones are included for values with little noise."""
    lengths = _LENGTHS if n_spots <= _MANY_SPOTS else _SPARSE_LENGTHS
    families = get_args(Family) if smooth else ("exponential",)
    return [kernel for kernel in KERNELS if kernel.family in families and kernel.length in lengths]


def correlation(kernel: Kernel, distances: Float32 | Float64) -> Float32:
    """Return the correlation at distances in spot pitches :cite:p:`rasmussen2006`."""
    if kernel.family == "exponential":
        scaled = np.asarray(distances * (-1.0 / kernel.length), np.float32)
        return np.exp(scaled, out=scaled)
    scaled = np.asarray(distances * (np.sqrt(3.0) / kernel.length), np.float32)
    return (1 + scaled) * np.exp(-scaled)


@dataclass(frozen=True)
class Factor:
    """Eigendecomposition of the centred correlation matrix of n spots."""

    vectors: Float32  # (n, n - 1), B: eigenvectors times the root of the noise weights
    eigenvalues: Float64  # (n - 1,)
    shrinkage: Float32  # (n - 1, n_nuggets), 1 / (eigenvalue + nugget)
    diagonal: Float32  # (n, n_nuggets), the diagonal of P
    share: Float32  # (n,), of each spot in the sum of noise weights
    mean_correlation: Float32  # (n,), of each spot with all spots, weighted by their shares

    def rotate(self, values: Float32) -> Float32:
        """Project values (n, n_genes) onto the eigenbasis, (n - 1, n_genes)."""
        return self.vectors.T @ values

    def weights(self, rotated: Float32, nugget: Index) -> Float32:
        """Return P y for every gene with its own nugget (an index), (n, n_genes)."""
        return self.vectors @ (self.shrinkage[:, nugget] * rotated)

    def leave_one_out(self, weights: Float32, nugget: Index) -> Float32:
        """Return the leave-one-out residuals, (n, n_genes) :cite:p:`dubrule1983`."""
        diagonal = self.diagonal[:, nugget]
        result: Float32 = np.divide(weights, diagonal, out=np.full_like(weights, np.nan), where=diagonal > 0)
        return result

    def at(self, spots: Bool) -> "Factor":
        """Return a factor whose `weights` and `leave_one_out` are those of some of the spots."""
        if spots.all():
            return self
        return replace(self, vectors=self.vectors[spots], diagonal=self.diagonal[spots])


def factorise(places: Float64, kernel: Kernel, nuggets: Sequence[float], noise_weights: Float64) -> Factor:
    """Diagonalise the covariance of spots at `places` (n, n_dimensions) with noise variance nugget / weight."""
    root = np.sqrt(noise_weights)
    norm = np.linalg.norm(root)
    constant = (root / norm).astype(np.float32)
    centred = correlation(kernel, cdist(places, places))
    centred *= root[:, None].astype(np.float32)
    centred *= root[None, :].astype(np.float32)
    product = centred @ constant.astype(np.float64)
    # The constant gets the eigenvalue -1, smaller than all others, so that it is the first eigenvector.
    offset = (product - constant * ((constant @ product - 1) / 2)).astype(np.float32)
    centred -= offset[:, None] * constant
    centred -= constant[:, None] * offset
    with one_thread():
        found, vectors = eigh(centred, driver="evd", overwrite_a=True, check_finite=False)
    eigenvalues = np.maximum(found[1:].astype(np.float64), 0.0)
    shrinkage = (1.0 / (eigenvalues[:, None] + np.asarray(nuggets))).astype(np.float32)
    basis: Float32 = np.ascontiguousarray(vectors[:, 1:], np.float32)
    basis *= root[:, None].astype(np.float32)
    share = (noise_weights / norm**2).astype(np.float32)
    mean_correlation = (product / (root * norm)).astype(np.float32)
    return Factor(basis, eigenvalues, shrinkage, np.square(basis) @ shrinkage, share, mean_correlation)
