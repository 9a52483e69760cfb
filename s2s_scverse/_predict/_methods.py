"""Predictors by name."""

from collections.abc import Callable
from typing import Any, Final, Literal, Protocol, get_args

from ._arrays import Float, Float32, Float64, check_points, check_values
from ._classical import cubic, idw, linear, nearest, rbf
from ._coregionalization import Coregionalization
from ._kriging import Kriging
from ._pca_kriging import PCAKriging
from ._stack import MIN_SPOTS, Stack, StackingWeights
from ._state_kriging import StateKriging

__all__ = ["METHODS", "MULTI_GENE", "Method", "Predictor", "fit"]

Method = Literal[
    "nearest", "linear", "cubic", "idw", "rbf", "kriging", "pca_kriging", "coregionalization", "state_kriging", "stack"
]
METHODS: Final[tuple[str, ...]] = get_args(Method)
MULTI_GENE: Final = ("pca_kriging", "coregionalization", "state_kriging", "stack")
"""Methods that learn from other genes."""


class Predictor(Protocol):
    """Predicts any block of genes at fixed sites from fixed spots."""

    def tune(self, values: Float) -> Any:
        """Choose the hyper-parameters of each of the genes (n, n_genes) by leave-one-out."""

    def maps(self, values: Float, settings: Any = None) -> list[Float32]:
        """Predict genes (n, n_genes): (m, n_genes), then the maps that it combines; tuned without settings."""


Interpolation = Callable[[Float64, Float32, Float64], Float32]
CLASSICAL: Final[dict[str, Interpolation]] = {
    function.__name__: function for function in (nearest, linear, cubic, idw, rbf)
}


class Classical:
    """A method without hyper-parameters, as a :class:`Predictor`."""

    def __init__(self, function: Interpolation, spots: Float64, sites: Float64) -> None:
        self._function, self._spots, self._sites = function, spots, sites

    def tune(self, values: Float) -> None:
        """Choose nothing."""

    def maps(self, values: Float, settings: None = None) -> list[Float32]:  # noqa: ARG002
        """Predict genes (n, n_genes), (m, n_genes)."""
        return [self._function(self._spots, check_values(values, self._spots), self._sites)]


def fit(
    method: Method,
    spots: Float,
    sites: Float,
    informative: Float | None = None,
    *,
    noise_weights: Float64 | None = None,
    stacking: StackingWeights | None = None,
) -> Predictor:
    """Fit a predictor to positions, and to the genes (n, n_informative) that `MULTI_GENE` methods learn from.

    Spots (n, 2) and sites (m, 2) are in units of the spot spacing; noise weights (n,) are used by all kriging methods,
    stacking weights, from :meth:`CrossValidation.stacking_weights`, by the stack (by default those of PCA kriging).
    With less than 20 spots, coregionalization and state kriging are PCA kriging.
    """
    if method in CLASSICAL:
        return Classical(CLASSICAL[method], *check_points(spots, sites))
    kriging = Kriging(spots, sites, noise_weights=noise_weights)
    if method == "kriging":
        return kriging
    if method not in MULTI_GENE or informative is None:
        msg = f"method must be one of {', '.join(METHODS)}, found {method!r}"
        raise ValueError(msg)
    values = check_values(informative, kriging.spots)
    if method == "stack":
        return Stack(kriging, values, weights=stacking)
    enough = len(values) >= MIN_SPOTS
    if method == "coregionalization" and enough:
        return Coregionalization(spots, sites, values, noise_weights=noise_weights)
    components = PCAKriging(kriging, values)
    return StateKriging(components) if method == "state_kriging" and enough else components
