"""How errors grow with the distance from measured spots."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.spatial import cKDTree

from .._predict import Kriging, PCAKriging
from .._predict._arrays import Bool, Float32, Float64, Index
from ._conditional import error_variance

_RADII: Final = (1.5, 3.0, 4.5)  # of the discs that are left out, in spot spacings
_CENTRES: Final = 24  # number of discs of each radius
_LARGEST: Final = 1 / 3  # largest part of the spots in a disc
_AROUND: Final = 3.0  # distance within which spots of the same fold matter
_SITES: Final = 512  # number of sites whose kriging variance is computed
_RANKS: Final = (1, 3, 6, 12)  # sites as far from their 1st, 3rd ... nearest spot have the same kriging variance
_ALIKE: Final = 4  # number of such sites that are averaged
_SMALLEST: Final = 0.5  # smallest variance of errors, relative to cross-validation
_STEEPEST: Final = 2.0  # largest slope; 1 is that of the model


@dataclass(frozen=True)
class Growth:
    """Kriging variances of the components, by which errors at a site differ from those in cross-validation."""

    sites: Float32  # (m, n_components)
    validated: Float64  # (n_components,) mean over cross-validated spots
    near: Float64  # (n_components,) mean over sites nearer to spots than these; `validated` if there are none

    @classmethod
    def fit(cls, components: PCAKriging, fold: Index, near: Bool) -> "Growth":
        """Fit to the cross-validation fold of every spot, (n,), and to which sites are near, (m,)."""
        kriging, chosen = components.kriging, np.flatnonzero(fold >= 0)
        centres = chosen[_spread(components.scores[chosen])]
        blocks = (disc[fold[disc] == fold[disc[0]]] for disc in _discs(kriging, centres, _AROUND))
        predicted = kriging.leave_blocks_out(components.scores, components.kriged.settings, blocks)
        validated = np.mean([variance[0, 0] for _, variance in predicted], axis=0) * components.kriged.variance
        sites = _site_variance(components)
        nearest = sites[near].mean(axis=0, dtype=np.float64) if near.any() else validated
        return cls(sites, validated, np.minimum(nearest, validated))

    def relative(self, loadings: Float32, near: Float64, slope: Float64) -> Float32:
        """Return variances of errors relative to cross-validation, (m, n_genes).

        Given are the loadings of genes (n_components, n_genes), their mean relative variance at near sites, and its
        slope on the kriging variance where that is larger than in cross-validation, (n_genes,) each.
        """
        square = np.square(loadings)
        validated = self.validated @ square
        below = validated - self.near @ square
        decrease = np.divide(1 - near, below, out=np.zeros_like(below), where=below > 1e-6 * validated)
        excess = self.sites @ square - validated.astype(np.float32)
        decrease = np.minimum(decrease, np.finfo(np.float32).max)  # of genes with tiny values
        excess *= np.where(excess > 0, slope, decrease).astype(np.float32)
        return np.asarray(np.maximum(1 + excess, _SMALLEST), np.float32)


def growth_slope(components: PCAKriging, informative: Float32) -> float:
    """Return by how much squared errors grow for each unit of kriging variance, pooled over genes (n, n_informative).

    Errors and kriging variances when discs of spots are left out are compared with those when single spots are.
    """
    kriging, loadings = components.kriging, components.loadings(informative)
    centres = _spread(components.scores)
    discs = [disc for radius in _RADII for disc in _discs(kriging, centres, radius)]
    discs = [disc for disc in discs if 1 < len(disc) <= _LARGEST * len(kriging.spots)]
    centred = informative - np.average(informative, axis=0, weights=kriging.noise_weights)
    rest = centred - components.scores @ loadings
    errors, variances = np.zeros(informative.shape[1]), np.zeros(len(loadings))
    predicted = kriging.leave_blocks_out(components.scores, components.kriged.settings, discs)
    for disc, (residual, variance) in zip(discs, predicted, strict=True):
        square = np.square(residual @ loadings + rest[disc]).mean(axis=1)
        errors += square[0] - square[1]
        variances += (variance[0] - variance[1]).mean(axis=0)
    scale = np.square(centred - components.at_spots @ loadings).mean(axis=0)
    varies = scale > 0
    known = ((variances * components.kriged.variance) @ np.square(loadings))[varies] / scale[varies]
    if not known.sum() > 0:
        return 1.0
    return float(np.clip((errors[varies] / scale[varies]).sum() / known.sum(), 0, _STEEPEST))


def _spread(scores: Float64) -> Index:
    """Return indices of spots that are spread over their distances from the mean, from components (n, n_components)."""
    order = np.argsort(_deviation(scores), kind="stable")
    return order[np.unique(np.linspace(0, len(order) - 1, _CENTRES).round().astype(np.intp))]


def _deviation(components: Float32 | Float64) -> Float64:
    """Squared distance of places from the mean, (n,): whatever the signs of the components and the rounding."""
    square = np.square(components, dtype=np.float64).sum(axis=1)
    return np.asarray((square / max(square.max(initial=0), 1e-30)).round(5))


def _discs(kriging: Kriging, centres: Index, radius: float) -> Iterator[Index]:
    """Yield the spots around each of some spots, and first that spot itself."""
    tree = cKDTree(kriging.spots)
    for centre in centres:
        spots = np.array(tree.query_ball_point(kriging.spots[centre], radius))
        yield np.append(centre, spots[spots != centre])


def _site_variance(components: PCAKriging) -> Float32:
    """Variance of the error of every component at the sites, (m, n_components); of many sites, that of similar ones."""
    kriging = components.kriging
    m, ranks = len(kriging.sites), [rank for rank in _RANKS if rank <= len(kriging.spots)]
    if m <= _SITES:
        return error_variance(components)
    around = np.asarray(cKDTree(kriging.spots).query(kriging.sites, k=ranks)[0])
    order = np.lexsort((_deviation(components.at_sites), around[:, 0].round(6)))
    # Evenly over sites and over distances: few are far.
    nearest = around[order, 0]
    position = np.linspace(0, 1, m) + (nearest - nearest[0]) / max(np.ptp(nearest), 1e-9)
    some = np.unique(order[np.searchsorted(position, np.linspace(0, position[-1], _SITES))])
    sites = np.isin(np.arange(m), some)
    alike = cKDTree(around[some]).query(around, k=_ALIKE)[1]
    return np.asarray(error_variance(components, sites)[some[alike]].mean(axis=1))
