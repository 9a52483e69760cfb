"""One function for every classical answer."""

from typing import Final, Literal, get_args

from . import _classical
from ._checks import check_points, check_values
from ._cokriging import CoKriging
from ._kriging import Kriging
from ._types import Float, Float32

__all__ = ["METHODS", "Method", "interpolate"]

Method = Literal["nearest", "linear", "cubic", "idw", "rbf", "kriging", "cokriging"]
METHODS: Final[tuple[str, ...]] = get_args(Method)


def interpolate(method: Method, spots: Float, values: Float, sites: Float) -> Float32:
    """Predict all genes at unmeasured sites from measured spots.

    Parameters
    ----------
    method
        One of `METHODS`.
    spots
        (n, 2) positions of the measured spots, in units of the spot pitch.
    values
        (n, n_genes) measured values.
    sites
        (m, 2) where to predict, same units.

    Returns
    -------
    (m, n_genes) float32.

    Raises
    ------
    ValueError
        If `method` is unknown or the arrays do not fit.
    """
    if method not in METHODS:
        msg = f"method: expected one of {', '.join(METHODS)}, found {method!r}."
        raise ValueError(msg)
    positions, targets = check_points(spots, sites)
    measured = check_values(values, positions)
    if method == "kriging":
        return Kriging(positions, targets).predict(measured).sites
    if method == "cokriging":
        return CoKriging(Kriging(positions, targets), measured).predict(measured).sites
    classical = {
        "nearest": _classical.nearest,
        "linear": _classical.linear,
        "cubic": _classical.cubic,
        "idw": _classical.idw,
        "rbf": _classical.rbf,
    }
    return classical[method](positions, measured, targets)
