"""One Gaussian process covariance over spots, diagonalised once for all genes and all nuggets.

With an unknown constant mean, everything kriging needs is in the matrix P = R C (C (RKR + tI) C)^+ C R, where K is the
correlation between spots, t the nugget, R the root of the noise weights (the noise of spot i has the variance
t / weight) and C takes off the mean, which R makes proportional to R1: P is the inverse covariance of what is left
of the data once the mean is estimated from them. The eigenvectors U of C RKR C, other than R1, do not depend on t, so
P = B diag(1 / (eigenvalues + t)) B' with B = RU.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import eigh
from scipy.spatial.distance import cdist

from ._kernels import Kernel, correlation
from ._threads import one_thread
from ._types import Bool, Float32, Float64, Index

__all__ = ["Factor", "factorise"]


@dataclass(frozen=True)
class Factor:
    """Eigendecomposition of the centred correlation matrix of n spots.

    Attributes
    ----------
    vectors
        (n, n - 1), B: eigenvectors times the root of the noise weights, all orthogonal to the constant.
    eigenvalues
        (n - 1,).
    shrinkage
        (n - 1, n_nuggets), 1 / (eigenvalue + nugget).
    diagonal
        (n, n_nuggets), the diagonal of P.
    share
        (n,), of each spot in the sum of noise weights.
    mean_correlation
        (n,), of each spot with all spots, weighted by their shares.
    """

    vectors: Float32
    eigenvalues: Float64
    shrinkage: Float32
    diagonal: Float32
    share: Float32
    mean_correlation: Float32

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
    """Diagonalise the covariance of spots under a kernel.

    Parameters
    ----------
    places
        (n, n_dimensions) where the spots are, in units of the kernel's length.
    kernel, nuggets
        Correlation, and the noise variances of a spot of weight 1.
    noise_weights
        (n,) of every spot.
    """
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
