"""Kriging of any number of genes over a set of spots.

With an unknown constant mean, kriging depends on P = R C (C (RKR + tI) C)^+ C R, where K is the correlation matrix of
the spots, t the noise ratio, R the root of the noise weights (the noise of a spot has the variance t / weight) and C
the projection that removes the weighted mean, R1. P is the inverse covariance of the centred data. The eigenvectors U
of C RKR C, without R1, do not depend on t, so that P = B diag(1 / (eigenvalues + t)) B' with B = RU. They are shared by
all genes and noise ratios.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
from scipy.spatial.distance import cdist

from ._arrays import Bool, Float, Float32, Float64, Index, as_float32, as_float64
from ._eigen import eigenvectors
from ._threads import parallel
from ._tiles import Tile, tiles

__all__ = ["KERNELS", "NOISE_RATIOS", "Kernel", "Kriged", "Kriging", "Settings", "kernels_for"]

_LOCK = Lock()
_FEW_DIMENSIONS = 3  # in which distances are faster one by one than as matrix products
_MAX_SCORED = 16  # number of tiles on which kernels are compared
_SITE_BLOCK = 2**19  # number of correlations between sites and spots in memory at a time
Family = Literal["exponential", "matern32"]


class Kernel(NamedTuple):
    """Isotropic correlation function."""

    family: Family
    length_scale: float  # in spot pitches


_LENGTH_SCALES: Final = (1.0, 2.0, 4.0, 8.0)  # longer ones reduce accuracy on small sections
_SPARSE_LENGTH_SCALES: Final = (2.0, 6.0)  # for more than _MANY_SPOTS; changes PCC by -0.2 to +0.02 %
_MANY_SPOTS: Final = 800
KERNELS: Final = tuple(
    Kernel(family, scale) for family in get_args(Family) for scale in sorted({*_LENGTH_SCALES, *_SPARSE_LENGTH_SCALES})
)
NOISE_RATIOS: Final = tuple(2.0**power for power in range(-6, 7))  # noise variance / signal variance
_WIDE_NOISE_RATIOS: Final = tuple(2.0**power for power in range(-6, 11))  # where distances are not those in space


def kernels_for(n_spots: int, *, smooth: bool) -> list[Kernel]:
    """Return the kernels to compare; `smooth` ones are included for values with little noise."""
    scales = _LENGTH_SCALES if n_spots <= _MANY_SPOTS else _SPARSE_LENGTH_SCALES
    families = get_args(Family) if smooth else ("exponential",)
    return [kernel for kernel in KERNELS if kernel.family in families and kernel.length_scale in scales]


def correlation(kernel: Kernel, distances: Float32 | Float64) -> Float32:
    """Return the correlation at distances in spot pitches :cite:p:`rasmussen2006`."""
    factor = -1.0 if kernel.family == "exponential" else -np.sqrt(3.0)
    scaled = np.multiply(distances, factor / kernel.length_scale, dtype=np.float32, casting="same_kind")
    if kernel.family == "exponential":
        return np.exp(scaled, out=scaled)
    result = np.exp(scaled)
    np.subtract(1, scaled, out=scaled)
    result *= scaled
    return result


def distances_between(first: Float64, second: Float64) -> Float64:
    """Return Euclidean distances (n_first, n_second) of points, (n, n_dimensions) each."""
    if first.shape[1] <= _FEW_DIMENSIONS:
        return np.asarray(cdist(first, second))
    square = -2 * first @ second.T
    square += np.square(first).sum(axis=1)[:, None]
    square += np.square(second).sum(axis=1)
    np.maximum(square, 0, out=square)
    return np.asarray(np.sqrt(square, out=square))


@dataclass(frozen=True)
class Factor:
    """Eigendecomposition of the centred correlation matrix of n spots."""

    vectors: Float32  # (n, n - 1), B: eigenvectors times the root of the noise weights
    eigenvalues: Float64  # (n - 1,)
    shrinkage: Float32  # (n - 1, n_noise_ratios), 1 / (eigenvalue + noise_ratio)
    diagonal: Float32  # (n, n_noise_ratios), the diagonal of P
    share: Float32  # (n,), of each spot in the sum of noise weights
    mean_correlation: Float32  # (n,), of each spot with all spots, weighted by their shares

    def rotate(self, values: Float32) -> Float32:
        """Project values (n, n_genes) onto the eigenbasis, (n - 1, n_genes)."""
        return self.vectors.T @ values

    def weights(self, rotated: Float32, noise_ratio: Index) -> Float32:
        """Return P y for every gene with its own noise ratio (an index), (n, n_genes)."""
        return self.vectors @ (self.shrinkage[:, noise_ratio] * rotated)

    def leave_one_out(self, weights: Float32, noise_ratio: Index) -> Float32:
        """Return the leave-one-out residuals, (n, n_genes) :cite:p:`dubrule1983`."""
        diagonal = self.diagonal[:, noise_ratio]
        result: Float32 = np.divide(weights, diagonal, out=np.full_like(weights, np.nan), where=diagonal > 0)
        return result

    def at(self, spots: Bool) -> "Factor":
        """Return a factor whose `weights` and `leave_one_out` are those of some of the spots."""
        if spots.all():
            return self
        return replace(self, vectors=self.vectors[spots], diagonal=self.diagonal[spots])


def factorise(places: Float64, kernel: Kernel, noise_ratios: Sequence[float], noise_weights: Float64) -> Factor:
    """Diagonalise the covariance of spots at `places` (n, n_dimensions) with noise variance ratio / weight."""
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
    found, vectors = eigenvectors(centred)
    eigenvalues = np.maximum(found[1:].astype(np.float64), 0.0)
    shrinkage = (1.0 / (eigenvalues[:, None] + np.asarray(noise_ratios))).astype(np.float32)
    basis: Float32 = np.ascontiguousarray(vectors[:, 1:], np.float32)
    basis *= root[:, None].astype(np.float32)
    share = (noise_weights / norm**2).astype(np.float32)
    mean_correlation = (product / (root * norm)).astype(np.float32)
    return Factor(basis, eigenvalues, shrinkage, np.square(basis) @ shrinkage, share, mean_correlation)


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters chosen by leave-one-out: (n_genes,) indices of kernels and of noise ratios."""

    kernel: Index
    noise_ratio: Index


@dataclass(frozen=True)
class Kriged:
    """Predictions for a block of genes."""

    sites: Float32  # (m, n_genes) at the sites
    loo: Float32  # (n, n_genes) leave-one-out at the spots; NaN if there is only one
    variance: Float64  # (n_genes,) variance of the spatial signal, the unit of `Kriging.relative_variance`
    settings: Settings


class Kriging:
    """Gaussian processes with a constant unknown mean, one for each gene.

    Predicts from spots (n, 2) at sites (m, 2), both in spot pitches. Kernel and noise ratio of each gene minimise
    the exact leave-one-out error, including the estimation of the mean :cite:p:`dubrule1983`.

    The noise of a spot has the variance ratio / weight, with relative `noise_weights` (n,), 1 by default. Predictions
    are shifted to a mean leave-one-out error of 0, since spots of low weight may have another mean. Distances are those
    between `places` of spots (n, n_dimensions) and sites (m, n_dimensions), by default their positions.

    Above `max_exact` spots, overlapping tiles of at most `max_core` spots are kriged and averaged; each gene has one
    kernel and noise ratio for the whole section, chosen on tiles spread over it. Eigenvectors are cached up to
    `cache_bytes`.
    """

    def __init__(
        self,
        spots: Float,
        sites: Float,
        *,
        noise_weights: Float64 | None = None,
        places: tuple[Float, Float] | None = None,
        kernels: Sequence[Kernel] = KERNELS,
        noise_ratios: Sequence[float] = NOISE_RATIOS,
        max_exact: int = 1600,
        max_core: int = 400,
        cache_bytes: int = 2**30,
    ) -> None:
        self.spots, self.sites = as_float64(spots), as_float64(sites)
        weights: Float64 = np.ones(len(self.spots)) if noise_weights is None else noise_weights
        self.noise_weights: Float64 = weights / weights.mean()
        self._weighted = bool(np.ptp(self.noise_weights) > 0)
        at_spots, at_sites = (self.spots, self.sites) if places is None else places
        self._at_spots, self._at_sites = np.asarray(at_spots, np.float64), np.asarray(at_sites, np.float64)
        self.kernels, self.noise_ratios = tuple(kernels), tuple(noise_ratios)
        self._tiles = tiles(self.spots, self.sites, max_exact=max_exact, max_core=max_core)
        self._scored = _spread(len(self._tiles), _MAX_SCORED)
        self._cache: dict[tuple[int, Kernel], Factor] = {}
        self._cache_left = cache_bytes

    def over(self, places: tuple[Float64, Float64], kernel: Kernel) -> "Kriging":
        """Return kriging of the same spots with distances between other places, (n, n_dimensions) and (m, ...)."""
        at, weights = (self.spots, self.sites), self.noise_weights
        return Kriging(*at, noise_weights=weights, places=places, kernels=[kernel], noise_ratios=_WIDE_NOISE_RATIOS)

    def maps(self, values: Float, settings: Settings | None = None) -> list[Float32]:
        """Predict genes (n, n_genes) at the sites, (m, n_genes)."""
        return [self.predict(values, settings).sites]

    def predict(self, values: Float, settings: Settings | None = None) -> Kriged:
        """Krige genes (n, n_genes); kernels and noise ratios are chosen unless given."""
        values = as_float32(values)
        settings = settings or self.tune(values)
        maps = np.zeros((len(self.sites), values.shape[1]), np.float32)
        residuals = np.empty_like(values)
        variance = np.zeros(values.shape[1])
        of_tiles = parallel(lambda number: self._predict_tile(number, values, settings), range(len(self._tiles)))
        for tile, (of_sites, residual, explained) in zip(self._tiles, of_tiles, strict=True):
            maps[tile.sites] += of_sites
            residuals[tile.spots[tile.core]] = residual
            variance += explained
        if self._weighted:
            shift = residuals.mean(axis=0)
            maps += shift
            residuals -= shift
        return Kriged(maps, values - residuals, variance / len(values), settings)

    def _predict_tile(self, number: int, values: Float32, settings: Settings) -> tuple[Float32, Float32, Float64]:
        """Return a tile's share of the maps (m_tile, n_genes), residuals (n_core, n_genes) and sum of variances."""
        tile = self._tiles[number]
        centred, offset = _centre(values[tile.spots])
        weights, means = self._weights(number, centred, settings), {}
        residuals, variance = np.empty((int(tile.core.sum()), values.shape[1]), np.float32), np.zeros(values.shape[1])
        for k, genes in _by_kernel(settings):
            factor, found = self._factor(number, self.kernels[k]), weights[:, genes]
            residual = factor.leave_one_out(found, settings.noise_ratio[genes])
            residuals[:, genes] = residual[tile.core]
            variance[genes] = np.sum((residual * found)[tile.core], axis=0, dtype=np.float64)
            offset[genes] += factor.share @ centred[:, genes]
            means[k] = factor.mean_correlation
        maps = np.empty((len(tile.sites), values.shape[1]), np.float32)
        for rows, distances in self._site_blocks(tile):
            share = tile.share[rows, None].astype(np.float32)
            for k, genes in _by_kernel(settings):
                # Subtracting the mean correlation here loses fewer digits than adding it to the offset.
                cross = correlation(self.kernels[k], distances)
                cross -= means[k]
                maps[rows, genes] = share * (cross @ weights[:, genes] + offset[genes])
        return maps, residuals, variance

    def tune(self, values: Float, kernels: Sequence[Kernel] | None = None) -> Settings:
        """Choose kernel and noise ratio of each of the genes (n, n_genes) by leave-one-out.

        The `kernels` to compare are exponential by default: single genes are too noisy to identify smoother ones.
        """
        values = as_float32(values)
        kernels = kernels or kernels_for(len(self.spots), smooth=False)
        compared = [k for k, kernel in enumerate(self.kernels) if kernel in kernels] or range(len(self.kernels))
        centred = [_centre(values[self._tiles[number].spots])[0] for number in self._scored]
        found = parallel(lambda k: self._compare(self.kernels[k], centred), compared)
        errors, noise_ratios = zip(*found, strict=True)
        best = np.argmin(errors, axis=0)
        return Settings(np.asarray(compared)[best], np.asarray(noise_ratios)[best, np.arange(values.shape[1])])

    def _compare(self, kernel: Kernel, centred: list[Float32]) -> tuple[Float64, Index]:
        """Return the smallest leave-one-out error (n_genes,) of a kernel, and the noise ratio.

        Every third noise ratio is evaluated, then the neighbours of the best.
        """
        factors = [self._factor(number, kernel) for number in self._scored]
        rotated = [factor.rotate(block) for factor, block in zip(factors, centred, strict=True)]
        cores = [factor.at(self._tiles[number].core) for number, factor in zip(self._scored, factors, strict=True)]

        n_genes, last = centred[0].shape[1], len(self.noise_ratios) - 1
        best, error = np.zeros(n_genes, np.intp), np.full(n_genes, np.inf)

        def compare(noise_ratio: Index) -> None:
            nonlocal best, error
            found = np.zeros(n_genes)
            for core, block in zip(cores, rotated, strict=True):
                residual = core.leave_one_out(core.weights(block, noise_ratio), noise_ratio)
                found += np.square(residual, dtype=np.float64).sum(axis=0)
            improved = found < error  # NaN (a single spot) is never better
            best, error = np.where(improved, noise_ratio, best), np.where(improved, found, error)

        for number in range(min(1, last), last + 1, 3):
            compare(np.full(n_genes, number))
        for noise_ratio in (np.maximum(best - 1, 0), np.minimum(best + 1, last)):
            compare(noise_ratio)
        return error, best

    def relative_variance(self, settings: Settings, sites: Bool | None = None) -> Float32:
        """Return the kriging variance at the sites, (m, n_genes), in units of the signal's variance.

        It includes the uncertainty of the mean, but not the nugget, which adds to it for new measurements. It remains 0
        outside `sites`, (m,).
        """
        result = np.zeros((len(self.sites), len(settings.kernel)), np.float32)
        for number, tile in enumerate(self._tiles if sites is None else [tile.at(sites) for tile in self._tiles]):
            if not len(tile.sites):
                continue
            for k, genes in _by_kernel(settings):
                factor = self._factor(number, self.kernels[k])
                mean, share = factor.mean_correlation, factor.share
                used, position = np.unique(settings.noise_ratio[genes], return_inverse=True)
                of_mean = np.asarray(self.noise_ratios, np.float32)[used, None] / self.noise_weights[tile.spots].sum()
                for rows, distances in self._site_blocks(tile):
                    cross = correlation(self.kernels[k], distances)
                    prior = 1 - 2 * cross @ share + share @ mean + of_mean
                    known = np.square((cross - mean) @ factor.vectors) @ factor.shrinkage[:, used]
                    relative = np.maximum(prior.T - known, 0)
                    result[np.ix_(tile.sites[rows], genes)] += tile.share[rows, None] * relative[:, position]
        return result

    def leave_blocks_out(
        self, values: Float, settings: Settings, blocks: Iterable[Index]
    ) -> Iterator[tuple[Float64, Float64]]:
        """Leave out blocks of spots, less than a tile's margin away from their first one.

        Yields residuals of genes (n, n_genes), and kriging variances as of `relative_variance`, at the spots of a
        block: (2, n_block, n_genes) each, with the whole block left out and with every spot alone.
        """
        values = as_float32(values)
        pairs, pair = np.unique(np.stack([settings.kernel, settings.noise_ratio]), axis=1, return_inverse=True)
        home = np.empty(len(self.spots), np.intp)
        for number, tile in enumerate(self._tiles):
            home[tile.spots[tile.core]] = number
        weighted: dict[int, Float32] = {}
        for block in blocks:
            number = int(home[block[0]])
            spots = self._tiles[number].spots
            if number not in weighted:
                weighted[number] = self._weights(number, _centre(values[spots])[0], settings)
            rows = np.searchsorted(spots, block)
            residual, variance = np.empty((2, 2, len(block), values.shape[1]))
            for i, (k, noise_ratio) in enumerate(pairs.T):
                genes, factor = np.flatnonzero(pair.ravel() == i), self._factor(number, self.kernels[k])
                vectors, weights = factor.vectors[rows], weighted[number][np.ix_(rows, genes)]
                precision = ((vectors * factor.shrinkage[:, noise_ratio]) @ vectors.T).astype(np.float64)
                covariance, alone = np.linalg.inv(precision), 1 / np.diag(precision)
                residual[:, :, genes] = covariance @ weights, alone[:, None] * weights
                known = (
                    np.stack([np.diag(covariance), alone]) - self.noise_ratios[noise_ratio] / self.noise_weights[block]
                )
                variance[:, :, genes] = np.maximum(known, 0)[:, :, None]
            yield residual, variance

    def spectrum(self, values: Float, kernel: Kernel) -> tuple[Float32, Float32]:
        """Return the eigenvalues (n_modes,) of a kernel, and genes (n, n_genes) in its eigenvectors (n_modes, n_genes).

        If the section is tiled, these are all modes of some tiles.
        """
        values = as_float32(values)
        factors = {number: self._factor(number, kernel) for number in self._scored}
        rotated = [factor.rotate(_centre(values[self._tiles[i].spots])[0]) for i, factor in factors.items()]
        eigenvalues = np.concatenate([factor.eigenvalues for factor in factors.values()])
        return eigenvalues.astype(np.float32), np.concatenate(rotated)

    def sample(self, limit: int) -> Index:
        """Return the indices of about `limit` spots in whole tiles spread over the section, or of all spots."""
        cores = [tile.spots[tile.core] for tile in self._tiles]
        wanted = max(1, limit * len(cores) // len(self.spots))
        return np.sort(np.concatenate([cores[number] for number in _spread(len(cores), wanted)]))

    def _weights(self, number: int, centred: Float32, settings: Settings) -> Float32:
        """Return P y for the centred genes (n, n_genes) of a tile."""
        weights = np.empty_like(centred)
        for k, genes in _by_kernel(settings):
            factor = self._factor(number, self.kernels[k])
            weights[:, genes] = factor.weights(factor.rotate(centred[:, genes]), settings.noise_ratio[genes])
        return weights

    def _factor(self, number: int, kernel: Kernel) -> Factor:
        key = (number, kernel)
        if key in self._cache:
            return self._cache[key]
        spots = self._tiles[number].spots
        factor = factorise(self._at_spots[spots], kernel, self.noise_ratios, self.noise_weights[spots])
        with _LOCK:
            if key not in self._cache and factor.vectors.nbytes <= self._cache_left:
                self._cache[key] = factor
                self._cache_left -= factor.vectors.nbytes
        return factor

    def forget_smooth(self) -> None:
        """Release the cached eigenvectors of kernels with which single genes are not compared."""
        kept = kernels_for(len(self.spots), smooth=False)
        for key in [key for key in self._cache if key[1] not in kept]:
            self._cache_left += self._cache.pop(key).vectors.nbytes

    def _site_blocks(self, tile: Tile) -> Iterator[tuple[slice, Float64]]:
        """Yield blocks of the tile's sites, and their distances (n_rows, n_tile_spots) from its spots."""
        size = max(1, _SITE_BLOCK // len(tile.spots))
        for start in range(0, len(tile.sites), size):
            rows = slice(start, start + size)
            yield rows, distances_between(self._at_sites[tile.sites[rows]], self._at_spots[tile.spots])


def _by_kernel(settings: Settings) -> Iterator[tuple[int, Index]]:
    """Yield each kernel in use and its genes."""
    for k in np.unique(settings.kernel):
        yield int(k), np.flatnonzero(settings.kernel == k)


def _centre(values: Float32) -> tuple[Float32, Float32]:
    mean = values.mean(axis=0, dtype=np.float64).astype(np.float32)
    return values - mean, mean


def _spread(count: int, wanted: int) -> list[int]:
    return sorted({int(number) for number in np.linspace(0, count - 1, min(count, wanted)).round()})
