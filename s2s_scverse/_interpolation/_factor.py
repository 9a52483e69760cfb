"""One Gaussian process covariance over spots, diagonalised once for all genes and all nuggets.

With an unknown constant mean, everything kriging needs is in the matrix P = C (C (K + tI) C)^+ C, where K is the
correlation between spots, t the nugget and C = I - 11'/n takes off the mean: P is the inverse covariance of what is
left of the data once the mean is estimated from them. The eigenvectors U of CKC, other than the constant, do not depend
on t, so P = U diag(1 / (eigenvalues + t)) U'.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.linalg import eigh
from scipy.spatial.distance import cdist
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from ._kernels import Kernel, correlation
from ._types import Float32, Float64, Index

__all__ = ["Factor", "factorise", "one_thread"]


@dataclass(frozen=True)
class Factor:
    """Eigendecomposition of the centred correlation matrix of n spots.

    Attributes
    ----------
    vectors
        (n, n - 1) eigenvectors, all orthogonal to the constant.
    eigenvalues
        (n - 1,).
    shrinkage
        (n - 1, n_nuggets), 1 / (eigenvalue + nugget).
    diagonal
        (n, n_nuggets), the diagonal of P.
    mean_correlation
        (n,), of each spot with all spots.
    """

    vectors: Float32
    eigenvalues: Float64
    shrinkage: Float32
    diagonal: Float32
    mean_correlation: Float32

    def rotate(self, values: Float32) -> Float32:
        """Values (n, n_genes) in the eigenbasis, (n - 1, n_genes)."""
        return self.vectors.T @ values

    def generalised_cross_validation(self, rotated: Float32) -> Float32:
        """Score of every nugget for every gene, (n_nuggets, n_genes) :cite:p:`golub1979`.

        Leave-one-out with the diagonal of P replaced by its mean: no more than one product of matrices.
        """
        power = np.square(self.shrinkage).T @ np.square(rotated)
        trace = self.shrinkage.sum(axis=0, dtype=np.float64)[:, None]
        n = len(self.vectors)
        result: Float32 = np.divide(n * power, trace**2, out=np.zeros_like(power), where=trace > 0, casting="same_kind")
        return result

    def weights(self, rotated: Float32, nugget: Index) -> Float32:
        """P y for every gene with its own nugget (an index), (n, n_genes)."""
        return self.vectors @ (self.shrinkage[:, nugget] * rotated)

    def leave_one_out(self, weights: Float32, nugget: Index) -> Float32:
        """Measured minus predicted from all other spots, (n, n_genes) :cite:p:`dubrule1983`."""
        diagonal = self.diagonal[:, nugget]
        result: Float32 = np.divide(weights, diagonal, out=np.full_like(weights, np.nan), where=diagonal > 0)
        return result


def factorise(spots: Float64, kernel: Kernel, nuggets: Sequence[float]) -> Factor:
    """Diagonalise the covariance of spots (n, 2), in pitches, under a kernel."""
    n = len(spots)
    centred = correlation(kernel, cdist(spots, spots))
    mean_correlation = centred.mean(axis=0, dtype=np.float64)
    # The constant gets the eigenvalue -1, away from all others: it is the first eigenvector and can be left out.
    offset = mean_correlation - (mean_correlation.mean() - 1.0 / n) / 2
    centred -= offset[:, None].astype(np.float32)
    centred -= offset[None, :].astype(np.float32)
    with one_thread():
        found, vectors = eigh(centred, driver="evd", overwrite_a=True, check_finite=False)
    eigenvalues = np.maximum(found[1:].astype(np.float64), 0.0)
    shrinkage = (1.0 / (eigenvalues[:, None] + np.asarray(nuggets))).astype(np.float32)
    basis: Float32 = np.ascontiguousarray(vectors[:, 1:], np.float32)
    return Factor(basis, eigenvalues, shrinkage, np.square(basis) @ shrinkage, mean_correlation.astype(np.float32))


def one_thread() -> AbstractContextManager[object]:
    """Context in which BLAS keeps to one thread.

    Eigendecompositions wait for all threads once per column: on a busy two-core machine two threads took 62 s for 8
    kernels of 1353 spots, one took 1.2 s.
    """
    limits: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return limits


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
