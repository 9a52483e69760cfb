"""Cross-validation of predictors, and stacking weights."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
from scipy.optimize import nnls
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from .._lattice import SectionOnLattice
from ._arrays import Bool, Float, Float32, Float64, Index
from ._kriging import Kriging
from ._methods import Method, Predictor, fit, section_noise_weights
from ._stack import MEMBERS, MIN_STACKED, REACH, Stack, StackingWeights, farness
from ._threads import parallel

__all__ = ["MAX_CROSS_VALIDATED", "CrossValidation", "folds"]

FOLDS: Final = 5
MAX_CROSS_VALIDATED: Final = 1500  # number of spots that are cross-validated on larger sections
_RARE = 0.01  # fraction of sites far from all spots above which the stack is weighted separately there
_BLOCK = 20  # number of spots in the blocks that are held out for that
_PARTITIONS = 4  # number of partitions into blocks: a single one is too variable

Part = tuple[int, Index, Bool]
"""Number of a fold, its spots (n_test,), and the spots that they are predicted from, (n,)."""


class CrossValidation:
    """Cross-validation of a method on the measured spots of a section.

    The weights of a stack are `stacking`, or are determined for the wanted sites. Predicted are about `limit` spots,
    spread over the section, at most a fifth at a time: `chosen` (n_chosen,), at a `distance` (n_chosen,) from the
    nearest spot of other folds; `fold` (n,) is -1 for others.
    """

    def __init__(
        self,
        section: SectionOnLattice,
        method: Method,
        *,
        stacking: StackingWeights | None = None,
        limit: int = MAX_CROSS_VALIDATED,
        seed: int,
    ) -> None:
        measured, informative = section.measured, section.values
        at, noise_weights = section.positions(measured), section_noise_weights(section, measured)
        spots, covariates = at[measured], None if section.covariates is None else section.covariates[measured]
        self._spots, self._informative, self._noise_weights = spots, informative, noise_weights
        self._covariates, self._limit, self._seed = covariates, limit, seed
        self.fold = folds(informative, limit, seed)
        self.chosen = np.flatnonzero(self.fold >= 0)
        self._members: dict[int, tuple[list[Float32], Float32]] = {}
        few = len(spots) < MIN_STACKED or not np.ptp(informative, axis=0).any()
        if method == "stack" and stacking is None and few:
            stacking = StackingWeights()

        def fitted(part: Part) -> tuple[int, Predictor]:
            number, test, train = part
            weights = None if noise_weights is None else noise_weights[train]
            both = None if covariates is None else (covariates[train], covariates[test])
            data = spots[train], spots[test], informative[train]
            predictor = fit(method, *data, noise_weights=weights, stacking=stacking, covariates=both)
            if isinstance(predictor, Stack):
                predictor.components.kriging.forget_smooth()  # components are kriged by now
            return number, predictor

        parts = list(_partition(spots, self.fold))
        self._predictors: dict[int, Any] = dict(parallel(fitted, parts))
        distance = np.zeros(len(spots))
        for _, test, train in parts:
            distance[test] = cKDTree(spots[train]).query(spots[test])[0]
        self.distance = distance[self.chosen]
        self.stacking = stacking
        if method == "stack" and stacking is None:
            self.stacking = self._stacking_weights(at[section.wanted])

    def predict(self, values: Float, settings: Any = None) -> Float32:
        """Predict genes (n, n_genes) at the chosen spots, (n_chosen, n_genes).

        `settings` are those of a predictor of all spots; by default each fold is tuned separately.
        """
        return self._joined(lambda fold: self._predictors[fold].maps(values[self.fold != fold], settings)[:1])[0]

    def predict_twice(self, values: Float, settings: Any) -> list[Float32]:
        """Return the predictions of a stack with covariates, and with the weights that it has without covariates."""

        def both(fold: int) -> list[Float32]:
            stack = self._predictors[fold]
            members = stack.members(values[self.fold != fold], settings)
            return [stack.combine(*members), stack.combine(*members, stack.weights.unguided)]

        return self._joined(both)

    def predict_informative(self) -> Float32:
        """Predict the informative genes at the chosen spots, (n_chosen, n_informative)."""
        return self.predict_parts()["stack"] if self._members else self.predict(self._informative)

    def predict_parts(self) -> dict[str, Float32]:
        """Predict the informative genes at the chosen spots by parts of a stack, (n_chosen, n_informative) each.

        Returns an empty dictionary if the method is no stack, or its weights were given.
        """
        if not self._members:
            return {}

        def parts(fold: int) -> list[Float32]:
            (members, pca), stack = self._members[fold], self._predictors[fold]
            weights = [stack.weights.members, stack.weights.unguided]
            return [members[0], pca, *(stack.combine(members, pca, each) for each in weights if each)]

        names = ("kriging", "pca_kriging", "stack", "stack_without_covariates")
        return dict(zip(names, self._joined(parts), strict=False))

    def _joined(self, predict: Callable[[int], list[Float32]]) -> list[Float32]:
        """Predict every fold and put the folds together, (n_chosen, n_genes) each."""
        numbers, fold = list(self._predictors), self.fold[self.chosen]
        of_folds = parallel(predict, numbers)
        joined = [np.empty((len(fold), part.shape[1]), np.float32) for part in of_folds[0]]
        for number, parts in zip(numbers, of_folds, strict=True):
            for whole, part in zip(joined, parts, strict=True):
                whole[fold == number] = part
        return joined

    def _stacking_weights(self, sites: Float64) -> StackingWeights:
        """Determine the weights of the stack for sites (m, 2), and use them from now on.

        They minimise the cross-validated squared error of genes of unit variance. If more than 1 % of the sites are far
        from all spots, the share of the stack there is determined by holding out blocks of spots.
        """
        varying = np.ptp(self._informative, axis=0) > 0
        stacks, fold = self._predictors, self.fold
        self._members = dict(parallel(lambda i: (i, stacks[i].members(self._informative[fold != i])), stacks))
        predicted = [(maps, fold == number) for number, (maps, _) in self._members.items()]
        square, cross = _moments(self._informative, varying, len(predicted[0][0]), predicted)
        weights = StackingWeights(_simplex(square, cross))
        if self._covariates is not None:
            weights = self._shrunken(weights, square, cross, varying)
        for stack in stacks.values():
            stack.weights = weights
        kriging = Kriging(self._spots, sites, noise_weights=self._noise_weights)
        if np.sum(farness(kriging) > 0) > _RARE * len(sites):
            weights = replace(weights, far=self._far_share(np.array(weights.members), kriging, varying))
        return weights

    def _shrunken(self, weights: StackingWeights, square: Float64, cross: Float64, varying: Bool) -> StackingWeights:
        """Shrink weights towards those without covariates, by the fraction 2 e²/d² (at most 1).

        Covariates reduce the mean squared error of spots by d, with standard error e. With a factor of 0 or 1 instead
        of 2, shuffled images of small sections do two or three times as much harm.
        """
        count = len(MEMBERS)
        unguided = (*_simplex(square[:count, :count], cross[:count]), *np.zeros(len(cross) - count))
        scale = np.maximum(self._informative[:, varying].std(axis=0), 1e-6)
        gain = np.zeros(len(self._informative))
        for number, (members, pca) in self._members.items():
            test = self.fold == number
            for sign, each in ((1, unguided), (-1, weights.members)):
                missed = self._predictors[number].combine(members, pca, each) - self._informative[test]
                gain[test] += sign * np.square(missed[:, varying] / scale).sum(axis=1)
        gain = gain[self.chosen]
        mean, doubt = gain.mean(), gain.var() / len(gain)
        share = max(0.0, 1 - 2 * doubt / mean**2) if mean > 0 else 0.0
        mixed = share * np.array(weights.members) + (1 - share) * np.array(unguided)
        return StackingWeights(tuple(mixed.tolist()), unguided=unguided)

    def _far_share(self, members: Float64, kriging: Kriging, varying: Bool) -> float:
        """Return the share of the stack, the rest being PCA kriging, at sites far from all spots."""
        piece = kriging.sample(self._limit)
        spots, weights, informative = kriging.spots[piece], kriging.noise_weights[piece], self._informative[piece]
        covariates = None if self._covariates is None else self._covariates[piece]
        blocks = [_blocks(spots, informative, rng) for rng in np.random.default_rng(self._seed).spawn(_PARTITIONS)]
        parts = [part for fold in blocks for part in _partition(spots, fold, beyond=REACH)]

        def predicted(part: Part) -> list[Float32]:
            _, test, train = part
            kriging = Kriging(spots[train], spots[test], noise_weights=weights[train])
            both = None if covariates is None else (covariates[train], covariates[test])
            return Stack(kriging, informative[train], covariates=both).members(informative[train])[0]

        held = (test for _, test, _ in parts)
        square, cross = _moments(informative, varying, len(members), zip(parallel(predicted, parts), held, strict=True))
        start = np.pad(StackingWeights().members, (0, len(members) - len(MEMBERS)))
        step = members - start
        power = step @ square @ step
        return float(np.clip(step @ (cross - square @ start) / power, 0, 1)) if power > 0 else 1.0


def _moments(
    informative: Float32, varying: Bool, n: int, predictions: Iterable[tuple[list[Float32], Bool | Index]]
) -> tuple[Float64, Float64]:
    """Return products of the members' predictions, (n_members, n_members), and with the values, (n_members,).

    Each item of `predictions` holds the members' predictions (n_spots, n_genes) and the spots.
    """
    values = informative[:, varying]
    scale = np.maximum(values.std(axis=0), 1e-6)
    square, cross = np.zeros((n, n)), np.zeros(n)
    for members, spots in predictions:
        flat = (np.stack(members)[:, :, varying] / scale).reshape(len(members), -1).astype(np.float64)
        square += flat @ flat.T
        cross += flat @ (values[spots] / scale).ravel()
    return square, cross


def folds(values: Float32, limit: int = MAX_CROSS_VALIDATED, seed: int = 0) -> Index:
    """Draw the cross-validation fold of every spot of `values` (n, n_genes), (n,); -1 for none.

    Folds hold at most a fifth of the spots; of more than `limit` spots, about `limit` random ones are in a fold.
    """
    n = len(values)
    n_parts = max(FOLDS, -(-n // limit))
    n_folds = FOLDS if n <= limit else max(1, round(limit * n_parts / n))
    fold = _shuffled(values, np.random.default_rng(seed)) % n_parts
    return np.where(fold < n_folds, fold, -1)


def _partition(spots: Float64, fold: Index, beyond: float = 0.0) -> Iterator[Part]:
    """Yield the number of each fold, its spots farther than `beyond` from all others, and the spots of other folds."""
    for number in range(fold.max() + 1):
        test, train = np.flatnonzero(fold == number), fold != number
        if beyond and len(test) and train.any():
            test = test[cKDTree(spots[train]).query(spots[test])[0] > beyond]
        if len(test) and train.any():
            yield number, test, train


def _blocks(spots: Float64, values: Float32, rng: np.random.Generator) -> Index:
    """Draw folds of blocks, (n,): the spots nearest to each of some random spots."""
    centres = spots[np.argsort(_shuffled(values, rng))[: max(FOLDS, len(spots) // _BLOCK)]]
    # Ties go to the first centre.
    return np.asarray((cdist(spots, centres) + 1e-6 * np.arange(len(centres))).argmin(axis=1) % FOLDS)


def _shuffled(values: Float32, rng: np.random.Generator) -> Index:
    """Draw a random permutation of the spots, (n,), that does not depend on their order or orientation."""
    permutation = np.empty(len(values), np.intp)
    order = np.argsort(values.sum(axis=1, dtype=np.float64), kind="stable")
    permutation[order] = rng.permutation(len(values))
    return permutation


def _simplex(square: Float64, cross: Float64) -> tuple[float, ...]:
    """Minimise w'Aw - 2b'w subject to w >= 0 and sum(w) = 1, the latter by a heavily weighted row."""
    root = np.linalg.cholesky(square + 1e-9 * np.trace(square) * np.eye(len(square)))
    heavy = 1e3 * np.sqrt(np.trace(square))
    weights, _ = nnls(np.vstack([root.T, np.full(len(square), heavy)]), np.append(np.linalg.solve(root, cross), heavy))
    return tuple(float(weight) for weight in weights / weights.sum())
