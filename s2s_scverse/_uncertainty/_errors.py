"""The joint distribution of the errors of imputed values, over sites and genes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.linalg import svd
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from .._predict import PCAKriging
from .._predict._arrays import Bool, Float32, Float64, Index
from ._conditional import error_variance, simulate_errors
from ._marginals import Counting, rectified_parameters

_VALUES: Final = 2**24  # component errors simulated at a time
_SPATIAL: Final = 0.95  # largest share of the spatial part in the variance of an error
_SHARE: Final = 1.0  # standard error of the logarithm of that share
_LEVEL: Final = 0.11  # standard error of the logarithm of a gene's standard deviations, besides that of sampling
_LARGEST: Final = 0.5  # largest standard error of that logarithm without the noise of counting
_LARGEST_SQUARE: Final = 3.0  # of standardised predictions
_SKEW: Final = 0.15  # standard error of the quadratic term of errors in units of their standard deviation
_NEXT: Final = 0.75  # sites up to this distance, in spot spacings, share errors
_CLOSE: Final = 0.4  # mean weight of the errors of each such site, of a gene whose variance is explained
_LEAST: Final = 0.05  # smallest share in the variance that is not due to estimated parameters


@dataclass(frozen=True)
class Marginals:
    """Means and standard deviations of single values at m sites."""

    mean: Float32  # (m, n_genes)
    std: Float32  # (m, n_genes) of the error, without that of counting
    bounded: Bool  # (n_genes,) genes without negative values
    smooth: bool  # whether to leave out what varies from site to site
    counting: Counting | None  # what measurements add to expression
    counted: Float32 | float  # (n_genes,) mean variance of that


Shared = tuple[Float32, Float32, Float32, int]
"""Random numbers that all genes share in one draw.

Errors of the components (m, n_components), standard normal factors that vary from site to site (m, k), uniform numbers
that select the depth of sites (m,), and the seed of the gene-wise random numbers.
"""


class ErrorModel:
    """Errors at the sites of `components`, in three parts, for genes like the `informative` ones (n, n_informative).

    * Kriging errors of the components, simulated conditionally and projected to genes; they vary smoothly.
    * Errors of single sites. One part is correlated between genes like the leave-one-out residuals of the spots, which
      share cell types or depth; the other is independent between genes. Structure finer than the distance of spots is
      not in the spots, so neighbouring sites share an unknown part, larger for genes that the components explain.
    * Errors of the parameters of a gene, the same at all sites: its mean and its loadings on the components, slope and
      curvature of its values as a function of its predictions, the size of its errors and their spatial share.

    Together they have the standard deviations of single values from the calibration.
    """

    def __init__(self, components: PCAKriging, informative: Float32) -> None:
        self.components = components
        self.variance = error_variance(components)  # (m, n_components) of the errors of the components
        self.shared = _leading(_standardised(self.residuals(informative)))  # (n, k)
        self.neighbours = _neighbours(components.kriging.sites)  # (m, m)

    def simulate(self, rngs: Sequence[np.random.Generator]) -> Iterator[Shared]:
        """Draw what all genes share, once for each generator."""
        size = max(1, _VALUES // max(1, self.variance.size))
        for start in range(0, len(rngs), size):
            spawned = [rng.spawn(4) for rng in rngs[start : start + size]]
            errors = simulate_errors(self.components, [rng for rng, *_ in spawned])
            for each, (_, of_shared, of_genes, of_depth) in zip(errors, spawned, strict=True):
                factors = of_shared.standard_normal((len(each), self.shared.shape[1]), dtype=np.float32)
                yield each, factors, of_depth.random(len(each), np.float32), int(of_genes.integers(2**63))

    def residuals(self, values: Float32) -> Float32:
        """Residuals of leave-one-out predictions from the components, (n, n_genes)."""
        return values - self.mean(values) - self.components.at_spots @ self.components.loadings(values)

    def mean(self, values: Float32) -> Float32:
        """Mean of genes over the spots, (n_genes,)."""
        return np.asarray(np.average(values, axis=0, weights=self.components.kriging.noise_weights), np.float32)


class GeneErrors:
    """Draws of a block of genes, from their values at the spots (n, n_genes) and their numbers among all genes."""

    def __init__(self, model: ErrorModel, values: Float32, numbers: Index, marginals: Marginals) -> None:
        residuals = model.residuals(values)
        maps = model.components.at_sites
        self._numbers, self._maps = numbers, np.hstack([maps, np.ones((len(maps), 1), maps.dtype)])
        self._loadings = model.components.loadings(values)
        predicted = model.components.at_spots @ self._loadings
        self._loading_error, self._slope_error, level = _standard_errors(
            model.components, self._loadings, predicted, residuals
        )
        deviation = marginals.mean - model.mean(values)
        explained, unexplained = predicted.var(axis=0), np.square(residuals).mean(axis=0)
        self._close = _CLOSE * _ratio(explained, explained + unexplained)
        self._curve_error, self._square = _curvature(predicted, residuals, deviation)
        self._neighbours = model.neighbours
        self._degree: Float32 = model.neighbours.sum(axis=1)[:, None]
        self._shared = (model.shared.T @ _standardised(residuals)).astype(np.float32)
        self._own = np.sqrt(np.maximum(1 - np.square(self._shared).sum(axis=0), 0)).astype(np.float32)
        mean, total = marginals.mean, np.square(marginals.std)
        spatial = model.variance @ np.square(self._loadings)
        self._deviation = mean - mean.mean(axis=0)
        of_parameters = np.square(self._maps) @ np.square(self._loading_error)
        of_parameters += np.square(self._slope_error * self._deviation) + np.square(self._curve_error * self._square)
        limit = np.minimum(_ratio((1 - _LEAST) * total, of_parameters), 1)
        variance = total - limit * of_parameters
        self._limit, self._spread = np.sqrt(limit), np.sqrt(variance)
        self._unit, self._share = _ratio(1.0, np.sqrt(spatial)), _ratio(spatial, variance)
        self._counting, self._single = marginals.counting, not marginals.smooth
        # Counting noise is known, so what is not known of the size of errors is that of the rest.
        self._level = np.minimum(level * (1 + _ratio(marginals.counted, total.mean(axis=0))), _LARGEST)
        if marginals.smooth:
            total = total - (1 - np.minimum(self._share, _SPATIAL)) * variance
        std = np.sqrt(total)
        location, scale = rectified_parameters(np.maximum(mean, 0), std)
        self._location = np.where(marginals.bounded, location, mean)
        self._scale = np.where(marginals.bounded, _ratio(scale, std), np.float32(1))
        self._lowest = np.where(marginals.bounded, np.float32(0), np.float32(-np.inf))

    def draw(self, simulated: Shared) -> Float32:
        """Return one draw of the values, (m, n_genes)."""
        components, shared, depth, seed = simulated
        m = len(components)
        counts = (m, self._maps.shape[1], 6, m if self._counting else 0)
        single, loading, (slope, curve, level, share, skew, close), counted = _of_genes(seed, self._numbers, counts)
        part = np.minimum(self._share * np.exp(_SHARE * share - _SHARE**2 / 2), _SPATIAL)
        drawn = (components @ self._loadings) * self._unit * np.sqrt(part)
        if self._single:
            independent = shared @ self._shared + single * self._own
            weight = self._close * np.square(close)
            independent += weight * (self._neighbours @ independent)
            drawn += independent * np.sqrt((1 - part) / (1 + np.square(weight) * self._degree))
        skew *= _SKEW
        drawn += skew * (np.square(drawn) - (1 if self._single else part))
        drawn *= self._spread * np.exp(self._level * level - np.square(self._level)) / np.sqrt(1 + 2 * np.square(skew))
        of_parameters = self._maps @ (loading * self._loading_error)
        of_parameters += slope * self._slope_error * self._deviation + curve * self._curve_error * self._square
        drawn += of_parameters * self._limit
        drawn *= self._scale
        drawn += self._location
        drawn = np.asarray(np.maximum(drawn, self._lowest), np.float32)
        return drawn if self._counting is None else self._counting.draw(drawn, counted, depth)


def _standard_errors(
    components: PCAKriging, loadings: Float32, predicted: Float32, residuals: Float32
) -> tuple[Float32, Float32, Float32]:
    """Standard errors of what is estimated for every gene, from leave-one-out predictions and residuals (n, n_genes).

    They are those of the loadings on the components, followed by the mean, (n_components + 1, n_genes), of the slope of
    the regression of values on predictions, (n_genes,), and of the logarithm of the standard deviation of errors,
    (n_genes,).
    """
    scores, weight, square = components.scores, components.kriging.noise_weights[:, None], np.square(residuals)
    # Errors are larger where values are: HC2 (:cite:p:`mackinnon1985`). Residuals of the regression on components are
    # smaller than those of leave-one-out predictions, to which errors of kriging add.
    regressed = np.square(predicted + residuals - scores @ loadings)
    leverage = weight * (np.square(scores).sum(axis=1, keepdims=True) + 1 / len(scores))
    regressed /= np.maximum(1 - leverage, _LEAST)
    variance = np.vstack([np.square(weight * scores).T @ regressed, np.square(weight / len(scores)).T @ square])
    power = np.square(predicted - predicted.mean(axis=0))
    slope = np.minimum(_ratio(np.sqrt((power * square).sum(axis=0)), power.sum(axis=0)), 1)
    level = _ratio(square.std(axis=0), square.mean(axis=0)) / np.sqrt(4 * len(square))
    found = np.sqrt(variance), slope, np.sqrt(np.square(level) + _LEVEL**2)
    loading_error, slope_error, level_error = (each.astype(np.float32) for each in found)
    return loading_error, slope_error, level_error


def _curvature(predicted: Float32, residuals: Float32, at_sites: Float32) -> tuple[Float32, Float32]:
    """Coefficient of squared predictions, (n_genes,), and these squares at sites, (m, n_genes).

    Predictions are not corrected for it. Squares are of standardised predictions, (n, n_genes) and (m, n_genes), and
    uncorrelated with these.
    """
    middle, unit = predicted.mean(axis=0), predicted.std(axis=0)
    position = (predicted - middle) * _ratio(1.0, unit)
    skewness = (position**3).mean(axis=0)

    def squares(position: Float32) -> Float32:
        found = np.square(position) - 1 - skewness * position
        return np.asarray(np.clip(found, -_LARGEST_SQUARE, _LARGEST_SQUARE), np.float32)

    square = squares(position)
    coefficient = _ratio((square * residuals).sum(axis=0), np.square(square).sum(axis=0))
    return coefficient, squares((at_sites - middle) * _ratio(1.0, unit))


def _neighbours(sites: Float64) -> "csr_array[np.float32]":
    """Matrix (m, m) that sums values over the neighbours of each of the sites (m, 2)."""
    pairs = cKDTree(sites).query_pairs(_NEXT, output_type="ndarray")
    first, second = np.vstack([pairs, pairs[:, ::-1]]).T
    return csr_array((np.ones(len(first), np.float32), (first, second)), (len(sites), len(sites)))


def _of_genes(seed: int, numbers: Index, counts: Sequence[int]) -> list[Float32]:
    """Draw standard normal arrays (count, n_genes), every gene by its number, whatever the other genes are."""
    found = np.empty((len(numbers), sum(counts)), np.float32)
    for row, number in zip(found, numbers, strict=True):
        np.random.default_rng([seed, int(number)]).standard_normal(out=row, dtype=np.float32)
    return np.split(found.T, np.cumsum(counts)[:-1])


def _ratio(numerator: Any, denominator: Float32) -> Float32:
    """Divide; what is divided by 0 becomes 0."""
    return np.asarray(np.divide(numerator, denominator, out=np.zeros_like(denominator), where=denominator > 0))


def _standardised(values: Float32) -> Float64:
    """Bring genes (n, n_genes) to a mean of 0 and a sum of squares of 1; constant ones to 0."""
    centred = values - values.mean(axis=0, dtype=np.float64)
    norm = np.linalg.norm(centred, axis=0)
    return np.asarray(centred * np.divide(1, norm, out=np.zeros_like(norm), where=norm > 1e-6))


def _leading(residuals: Float64) -> Float64:
    """Directions between spots, (n, k), along which genes (n, n_genes) vary together beyond chance."""
    n, count = residuals.shape
    left, strength, _ = svd(residuals, full_matrices=False, check_finite=False)
    # Largest singular value of independent genes (Marchenko and Pastur).
    return np.asarray(left[:, strength > 1 + np.sqrt(count / n)])
