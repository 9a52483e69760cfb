"""GPBoost: a Gaussian process (Matern 3/2, likelihood, Vecchia) for each of 25 components; ``--trees``: with trees.

With trees, the image's components enter boosted regression trees that are fitted jointly with the process; the number
of trees is chosen by cross-validation on measured spots, one number for all components.
"""

import gpboost as gpb
import numpy as np
from task import answer, principal_components, standardised

TREES = {"objective": "regression", "learning_rate": 0.1, "max_depth": 2, "min_data_in_leaf": 5, "verbose": -1}
MOST_TREES, CHOSEN_BY = 60, 3


def process(spots: np.ndarray) -> gpb.GPModel:
    approximation = {"gp_approx": "vecchia", "num_neighbors": 20} if len(spots) > 300 else {}
    return gpb.GPModel(
        gp_coords=spots, cov_function="matern", cov_fct_shape=1.5, likelihood="gaussian", **approximation
    )


def predict(task: dict[str, np.ndarray], *, trees: bool) -> tuple[np.ndarray, np.ndarray]:
    spots, sites = task["spots"], task["sites"]
    scores, loadings, mean, rest = principal_components(task["values"].astype(float))
    known, wanted = standardised(task) if trees else (None, None)
    rounds = number_of_trees(spots, known, scores) if trees else 0
    found, variance = (np.empty((len(sites), scores.shape[1])) for _ in range(2))
    for k, score in enumerate(scores.T):
        model = process(spots)
        if rounds:
            data = gpb.Dataset(known, score, free_raw_data=False)
            booster = gpb.train(TREES, data, gp_model=model, num_boost_round=rounds)
            told = booster.predict(wanted, gp_coords_pred=sites, predict_var=True, pred_latent=False)
            found[:, k], variance[:, k] = told["response_mean"], told["response_var"]
        else:
            ones = np.ones((len(spots), 1))
            model.fit(y=score, X=ones)
            told = model.predict(
                gp_coords_pred=sites, X_pred=np.ones((len(sites), 1)), predict_var=True, predict_response=True
            )
            found[:, k], variance[:, k] = told["mu"], told["var"]
    return mean + found @ loadings, np.sqrt(variance @ np.square(loadings) + rest)


def number_of_trees(spots: np.ndarray, known: np.ndarray, scores: np.ndarray) -> int:
    """Return the number with the least squared error of the leading components, relative to their variances."""
    rng, total = np.random.default_rng(0), np.zeros(MOST_TREES)
    fold = rng.permutation(len(spots)) % 4
    parts = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(4)]
    for score in scores.T[:CHOSEN_BY]:
        data = gpb.Dataset(known, score, free_raw_data=False)
        told = gpb.cv(
            {**TREES, "metric": "mse"},
            data,
            gp_model=process(spots),
            num_boost_round=MOST_TREES,
            folds=parts,
            use_gp_model_for_validation=True,
        )
        key = next(name for name in told if name.endswith("-mean"))
        total += np.asarray(told[key]) / score.var()
    return int(total.argmin()) + 1


if __name__ == "__main__":
    answer(predict, "trees")
