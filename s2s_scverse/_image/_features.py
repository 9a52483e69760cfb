"""Image features at sites, and the check of the registration: do they explain expression better at other locations?"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, svd
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree
from skimage.color import rgb2hed

from .._lattice import SectionOnLattice
from ._placed import PlacedImage, block_mean

__all__ = [
    "TEXTURE",
    "Description",
    "FeatureMaps",
    "Misfit",
    "check_covariates",
    "check_registration",
    "cut_patches",
    "explained_locally",
]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
View = Callable[[Float64], Float64]

SAMPLES: Final = 2.0  # pixels of the reduced image per standard deviation of the narrowest Gaussian
TEXTURE: Final = "_texture_"  # in names of features
TEXTURES: Final = (0.025, 0.05, 0.1)  # standard deviations of the Gaussians for textures, in spot spacings
RESOLVED, LEAST_RESOLVED = 1.2, 0.8  # pixels per such standard deviation: sufficient, and necessary
LEAST_TEXTURE: Final = 0.02  # relative to the spread of the channel, added before taking logarithms
MOST: Final = 2**24  # largest number of pixels of the reduced image
CLEAR: Final = 0.06  # mean optical density below which an RGB image shows no tissue
SATURATED: Final = 0.35  # saturation from which pixels may be ink of a green or blue pen
INK: Final = 1.3  # ratio of red to green absorption from which such pixels are ink; stains have lower ratios
DARK: Final = 0.12  # brightness below which pixels are ink or fiducials
COVERED: Final = 0.3  # smallest visible fraction of the window around a site
FEWEST: Final = 30  # number of spots below which the registration is not checked
COMPONENTS, NEIGHBOURS = 10, 8
SHIFTS: Final = (0.5, 1.0, 1.5, 2.0)  # in spot spacings
DOUBT: Final = 2.0  # standard errors by which another location must explain more
LOCAL_DOUBT: Final = 1.0  # the same of local differences, if it must explain more of the values, too
CORNERS, OUTSIDE = 4, 0.8  # sites to interpolate covariates between, and the reach of a site in pitches
EXPLAINED: Final = 0.02  # fraction of the variance that it must explain


@dataclass(frozen=True, eq=False)
class Description:
    """Features of sites; missing ones are replaced by the median of the others."""

    features: Float32  # (n_sites, n_features)
    names: list[str]
    missing: NDArray[np.bool_]  # (n_sites,) outside the image, on background, or under pen marks or fiducials

    def __post_init__(self) -> None:
        if self.missing.any() and not self.missing.all():
            self.features[self.missing] = [np.median(column[~self.missing]) for column in self.features.T]


@dataclass(frozen=True, eq=False)
class Map:
    """Values (h, w) of an image that is reduced by a factor."""

    values: Float32
    factor: int

    def reduced(self, pixels: float) -> "Map":
        """Reduce by a power of two, to a factor of at most `pixels`."""
        further = int(2 ** np.floor(np.log2(max(pixels / self.factor, 1))))
        return Map(block_mean(self.values[..., None], further)[..., 0], self.factor * further)

    def smooth(self, width: float, mode: Literal["reflect", "constant"] = "reflect") -> "Map":
        """Average with a Gaussian of `width` pixels of the image, on a grid that suffices for it."""
        part = self.reduced(width / SAMPLES)
        return Map(gaussian_filter(part.values, width / part.factor, mode=mode), part.factor)

    def at(self, pixels: Float64, mode: Literal["nearest", "constant"]) -> Float32:
        """Interpolate at pixels (column, row) of the image, (n, 2)."""
        return np.asarray(
            map_coordinates(self.values, (pixels[:, ::-1].T + 0.5) / self.factor - 0.5, order=1, mode=mode)
        )


class FeatureMaps:
    """Feature maps of an image, which can be sampled at any position.

    Features are the mean and standard deviation of each channel over visible pixels, weighted by Gaussians with
    standard deviations of `scales` times `spacing`, the distance between neighbouring spots in pixels. Textures are
    logarithms of the root mean square difference from the image smoothed by Gaussians of the sizes `TEXTURES`, as far
    as pixels resolve them, over the wider `scales`. With `stain`, the channels of an RGB image are haematoxylin and
    eosin densities :cite:p:`ruifrok2001`. The image is reduced band by band to limit memory.
    """

    def __init__(self, image: PlacedImage, spacing: float, scales: Sequence[float], *, stain: bool = True) -> None:
        self.image = image
        self._maps: dict[str, Map] = {}
        least = np.ceil(np.sqrt(np.prod(image.shape) / MOST))
        finest = int(max(1, least, TEXTURES[0] * spacing // RESOLVED))
        means, squares, visible, density = self._reduced(finest, stain=stain)
        channels = [f"channel{i}" for i in range(len(means))] if density is None else ["haematoxylin", "eosin"]
        cover = {scale: np.maximum(visible.smooth(scale * spacing).values, 1e-6) for scale in scales}
        for scale in scales:
            for name, channel, square in zip(channels, means, squares, strict=True):
                total = channel.smooth(scale * spacing)
                mean = np.divide(total.values, cover[scale], dtype=np.float32)
                variance = square.smooth(scale * spacing).values / cover[scale] - np.square(mean)
                self._maps[f"{name}_mean_{scale:g}"] = Map(mean, total.factor)
                self._maps[f"{name}_std_{scale:g}"] = Map(np.sqrt(np.maximum(variance, 0)), total.factor)
        spread = [float(self._maps[f"{name}_mean_{scales[0]:g}"].values.std()) for name in channels]
        for size in TEXTURES:
            seen = visible.reduced(size * spacing / RESOLVED)
            sigma = size * spacing / seen.factor
            if sigma < LEAST_RESOLVED:
                continue
            around = np.maximum(gaussian_filter(seen.values, sigma), 1e-6)
            for name, channel, unit in zip(channels, means, spread, strict=True):
                fine = channel.reduced(size * spacing / RESOLVED).values
                difference = fine - seen.values * gaussian_filter(fine, sigma) / around
                power = Map(np.square(difference), seen.factor)
                for scale in (scale for scale in scales if scale >= 2 * TEXTURES[-1]):
                    total = power.smooth(scale * spacing)
                    texture = np.log(np.sqrt(total.values / cover[scale]) + max(LEAST_TEXTURE * unit, 1e-9))
                    self._maps[f"{name}{TEXTURE}{size:g}_{scale:g}"] = Map(texture, total.factor)
        width = max(scales) * spacing
        self._seen = visible.smooth(width, mode="constant")
        if density is not None:
            self._seen.values[density.smooth(width).values < CLEAR * cover[max(scales)]] = 0

    def describe(self, coordinates: Float64) -> Description:
        """Return the features at coordinates (n, 2), without missing ones."""
        features, missing = self.sample(coordinates)
        return Description(features, list(self._maps), missing)

    def sample(self, coordinates: Float64) -> tuple[Float32, NDArray[np.bool_]]:
        """Return the features (n, n_features) at coordinates (n, 2), and where they are missing, (n,)."""
        pixels = self.image.at(coordinates)
        found = [each.at(pixels, "nearest") for each in self._maps.values()]
        return np.stack(found, axis=1), self._seen.at(pixels, "constant") < COVERED

    def _reduced(self, factor: int, *, stain: bool) -> tuple[list[Map], list[Map], Map, Map | None]:
        """Return block means of channels, their squares, visible pixels and (for RGB images) optical density."""
        rows: list[list[Float32]] = []
        colour = stain and self.image.pixels.shape[2:] in ((3,), (4,))
        white = self.image.white if colour else 1.0
        for band in self.image.bands(factor):
            known = np.isfinite(band).all(axis=-1, keepdims=True)
            pixels = np.multiply(np.where(known, band, 0), 1 / white, dtype=np.float32)
            if colour:
                channels, visible, density = _stains(pixels)
                others = np.stack([visible, density * visible], axis=-1)
            else:
                channels, others = pixels, known.astype(np.float32)
            layers = channels * others[..., :1], np.square(channels) * others[..., :1], others
            rows.append([block_mean(layer, factor) for layer in layers])
        means, squares, (seen, *rest) = (
            [Map(np.ascontiguousarray(each), factor) for each in np.moveaxis(np.concatenate(parts), -1, 0)]
            for parts in zip(*rows, strict=True)
        )
        return means, squares, seen, rest[0] if rest else None


def cut_patches(
    image: PlacedImage, coordinates: Float64, extractor: Callable[[NDArray[Any]], Any], side: int, batch_size: int
) -> Description:
    """Return the features of the patches around coordinates (n_sites, 2).

    `extractor` maps patches (n, side, side, channels), `batch_size` at a time, to an array or tensor (n, n_features).
    """
    centre = np.round(image.at(coordinates)[:, ::-1]).astype(int)
    corner = centre - side // 2
    height, width = image.shape
    inside = np.all((corner >= 0) & (corner + side <= (height, width)), axis=1)
    sites, found = np.flatnonzero(inside), []
    if not len(sites):
        msg = f"no site has a whole patch of {side} pixels inside the image"
        raise ValueError(msg)
    for start in range(0, len(sites), batch_size):
        batch = sites[start : start + batch_size]
        patches = np.stack([image.pixels[row : row + side, col : col + side] for row, col in corner[batch]])
        result = extractor(patches.reshape(*patches.shape[:3], -1))
        result = np.asarray(result.detach().cpu() if hasattr(result, "detach") else result, np.float32)
        if result.ndim != 2 or len(result) != len(batch):
            msg = f"extractor must return an array of shape ({len(batch)}, n_features), found {result.shape}"
            raise ValueError(msg)
        found.append(result)
    features = np.zeros((len(coordinates), found[0].shape[1]), np.float32)
    features[sites] = np.concatenate(found)
    return Description(features, [f"feature{i}" for i in range(features.shape[1])], ~inside)


def _stains(pixels: Float32) -> tuple[Float32, Float32, Float32]:
    """Return haematoxylin and eosin (h, w, 2), visible pixels and optical density (h, w) of RGB(A), 0 to 1."""
    colour = np.ascontiguousarray(np.moveaxis(pixels[..., :3], -1, 0))  # reductions over a short last axis are slow
    visible = np.ones_like(colour[0]) if pixels.shape[-1] == 3 else (pixels[..., 3] > 0.5).astype(np.float32)
    brightest, darkest = colour.max(axis=0), colour.min(axis=0)
    saturation = (brightest - darkest) / np.maximum(brightest, 1e-6)
    density = -np.log10(np.maximum(colour, 1 / 255))
    pen = (density[0] > INK * density[1]) & (saturation > SATURATED)
    visible[pen | (brightest < DARK)] = 0
    return rgb2hed(pixels[..., :3])[..., :2].astype(np.float32), visible, density.mean(axis=0)


@dataclass(frozen=True)
class Misfit:
    """A location at which an image explains more of the expression (cross-validated fractions of the variance)."""

    place: str
    explained_here: float
    explained_there: float


def check_registration(
    describe: Callable[[Float64], tuple[Float32, NDArray[np.bool_]]],
    spots: Float64,
    values: Float32,
    spacing: float,
    box: tuple[Float64, Float64],
    factors: Sequence[float] = (),
) -> Misfit | None:
    """Return a shifted, mirrored, rotated or rescaled location at which the image fits clearly better, or None.

    `describe` maps coordinates (n, 2) to features (n, n_features) and where they are missing. `values` (n_spots,
    n_genes) are measured at `spots` (n_spots, 2), which are `spacing` apart. `box` holds the smallest and the largest
    coordinates of the image, and `factors` the scale factors of the coordinates to test.
    """
    if len(spots) < FEWEST:
        return None
    scores, in_place = _leading(values), describe(spots)
    overall: View = np.asarray
    local = _local(spots)

    def clearly(gain: Float64, doubt: float) -> bool:
        return bool(gain.sum() > doubt * gain.std() * np.sqrt(len(gain)))

    here = {view: _errors(*in_place, scores, view) for view in (overall, local)}
    # Large structures, of which a part of a section has few, may fit better at a wrong location. Differences between
    # neighbouring spots hardly do: shifts are tested on them alone, other locations on both.
    tried: list[tuple[Iterator[tuple[str, Float64]], dict[View, float]]] = [
        (_turned(spots, box, factors), {overall: DOUBT, local: LOCAL_DOUBT}),
        (_shifted(spots, spacing), {local: DOUBT}),
    ]
    tried = tried[: 2 if in_place[1].mean() < 0.5 else 1]  # beside the section, small shifts are no remedy
    for places, tests in tried:
        view, found = next(iter(tests)), []
        total = max(float(np.square(view(scores)).sum()), 1e-12)
        for place, moved in places:
            described = describe(moved)
            there = {view: _errors(*described, scores, view) for view in tests}
            misfit = Misfit(place, *(float(1 - each[view].sum() / total) for each in (here, there)))
            better = all(clearly(here[view] - there[view], doubt) for view, doubt in tests.items())
            if better and misfit.explained_there > EXPLAINED:
                found.append(misfit)
        if found:
            return max(found, key=lambda misfit: misfit.explained_there)
    return None


def check_covariates(section: SectionOnLattice, covariates: Float64) -> Misfit | None:
    """Check the registration of covariates (n_sites, k) whose image is not known; see :func:`check_registration`.

    The leading components are interpolated between sites. Locations are relative to the lattice and in spot spacings:
    the sites are shifted, or turned within their bounding box.
    """
    at = section.positions(section.measured)
    centred = (covariates - covariates.mean(axis=0)) / np.maximum(covariates.std(axis=0), 1e-9)
    features = (centred @ eigh(centred.T @ centred)[1][:, -COMPONENTS:]).astype(np.float32)
    tree, pitch = cKDTree(at), 1 / section.lattice.spot_pitch(section.measured)

    def describe(moved: Float64) -> tuple[Float32, NDArray[np.bool_]]:
        distance, nearest = (np.asarray(found) for found in tree.query(moved, k=CORNERS))
        weight = np.exp(-0.5 * np.square((distance - distance[:, :1]) / (0.1 * pitch)))[..., None]
        outside = distance[:, 0] > OUTSIDE * pitch
        return (weight * features[nearest]).sum(axis=1) / weight.sum(axis=1), outside

    return check_registration(describe, at[section.measured], section.values, 1.0, (at.min(axis=0), at.max(axis=0)))


def explained_locally(features: Float32, missing: NDArray[np.bool_], spots: Float64, values: Float32) -> float:
    """Return the cross-validated fraction of local differences in expression that features explain.

    Only spots with features count; NaN for fewer than 30.
    """
    if (~missing).sum() < FEWEST:
        return np.nan
    scores, view = _leading(values), _local(spots)
    total = np.square(view(scores)[~missing]).sum()
    return float(1 - _errors(features, missing, scores, view)[~missing].sum() / total) if total > 0 else np.nan


def _leading(values: Float32) -> Float64:
    """Return the scores of the leading components, (n_spots, n_components)."""
    left, strength, _ = svd(values - values.mean(axis=0), full_matrices=False)
    return np.asarray((left * strength)[:, :COMPONENTS], np.float64)


def _local(spots: Float64) -> View:
    """Return the function that subtracts the mean of the nearest spots from values (n_spots, n)."""
    neighbours = np.asarray(cKDTree(spots).query(spots, k=NEIGHBOURS + 1)[1])[:, 1:]
    return lambda values: np.asarray(values - values[neighbours].mean(axis=1))


def _shifted(spots: Float64, spacing: float) -> Iterator[tuple[str, Float64]]:
    for steps in SHIFTS:
        for angle in np.deg2rad(range(0, 360, 45)):
            shift = np.round([np.cos(angle), np.sin(angle)], 6) * steps * spacing + 0.0
            yield f"shifted by x {shift[0]:+.3g}, y {shift[1]:+.3g}", spots + shift


def _turned(spots: Float64, box: tuple[Float64, Float64], factors: Sequence[float]) -> Iterator[tuple[str, Float64]]:
    extent = box[1] - box[0]
    centre = box[0] + extent / 2
    x, y = (spots - centre).T
    across, down = (spots - (box[0] + extent[::-1] / 2)).T  # a quarter turn exchanges width and height
    yield "with x and y swapped", spots[:, ::-1]
    for name, pair in {
        "mirrored left to right": (-x, y),
        "mirrored upside down": (x, -y),
        "rotated by 180 degrees": (-x, -y),
        "rotated by 90 degrees": (-down, across),
        "rotated by 270 degrees": (down, -across),
        "mirrored about a diagonal": (-down, -across),
    }.items():
        yield name, np.column_stack(pair) + centre
    for factor in factors:
        yield f"multiplied by {factor:.4g}", spots * factor


def _errors(features: Float32, missing: NDArray[np.bool_], scores: Float64, view: View) -> Float64:
    """Return squared leave-one-out errors of ridge regression, (n_spots,); nothing is explained without features."""
    wanted = view(scores)
    result = np.square(wanted).sum(axis=1)
    if (~missing).sum() < FEWEST:
        return np.asarray(result)
    design = view(np.where(missing[:, None], features[~missing].mean(axis=0), features).astype(np.float64))[~missing]
    design, wanted = (design - design.mean(axis=0)) / np.maximum(design.std(axis=0), 1e-9), wanted[~missing]
    left, strength, _ = svd(design, full_matrices=False)
    rotated, n = left.T @ wanted, len(wanted)
    errors: list[Float64] = []
    for penalty in np.geomspace(1e-3, 10, 9) * n:
        kept = np.square(strength) / (np.square(strength) + penalty)
        leverage = np.square(left) @ kept + 1 / n
        errors.append(np.square((wanted - left @ (kept[:, None] * rotated)) / (1 - leverage)[:, None]).sum(axis=1))
    result[~missing] = min(errors, key=np.sum)
    return np.asarray(result)
