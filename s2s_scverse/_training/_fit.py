"""Training on one section: arrays in, a fitted imputer out."""

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from numpy.typing import NDArray
from torch import Tensor

from .._lattice import Lattice, random_sample
from ..nn import CDCIN, CDCINConfig
from ._batches import Batch, Batches, Term
from ._config import TrainingConfig
from ._images import image_box, images_at_sites
from ._maps import KINDS, StartingMaps, Weights, find_weights
from ._module import TrainingPlan
from ._pairs import Views, dense_views, sparser_views
from ._predict import predict_sites, whole_maps
from ._progress import EpochBar
from ._quiet import quiet_lightning
from ._scenes import Scene, build_scene

__all__ = ["MIN_SPOTS", "Fitted", "Section", "fit"]

log = logging.getLogger(__name__)

MIN_SPOTS = 16
"""With fewer measured spots there is nothing to keep aside and little to learn from."""
MAX_VALIDATED = 128
GENE_BLOCK = 256

Images = Callable[[tuple[int, int], int, np.random.Generator], NDArray[np.float32]]
"""Natural images: size, number and generator in, (n, height, width) out."""


@dataclass(frozen=True)
class Section:
    """What may be seen of a section."""

    lattice: Lattice
    measured: NDArray[np.bool_]
    """(n_sites,)."""
    values: NDArray[np.float32]
    """(n_measured, n_genes), the measured values and no others."""


@dataclass(frozen=True)
class Scale:
    """Standardisation of genes on the measured spots."""

    centre: NDArray[np.float32]
    spread: NDArray[np.float32]

    @classmethod
    def of(cls, values: NDArray[np.float32], gene_scale: float | None) -> "Scale":
        """Mean and standard deviation per gene, or 0 and a fixed number."""
        n_genes = values.shape[1]
        if gene_scale is not None:
            return cls(np.zeros(n_genes, np.float32), np.full(n_genes, gene_scale, np.float32))
        centre = values.mean(axis=0, dtype=np.float64).astype(np.float32)
        return cls(centre, values.std(axis=0, dtype=np.float64).astype(np.float32))

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Standardise (n, n_genes)."""
        spread = np.where(self.spread > 0, self.spread, 1).astype(np.float32)
        standard: NDArray[np.float32] = (values - self.centre) / spread
        return standard

    def undo(self, standard: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return to the scale of the values; a constant gene stays constant whatever was predicted."""
        values: NDArray[np.float32] = standard * self.spread + self.centre
        return values


@dataclass(frozen=True)
class Fitted:
    """A network and how to apply it to any gene of its section."""

    section: Section
    informative: NDArray[np.float32]
    weights: Weights | None
    training: TrainingConfig
    network: CDCIN | None
    gate: float
    history: list[dict[str, float]]
    device: torch.device

    def predict(self) -> NDArray[np.float32]:
        """Impute all genes.

        Returns
        -------
        (n_unmeasured, n_genes) on the scale of the values. Not below 0 where no measured value is.
        """
        section = self.section
        maps = StartingMaps(self.training.start, section.lattice, section.measured, self.informative, self.weights)
        unmeasured = torch.from_numpy(np.flatnonzero(~section.measured))
        result = np.empty((len(unmeasured), section.values.shape[1]), dtype=np.float32)
        for start in range(0, result.shape[1], GENE_BLOCK):
            block = section.values[:, start : start + GENE_BLOCK]
            result[:, start : start + GENE_BLOCK] = self._predict_block(maps, block, unmeasured)
        if section.values.min() >= 0:
            np.maximum(result, 0, out=result)
        return result

    def _predict_block(self, maps: StartingMaps, values: NDArray[np.float32], sites: Tensor) -> NDArray[np.float32]:
        section = self.section
        scale = Scale.of(values, self.training.gene_scale)
        if self.network is None:
            start: NDArray[np.float32] = maps(values)[0].T[sites.numpy()]
            return start
        scene = build_scene(
            Views(section.lattice, section.measured, section.measured[None]),
            scale.apply(values),
            np.empty((len(section.lattice), 0), np.float32),
            gene_maps=lambda _lattice, _visible, standard: maps(standard),
            image_maps=lambda _lattice, _visible, standard: maps(standard),
            orientations=np.eye(2, dtype=np.int64)[None],
        )
        position = torch.from_numpy(section.lattice.position)[sites]
        found = [
            gated(self.network, batch, position, self.gate, window=self.training.window, device=self.device)
            for batch in whole_maps(scene, scene.known[0])
        ]
        return scale.undo(torch.cat(found).numpy().T)


def gated(network: CDCIN, batch: Batch, position: Tensor, gate: float, *, window: int, device: torch.device) -> Tensor:
    """Add the gated correction to the starting map; (n_maps, len(position))."""
    start = batch.start.flatten(1)[:, position]
    correction = predict_sites(network, batch, position, window=window, device=device) - start
    return start + gate * correction


def fit(
    section: Section,
    *,
    network: CDCINConfig,
    training: TrainingConfig,
    images: Images | None,
    device: torch.device,
    rng: np.random.Generator,
    progress: bool,
) -> Fitted:
    """Train on one section; see :func:`s2s_scverse.tl.impute`.

    Parameters
    ----------
    section
        Lattice, measured sites, measured values.
    network, training
        Hyper-parameters. `context_channels` and `hexagonal` of the network are set to what the section needs.
    images
        Natural images to learn from besides the genes, or None.
    device
        Where to train and predict.
    rng
        Source of all randomness.
    progress
        Whether to show a bar.
    """
    genes = _most_variable(section.values, training.max_genes)
    informative = section.values[:, genes]
    if len(section.values) < MIN_SPOTS or not len(genes):
        return Fitted(section, informative, None, training, None, 0.0, [], device)
    rng_aside, rng_scenes, rng_network, rng_batches = rng.spawn(4)
    aside = _keep_aside(section.measured, training.validation_fraction, rng_aside)
    known = section.measured & ~aside
    weights = find_weights(training.start, section.lattice, known, informative[known[section.measured]])
    terms, validation = _lay_out(section, informative, known, weights, training, images, rng_scenes)
    config = replace(
        network,
        hexagonal=section.lattice.kind.hexagonal,
        context_channels=(KINDS[training.start] if training.show_maps else 0) + 1 if network.mask_channel else 0,
    )
    with torch.random.fork_rng(devices=[]), quiet_lightning(), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(int(rng_network.integers(2**31)))
        cascade = CDCIN(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        plan = TrainingPlan(cascade, terms, training)
        _train(plan, Batches(terms, validation, training, int(rng_batches.integers(2**31))), device, folder, progress)
    trained = plan.network.to(device).eval()
    gate = _gate(trained, validation, training, device) if training.gate else 1.0
    log.info("trained %d epochs; the network's correction counts %.2f", len(plan.history), gate)
    return Fitted(section, informative, weights, training, trained, gate, plan.history, device)


def _most_variable(values: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """Columns of the n most variable genes; constant ones have nothing to teach."""
    variance = values.var(axis=0, dtype=np.float64)
    order = np.argsort(-variance, kind="stable")[:n]
    return np.sort(order[variance[order] > 0])


def _keep_aside(measured: NDArray[np.bool_], fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Choose measured sites that training never sees; at least two."""
    spots = np.flatnonzero(measured)
    aside = np.zeros(len(measured), dtype=bool)
    aside[spots[random_sample(len(spots), max(fraction, 2 / len(spots)), rng)]] = True
    return aside


def _lay_out(
    section: Section,
    informative: NDArray[np.float32],
    known: NDArray[np.bool_],
    weights: Weights | None,
    training: TrainingConfig,
    images: Images | None,
    rng: np.random.Generator,
) -> tuple[list[Term], list[Batch]]:
    """Build the terms of the loss and the validation maps."""
    lattice = section.lattice
    scale = Scale.of(informative, training.gene_scale)
    standard = scale.apply(informative)
    shown = known[section.measured]
    orientations = lattice.kind.symmetries if training.augment else lattice.kind.symmetries[:1]

    def gene_maps(lattice: Lattice, visible: NDArray[np.bool_], values: NDArray[np.float32]) -> NDArray[np.float32]:
        # Components of standardised genes would be made of noise as much as of signal.
        return StartingMaps(training.start, lattice, visible, values * scale.spread, weights)(values)

    def image_maps(lattice: Lattice, visible: NDArray[np.bool_], values: NDArray[np.float32]) -> NDArray[np.float32]:
        return StartingMaps(training.start, lattice, visible, None)(values)

    def scene(views: Views, rng: np.random.Generator) -> Scene:
        pictures = np.empty((len(views.lattice), 0), np.float32)
        if images is not None and training.n_images and training.image_weight:
            pictures = images_at_sites(images(image_box(views.lattice), training.n_images, rng), views.lattice)
        return build_scene(
            views, standard[shown], pictures, gene_maps=gene_maps, image_maps=image_maps, orientations=orientations
        )

    rng_sparser, rng_dense, rng_images = rng.spawn(3)
    terms = []
    if training.sparser_weight:
        views = sparser_views(lattice, known, n=training.patterns, drop=training.drop, rng=rng_sparser)
        terms += _terms("sparser", scene(views, rng_images), training.sparser_weight, training.image_weight)
    if training.dense_weight:
        views = dense_views(lattice, known, n=training.patterns, drop=training.drop, rng=rng_dense)
        terms += _terms("dense", scene(views, rng_images), training.dense_weight, training.image_weight)
    held = build_scene(
        Views(lattice, section.measured, known[None]),
        standard,
        np.empty((len(lattice), 0), np.float32),
        gene_maps=gene_maps,
        image_maps=image_maps,
        orientations=orientations[:1],
    )
    validated = torch.from_numpy(rng.permutation(informative.shape[1])[:MAX_VALIDATED])
    return terms, whole_maps(held, torch.from_numpy((section.measured & ~known).astype(np.float32)), validated)


def _terms(name: str, scene: Scene, weight: float, image_weight: float) -> list[Term]:
    terms = [Term(f"genes_{name}", scene, images=False, weight=weight)]
    if scene.n_images:
        terms.append(Term(f"images_{name}", scene, images=True, weight=weight * image_weight))
    return terms


def _train(plan: TrainingPlan, data: Batches, device: torch.device, folder: str, progress: bool) -> None:
    """Run lightning and put the best weights back."""
    training = plan.config
    best = ModelCheckpoint(folder, monitor="validation", save_weights_only=True)
    callbacks: list[Callback] = [EarlyStopping("validation", patience=training.patience), best]
    if progress:
        callbacks.append(EpochBar())
    trainer = lightning.Trainer(
        accelerator=device.type,
        devices=1 if device.index is None or device.type == "cpu" else [device.index],
        precision="bf16-mixed" if _use_bf16(training, device) else "32-true",
        max_epochs=training.max_epochs,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(plan, datamodule=data)
    weights: dict[str, Any] = torch.load(best.best_model_path, weights_only=True)["state_dict"]
    plan.load_state_dict(weights)


def _use_bf16(training: TrainingConfig, device: torch.device) -> bool:
    if training.precision != "auto":
        return training.precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # Without hardware support bfloat16 is emulated, and slower than float32.
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return device.type == "cpu" and bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _gate(network: CDCIN, validation: list[Batch], training: TrainingConfig, device: torch.device) -> float:
    """Least-squares factor of the correction at the spots kept aside, within 0 and 1."""
    fits = powers = 0.0
    for batch in validation:
        position = torch.nonzero(batch.weight[0, 0].flatten()).flatten()
        start = batch.start.flatten(1)[:, position]
        correction = predict_sites(network, batch, position, window=training.window, device=device) - start
        fits += float((correction * (batch.target.flatten(1)[:, position] - start)).sum())
        powers += float(correction.square().sum())
    return min(max(fits / powers, 0.0), 1.0) if powers else 0.0
