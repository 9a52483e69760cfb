"""One function for every classical answer."""

from collections.abc import Callable
from typing import Final, Literal, get_args

from . import _classical
from ._checks import check_points, check_values
from ._cokriging import CoKriging
from ._kriging import Kriging
from ._types import Float, Float32

__all__ = ["METHODS", "Method", "interpolate", "interpolator"]

Method = Literal["nearest", "linear", "cubic", "idw", "rbf", "kriging", "cokriging"]
METHODS: Final[tuple[str, ...]] = get_args(Method)


def interpolate(method: Method, spots: Float, values: Float, sites: Float) -> Float32:
    """Predict genes at unmeasured sites from measured spots: `interpolator` of these genes, applied to them."""
    return interpolator(method, spots, sites, values)(values)


def interpolator(method: Method, spots: Float, sites: Float, informative: Float) -> Callable[[Float], Float32]:
    """Prepare to predict any genes at unmeasured sites from measured spots.

    Parameters
    ----------
    method
        One of `METHODS`.
    spots
        (n, 2) positions of the measured spots, in units of the spot pitch.
    sites
        (m, 2) where to predict, same units.
    informative
        (n, n_informative) measured values that components shared by genes are made of.

    Returns
    -------
    A function of values (n, n_genes) that returns (m, n_genes) float32.

    Raises
    ------
    ValueError
        If `method` is unknown or the arrays do not fit.
    """
    if method not in METHODS:
        msg = f"method: expected one of {', '.join(METHODS)}, found {method!r}."
        raise ValueError(msg)
    positions, targets = check_points(spots, sites)
    if method == "kriging":
        kriging = Kriging(positions, targets)
        return lambda values: kriging.predict(values).sites
    if method == "cokriging":
        components = CoKriging(Kriging(positions, targets), check_values(informative, positions))
        return lambda values: components.predict(values).sites
    classical = {
        "nearest": _classical.nearest,
        "linear": _classical.linear,
        "cubic": _classical.cubic,
        "idw": _classical.idw,
        "rbf": _classical.rbf,
    }
    return lambda values: classical[method](positions, check_values(values, positions), targets)
