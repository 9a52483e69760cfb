"""One Gaussian process covariance over spots, diagonalised once for all genes and all nuggets.

With an unknown constant mean, everything kriging needs is in the matrix P = R C (C (RKR + tI) C)^+ C R, where K is the
correlation between spots, t the nugget, R the root of the noise weights (the noise of spot i has the variance
t / weight) and C takes off the mean, which R makes proportional to R1: P is the inverse covariance of what is left
of the data once the mean is estimated from them. The eigenvectors U of C RKR C, other than R1, do not depend on t, so
P = B diag(1 / (eigenvalues + t)) B' with B = RU.
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
    """An isotropic correlation function: its family and its length in spot pitches."""

    family: Family
    length: float


# Lengths beyond 8 pitches are chosen by noise: on small real sections they reduced accuracy.
_LENGTHS: Final = (1.0, 2.0, 4.0, 8.0)
# With many spots fewer suffice (-0.2 to +0.02 % of PCC on four real sections), and each takes time.
_SPARSE_LENGTHS: Final = (2.0, 6.0)
_MANY_SPOTS: Final = 800
KERNELS: Final = tuple(
    Kernel(family, length) for family in get_args(Family) for length in sorted({*_LENGTHS, *_SPARSE_LENGTHS})
)
NUGGETS: Final = tuple(2.0**power for power in range(-6, 7))  # noise variance / signal variance


def kernels_for(n_spots: int, *, smooth: bool) -> list[Kernel]:
    """Which of `KERNELS` to compare; smooth ones too, unless values are too noisy to tell them apart."""
    lengths = _LENGTHS if n_spots <= _MANY_SPOTS else _SPARSE_LENGTHS
    families = get_args(Family) if smooth else ("exponential",)
    return [kernel for kernel in KERNELS if kernel.family in families and kernel.length in lengths]


def correlation(kernel: Kernel, distances: Float32 | Float64) -> Float32:
    """Correlation at each distance, in spot pitches :cite:p:`rasmussen2006`."""
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
        """Values (n, n_genes) in the eigenbasis, (n - 1, n_genes)."""
        return self.vectors.T @ values

    def weights(self, rotated: Float32, nugget: Index) -> Float32:
        """P y for every gene with its own nugget (an index), (n, n_genes)."""
        return self.vectors @ (self.shrinkage[:, nugget] * rotated)

    def leave_one_out(self, weights: Float32, nugget: Index) -> Float32:
        """Measured minus predicted from all other spots, (n, n_genes) :cite:p:`dubrule1983`."""
        diagonal = self.diagonal[:, nugget]
        result: Float32 = np.divide(weights, diagonal, out=np.full_like(weights, np.nan), where=diagonal > 0)
        return result

    def at(self, spots: Bool) -> "Factor":
        """The same for `weights` and `leave_one_out` at some of the spots."""
        if spots.all():
            return self
        return replace(self, vectors=self.vectors[spots], diagonal=self.diagonal[spots])


def factorise(places: Float64, kernel: Kernel, nuggets: Sequence[float], noise_weights: Float64) -> Factor:
    """Diagonalise the covariance of spots at `places` (n, n_dimensions); nuggets are those of a spot of weight 1."""
    root = np.sqrt(noise_weights)
    norm = np.linalg.norm(root)
    constant = (root / norm).astype(np.float32)
    centred = correlation(kernel, cdist(places, places))
    centred *= root[:, None].astype(np.float32)
    centred *= root[None, :].astype(np.float32)
    product = centred @ constant.astype(np.float64)
    # The constant gets the eigenvalue -1, away from all others: it is the first eigenvector and can be removed.
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
