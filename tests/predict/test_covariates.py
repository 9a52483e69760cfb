"""Kriging with covariates."""

import numpy as np
import pytest

from s2s_scverse._predict import CrossValidation, fit


@pytest.fixture(scope="module")
def section() -> dict[str, np.ndarray]:
    """Genes that depend on a pattern too fine for the spots, which one covariate shows."""
    rng = np.random.default_rng(0)
    sites = np.stack(np.meshgrid(np.arange(24.0), np.arange(24.0)), axis=-1).reshape(-1, 2) / 2
    measured = np.all(sites % 1 == 0, axis=1)
    pattern = rng.standard_normal(len(sites))
    smooth = np.sin(sites[:, 0] / 3)
    loadings = rng.standard_normal((2, 30))
    truth = np.column_stack([pattern, smooth]) @ loadings
    values = (truth + 0.5 * rng.standard_normal(truth.shape))[measured].astype(np.float32)
    other = rng.standard_normal((len(sites), 3))
    covariates = np.column_stack([pattern + 0.2 * rng.standard_normal(len(sites)), other])
    return {"sites": sites, "measured": measured, "truth": truth, "values": values, "covariates": covariates}


def predicted(section: dict[str, np.ndarray], covariates: np.ndarray | None) -> np.ndarray:
    sites, measured, values = section["sites"], section["measured"], section["values"]
    seen = None if covariates is None else covariates[measured]
    folds = CrossValidation("stack", sites[measured], values, covariates=seen)
    stacking = folds.stacking_weights(sites[~measured])
    both = None if covariates is None else (covariates[measured], covariates[~measured])
    predictor = fit("stack", sites[measured], sites[~measured], values, stacking=stacking, covariates=both)
    return predictor.maps(values)[0]


def correlation(section: dict[str, np.ndarray], found: np.ndarray) -> float:
    truth = section["truth"][~section["measured"]]
    return float(np.mean([np.corrcoef(found[:, gene], truth[:, gene])[0, 1] for gene in range(truth.shape[1])]))


def test_a_covariate_shows_what_spots_cannot(section: dict[str, np.ndarray]) -> None:
    without = correlation(section, predicted(section, None))
    assert correlation(section, predicted(section, section["covariates"])) > without + 0.2


@pytest.mark.parametrize("kind", ["shuffled", "constant", "noise"])
def test_useless_covariates_do_no_harm(section: dict[str, np.ndarray], kind: str) -> None:
    rng, covariates = np.random.default_rng(1), section["covariates"]
    useless = {
        "shuffled": rng.permutation(covariates),
        "constant": np.zeros_like(covariates),
        "noise": rng.standard_normal((len(covariates), 8)),
    }[kind]
    plain, found = predicted(section, None), predicted(section, useless)
    truth = section["truth"][~section["measured"]]
    error = np.sqrt(np.square(found - truth).mean()) / np.sqrt(np.square(plain - truth).mean())
    assert error < 1.01


def test_order_and_scale_of_covariates_do_not_matter(section: dict[str, np.ndarray]) -> None:
    found = predicted(section, section["covariates"])
    other = predicted(section, 3 * section["covariates"][:, ::-1])
    np.testing.assert_allclose(other, found, atol=2e-3)


@pytest.mark.parametrize("method", ["kriging", "pca_kriging", "state_kriging"])
def test_external_drift(section: dict[str, np.ndarray], method: str) -> None:
    sites, measured, covariates = section["sites"], section["measured"], section["covariates"]
    arguments = (method, sites[measured], sites[~measured], section["values"])
    drift = fit(*arguments, covariates=(covariates[measured], covariates[~measured])).maps(section["values"])[0]
    assert correlation(section, drift) > correlation(section, fit(*arguments).maps(section["values"])[0]) + 0.2


def test_useless_drift_costs_little(section: dict[str, np.ndarray]) -> None:
    sites, measured = section["sites"], section["measured"]
    covariates = np.random.default_rng(1).standard_normal((len(sites), 2))
    drift = fit(
        "kriging", sites[measured], sites[~measured], covariates=(covariates[measured], covariates[~measured])
    ).maps(section["values"])[0]
    plain = fit("kriging", sites[measured], sites[~measured]).maps(section["values"])[0]
    assert correlation(section, drift) > correlation(section, plain) - 0.04


def test_doubtful_covariates_count_less(section: dict[str, np.ndarray]) -> None:
    sites, measured, values = section["sites"], section["measured"], section["values"]
    shares = []
    for covariates in (section["covariates"], np.random.default_rng(1).permutation(section["covariates"])):
        folds = CrossValidation("stack", sites[measured], values, covariates=covariates[measured])
        shares.append(sum(folds.stacking_weights(sites[~measured]).members[5:]))
    assert shares[0] > 0.5
    assert shares[1] < 0.2
