"""Check of the registration of an image: regression of expression on image features at other locations."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import svd
from scipy.spatial import cKDTree

__all__ = ["Misfit", "check_registration", "explained_locally"]

Float64 = NDArray[np.float64]

FEWEST: Final = 30  # number of spots below which the registration is not checked
COMPONENTS, NEIGHBOURS = 10, 8
SHIFTS: Final = (0.5, 1.0, 1.5, 2.0)  # in spot spacings
DOUBT: Final = 2.0  # standard errors by which another location must explain more
EXPLAINED: Final = 0.02  # fraction of the variance that it must explain


@dataclass(frozen=True)
class Misfit:
    """A location at which an image explains more of the expression (cross-validated fractions of the variance)."""

    place: str
    explained_here: float
    explained_there: float


def check_registration(
    describe: Callable[[Float64], tuple[NDArray[np.float32], NDArray[np.bool_]]],
    spots: Float64,
    values: NDArray[np.float32],
    spacing: float,
    box: tuple[Float64, Float64],
    factors: Sequence[float] = (),
) -> Misfit | None:
    """Return a shifted, mirrored, rotated or rescaled location at which the image fits clearly better, or None.

    Parameters
    ----------
    describe
        Function of coordinates (n, 2) that returns features (n, n_features), and where they are missing.
    spots
        (n_spots, 2) coordinates.
    values
        (n_spots, n_genes) measured values.
    spacing
        Distance between neighbouring spots, in units of the coordinates.
    box
        Smallest and largest coordinates of the image, (2,) each.
    factors
        Scale factors of the coordinates to test.
    """
    if len(spots) < FEWEST:
        return None
    scores, local = _leading(values), partial(_local, spots)
    # Shifts are tested on local differences, since large structures can fit better at a wrong location.
    for places, view in ((_turned(spots, box, factors), np.asarray), (_shifted(spots, spacing), local)):
        wanted = view(scores)
        squares = np.square(wanted).sum(axis=1)
        here, total = _errors(*describe(spots), wanted, view), squares.sum()
        here = squares if here is None else here  # nothing is explained on background
        best: Misfit | None = None
        for place, moved in places:
            there = _errors(*describe(moved), wanted, view)
            if there is None or not total > 0:
                continue
            gain, explained = here - there, float(1 - there.sum() / total)
            clear = gain.sum() > DOUBT * gain.std() * np.sqrt(len(gain)) and explained > EXPLAINED
            if clear and (best is None or explained > best.explained_there):
                best = Misfit(place, float(1 - here.sum() / total), explained)
        if best is not None:
            return best
    return None


def explained_locally(
    features: NDArray[np.float32], missing: NDArray[np.bool_], spots: Float64, values: NDArray[np.float32]
) -> float:
    """Return the cross-validated fraction of local differences in expression that features explain.

    These are differences of the leading components of `values` from the mean of the nearest spots. NaN for fewer than
    30 spots, or if features are missing at most of them.
    """
    if len(spots) < FEWEST:
        return np.nan
    view = partial(_local, spots)
    wanted = view(_leading(values))
    errors, total = _errors(features, missing, wanted, view), np.square(wanted).sum()
    return np.nan if errors is None or not total > 0 else float(1 - errors.sum() / total)


def _leading(values: NDArray[np.float32]) -> Float64:
    """Return the scores of the leading components, (n_spots, n_components)."""
    left, strength, _ = svd(values - values.mean(axis=0), full_matrices=False)
    return np.asarray((left * strength)[:, :COMPONENTS], np.float64)


def _local(spots: Float64, of_spots: Float64) -> Float64:
    """Return differences from the mean of the nearest spots."""
    neighbours = np.asarray(cKDTree(spots).query(spots, k=NEIGHBOURS + 1)[1])[:, 1:]
    return np.asarray(of_spots - of_spots[neighbours].mean(axis=1))


def _shifted(spots: Float64, spacing: float) -> Iterator[tuple[str, Float64]]:
    for steps in SHIFTS:
        for angle in np.deg2rad(range(0, 360, 45)):
            shift = np.array([np.cos(angle), np.sin(angle)]) * steps * spacing
            yield f"shifted by x {shift[0]:+.3g}, y {shift[1]:+.3g}", spots + shift


def _turned(spots: Float64, box: tuple[Float64, Float64], factors: Sequence[float]) -> Iterator[tuple[str, Float64]]:
    centre = (box[0] + box[1]) / 2
    x, y = (spots - centre).T
    yield "with x and y swapped", spots[:, ::-1]
    for name, pair in {
        "mirrored left to right": (-x, y),
        "mirrored upside down": (x, -y),
        "rotated by 180 degrees": (-x, -y),
        "rotated by 90 degrees": (-y, x),
        "rotated by 270 degrees": (y, -x),
        "mirrored about a diagonal": (-y, -x),
    }.items():
        yield name, np.column_stack(pair) + centre
    for factor in factors:
        yield f"multiplied by {factor:.4g}", spots * factor


def _errors(
    features: NDArray[np.float32], missing: NDArray[np.bool_], wanted: Float64, view: Callable[[Float64], Float64]
) -> Float64 | None:
    """Return squared leave-one-out errors of ridge regression, (n_spots,); None if most features are missing."""
    if missing.mean() > 0.5:
        return None
    design = view(np.where(missing[:, None], features[~missing].mean(axis=0), features).astype(np.float64))
    design = (design - design.mean(axis=0)) / np.maximum(design.std(axis=0), 1e-9)
    left, strength, _ = svd(design, full_matrices=False)
    rotated, n = left.T @ wanted, len(wanted)
    best: Float64 | None = None
    for penalty in np.geomspace(1e-3, 10, 9) * n:
        kept = np.square(strength) / (np.square(strength) + penalty)
        leverage = np.square(left) @ kept + 1 / n
        errors = np.square((wanted - left @ (kept[:, None] * rotated)) / (1 - leverage)[:, None]).sum(axis=1)
        if best is None or errors.sum() < best.sum():
            best = errors
    return best
