"""Predictors by name."""

from typing import Any, Final, Literal, Protocol, get_args

from ._arrays import Covariates, Float, Float32, Float64, check_values
from ._classical import CLASSICAL, Classical
from ._coregionalization import Coregionalization
from ._external_drift import ExternalDrift
from ._kriging import Kriging
from ._pca_kriging import PCAKriging
from ._stack import MIN_SPOTS, Stack, StackingWeights
from ._state_kriging import StateKriging

__all__ = ["GUIDED", "METHODS", "MULTI_GENE", "Method", "Predictor", "fit"]

Method = Literal[
    "nearest", "linear", "cubic", "idw", "rbf", "kriging", "pca_kriging", "coregionalization", "state_kriging", "stack"
]
METHODS: Final[tuple[str, ...]] = get_args(Method)
GUIDED: Final = ("kriging", "pca_kriging", "state_kriging", "stack")  # use covariates
MULTI_GENE: Final = ("pca_kriging", "coregionalization", "state_kriging", "stack")  # learn from other genes


class Predictor(Protocol):
    """Predicts any block of genes at fixed sites from fixed spots."""

    def tune(self, values: Float) -> Any:
        """Choose the hyper-parameters of each of the genes (n, n_genes) by leave-one-out."""

    def maps(self, values: Float, settings: Any = None) -> list[Float32]:
        """Predict genes (n, n_genes): (m, n_genes), then the maps that it combines; tuned without settings."""


def fit(
    method: Method,
    spots: Float,
    sites: Float,
    informative: Float | None = None,
    *,
    noise_weights: Float64 | None = None,
    stacking: StackingWeights | None = None,
    covariates: Covariates | None = None,
) -> Predictor:
    """Fit a predictor to positions, and to the genes (n, n_informative) that `MULTI_GENE` methods learn from.

    Spots (n, 2) and sites (m, 2) are in units of the spot spacing; noise weights (n,) are used by all kriging methods,
    stacking weights, from :meth:`CrossValidation.stacking_weights`, by the stack (by default those of PCA kriging).
    Covariates of spots (n, k) and sites (m, k), standardised over the section, are used by `GUIDED` methods: by all but
    the stack as external drift. With less than 20 spots, coregionalization and state kriging are PCA kriging.
    """
    if method in CLASSICAL:
        return Classical(method, spots, sites)
    kriging = Kriging(spots, sites, noise_weights=noise_weights)
    if covariates is not None and method != "stack":
        kriging = ExternalDrift(kriging, *covariates)
    if method == "kriging":
        return kriging
    if method not in MULTI_GENE or informative is None:
        msg = f"method must be one of {', '.join(METHODS)}, found {method!r}"
        raise ValueError(msg)
    values = check_values(informative, kriging.spots)
    if method == "stack":
        return Stack(kriging, values, weights=stacking, covariates=covariates)
    enough = len(values) >= MIN_SPOTS
    if method == "coregionalization" and enough:
        return Coregionalization(spots, sites, values, noise_weights=noise_weights)
    components = PCAKriging(kriging, values)
    return StateKriging(components) if method == "state_kriging" and enough else components
