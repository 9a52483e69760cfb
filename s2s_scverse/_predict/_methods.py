"""Predictors by the name of their method."""

from typing import Any, Final, Literal, Protocol, get_args

from ._arrays import Covariates, Float, Float32, Float64, as_float32
from ._classical import CLASSICAL, Classical
from ._coregionalization import Coregionalization
from ._external_drift import ExternalDrift
from ._kriging import Kriging
from ._pca_kriging import PCAKriging
from ._stack import Stack, StackingWeights, too_few_spots
from ._state_kriging import StateKriging

__all__ = ["GUIDED", "METHODS", "MULTI_GENE", "Method", "Predictor", "fit"]

Method = Literal[
    "nearest", "linear", "cubic", "idw", "rbf", "kriging", "pca_kriging", "coregionalization", "state_kriging", "stack"
]
METHODS: Final[tuple[str, ...]] = get_args(Method)
GUIDED: Final = ("kriging", "pca_kriging", "state_kriging", "stack")  # methods that use covariates
MULTI_GENE: Final = ("pca_kriging", "coregionalization", "state_kriging", "stack")  # methods that use other genes


class Predictor(Protocol):
    """Predictor of any block of genes at given sites from given spots."""

    def tune(self, values: Float) -> Any:
        """Choose the hyper-parameters of each of the genes (n, n_genes) by leave-one-out."""

    def maps(self, values: Float, settings: Any = None) -> list[Float32]:
        """Predict genes (n, n_genes): (m, n_genes), followed by the maps that it combines, if any."""


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
    """Fit a predictor for spots (n, 2) and sites (m, 2), in units of the spot spacing.

    `MULTI_GENE` methods are fitted to the genes `informative` (n, n_informative). All kriging methods use noise weights
    (n,); the stack uses stacking weights from :meth:`CrossValidation.stacking_weights`, by default those of PCA
    kriging. `GUIDED` methods use covariates of spots (n, k) and sites (m, k), standardised over the section; all but
    the stack use them as external drift. With too few spots, coregionalization and state kriging are PCA kriging.
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
    values = as_float32(informative)
    if method == "stack":
        return Stack(kriging, values, weights=stacking, covariates=covariates)
    if method == "coregionalization" and not too_few_spots(values):
        return Coregionalization(spots, sites, values, noise_weights=noise_weights)
    components = PCAKriging(kriging, values)
    return StateKriging(components) if method == "state_kriging" and not too_few_spots(values) else components
