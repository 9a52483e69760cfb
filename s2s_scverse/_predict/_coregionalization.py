"""Linear model of coregionalization with a full signal and a full noise covariance between genes.

Y = F + E over n spots and G genes. The signal F has covariance K between spots and B between genes; the noise E is
independent between spots and has covariance D between genes. Genes of a spot co-vary for non-spatial reasons (cell
types, library size); a full D separates this from spatial signal. Spots are independent in the eigenvectors of K, and
genes in the basis V with V'DV = I and V'BV = diag(s): each component is kriged with the noise_ratio 1/s.
"""

import numpy as np

from ._arrays import Float, Float32, Float64
from ._eigen import eigenvectors
from ._kriging import Kernel, Kriging, Settings

__all__ = ["Coregionalization"]

_KERNEL = Kernel("exponential", 16.0)  # with shorter ones, EM attributes variation between single spots to the signal
_STEPS = 15
_WEAKEST = 1e-6
_NOISE_RATIOS = tuple(2.0 ** (power / 2) for power in range(-16, 29))


class Coregionalization:
    """Matrix normal signal and noise, fitted to `informative` (n, n_informative) by expectation maximisation (EM).

    The other arrays are those of `Kriging`. D is shrunken towards its diagonal by the factor `shrinkage` in every step:
    0.5 is best on real sections, 0.05 if shared noise is much stronger than the signal.
    """

    def __init__(
        self,
        spots: Float,
        sites: Float,
        informative: Float,
        *,
        noise_weights: Float64 | None = None,
        shrinkage: float = 0.5,
    ) -> None:
        kriging = Kriging(spots, sites, noise_weights=noise_weights, kernels=[_KERNEL], noise_ratios=_NOISE_RATIOS)
        informative = np.asarray(informative, np.float64)[:, np.ptp(informative, axis=0) > 0]
        informative = (informative / informative.std(axis=0)).astype(np.float32)
        self._kriging = kriging
        eigenvalues, modes = kriging.spectrum(informative, _KERNEL)
        strength, basis = _fit(eigenvalues, modes, shrinkage)
        self._root, self._solver = _loadings(eigenvalues, modes @ basis, strength)
        components = (informative - informative.mean(axis=0)) @ basis
        noise_ratio = np.abs(np.log(_NOISE_RATIOS)[:, None] + np.log(strength)).argmin(axis=0)
        self.kriged = kriging.predict(components, Settings(np.zeros_like(noise_ratio), noise_ratio))

    def tune(self, values: Float) -> None:
        """Return None: there are no hyper-parameters of single genes."""

    def maps(self, values: Float, settings: None = None) -> list[Float32]:  # noqa: ARG002
        """Predict genes (n, n_genes) at the sites, (m, n_genes)."""
        _, modes = self._kriging.spectrum(values, _KERNEL)
        loadings = self._solver @ (self._root.T @ modes)
        mean = np.mean(values, axis=0, dtype=np.float64).astype(np.float32)
        return [self.kriged.sites @ loadings + mean]


def _fit(eigenvalues: Float32, modes: Float32, shrinkage: float) -> tuple[Float32, Float32]:
    """Return strengths s (G,) and basis V (G, G) after EM, given genes in the eigenvectors of K (n_modes, G)."""
    total = np.asarray(modes.T @ modes / max(1, len(modes)), np.float32)
    signal, noise = 0.3 * total / eigenvalues.mean(), _towards_diagonal(0.7 * total, shrinkage)
    for _ in range(_STEPS):
        strength, basis = _diagonalise(signal, noise)
        back = basis.T @ noise  # its inverse
        components = modes @ basis
        expected, variance = _posterior(eigenvalues, components, strength)
        residual = np.asarray(components - np.sqrt(eigenvalues)[:, None] * expected, np.float32)
        signal = back.T @ _second_moment(expected, variance) @ back
        noise = back.T @ _second_moment(residual, eigenvalues[:, None] * variance) @ back
        noise = _towards_diagonal(noise, shrinkage)
    return _diagonalise(signal, noise)


def _posterior(eigenvalues: Float32, components: Float32, strength: Float32) -> tuple[Float32, Float32]:
    """Return mean and variance of the signal of every mode and component, without the factor of the eigenvalue."""
    gain = strength / (eigenvalues[:, None] * strength + 1)
    return np.sqrt(eigenvalues)[:, None] * gain * components, gain


def _loadings(eigenvalues: Float32, components: Float32, strength: Float32) -> tuple[Float32, Float32]:
    """Return the matrices of the regression of a gene's modes on expected signals, which gives its loadings."""
    expected, variance = _posterior(eigenvalues, components, strength)
    root = np.sqrt(eigenvalues)[:, None] * expected
    moment = (expected * eigenvalues[:, None]).T @ expected + np.diag((eigenvalues[:, None] * variance).sum(axis=0))
    return root, np.linalg.inv(moment.astype(np.float64)).astype(np.float32)


def _second_moment(mean: Float32, variance: Float32) -> Float32:
    return np.asarray((mean.T @ mean + np.diag(variance.sum(axis=0))) / max(1, len(mean)), np.float32)


def _towards_diagonal(covariance: Float32, part: float) -> Float32:
    return np.asarray((1 - part) * covariance + part * np.diag(np.diag(covariance)), np.float32)


def _diagonalise(signal: Float32, noise: Float32) -> tuple[Float32, Float32]:
    ridge = 1e-6 * np.trace(noise) / max(1, len(noise)) * np.eye(len(noise), dtype=np.float32)
    whitening = np.asarray(np.linalg.inv(np.linalg.cholesky(noise + ridge)), np.float32)
    strength, vectors = eigenvectors(np.asarray(whitening @ signal @ whitening.T, np.float32))
    return np.maximum(strength, _WEAKEST), whitening.T @ vectors
