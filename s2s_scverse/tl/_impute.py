import logging
import time
import warnings
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from .. import _keys
from .._adata import (
    MAX_DISTANCE,
    Inputs,
    Layers,
    check_copy,
    check_run_key,
    check_store,
    covariate_names,
    gene_blocks,
    open_layers,
    read_inputs,
    read_molecules,
    versions,
    write_run,
)
from .._calibration import FEWEST, LEVELS
from .._checks import check_adata, check_choice, check_genes, check_rng
from .._progress import Progress
from .._scores import mean_over_sections
from ._blocks import memory_explained, needed_gigabytes, predicted_blocks

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray

    from .._train import SectionModel, TrainingConfig
    from ..nn import CDCINConfig

    NaturalImages = Literal["photographs", "textures"] | str | PathLike[str] | NDArray[Any] | Sequence[NDArray[Any]]

__all__ = ["impute", "logged_twice"]

log = logging.getLogger(__name__)

PRESETS = ("default", "fast", "quick", "paper")
PHASES = {"initial estimates": 4.0, "training data": 1.0, "training": 10.0, "errors": 1.0, "imputing": 3.0}
"""Phases of a run, with the relative time that they take."""
LARGEST_LOG = 15.0
"""Largest log1p of a count."""


def impute(
    adata: AnnData,
    genes: str | Sequence[str] | None = None,
    *,
    layer: str | None = None,
    key_added: str = _keys.UNS,
    preset: Literal["default", "fast", "quick", "paper"] = "default",
    network: "CDCINConfig | None" = None,
    training: "TrainingConfig | None" = None,
    natural_images: "NaturalImages | None" = "photographs",
    max_epochs: int | None = None,
    max_distance: float | None = MAX_DISTANCE,
    covariates: str | Sequence[str] | None = None,
    total_counts: str | None = "auto",
    uncertainty: bool = True,
    denoise: bool = False,
    dtype: Literal["float32", "float16"] = "float32",
    store: "str | PathLike[str] | None" = None,
    device: str = "auto",
    rng: int | np.random.Generator | None = 0,
    checkpoint: "str | PathLike[str] | None" = None,
    pretrained: "str | PathLike[str] | None" = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    """Impute genes at the unmeasured sites of a section by S2S-ST :cite:p:`Fang2025`.

    The measured spots are subsampled once more; a cascaded network (:class:`s2s_scverse.nn.CDCIN`) learns to predict
    the masked spots, and is then applied to all measured spots. All genes share one network. It refines a stack of
    kriging estimates (of each gene in space, of principal components, between sites with similar expression); its
    correction is scaled by a factor chosen on validation spots, 0 where it does not help.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`, or several: one network then learns from all of
        them, and each is imputed from its own spots. Values are expected to be normalised and log-transformed
        (:func:`s2s_scverse.pp.normalize`).
    genes
        Names of the genes to write, all by default. The model is always fitted to the most variable genes of the
        section, so the values of a gene do not depend on this selection.
    layer
        Layer to read instead of X. Only rows of measured spots are ever read.
    key_added
        Name of the layer to write, and of the run in `.uns['s2s']`.
    preset
        ``"default"``; ``"fast"``: a quarter of the training; ``"quick"``: the stack of predictors alone, without a
        network; ``"paper"``: network and training as published (leak-free), which is slow and meant for comparison.
    network, training
        Hyper-parameters that replace those of the preset.
    natural_images
        Additional training data: ``"photographs"`` (shipped with scikit-image), ``"textures"``,
        a folder, an array or a list of arrays (see :func:`s2s_scverse.datasets.natural_images`), or None for nothing.
    max_epochs
        Most epochs to train for, instead of the preset's, and however few the spots are; 0 trains nothing. By
        default no network is trained on fewer than 100 spots (`TrainingConfig.min_spots`): it has not helped there.
    max_distance
        How far from measured spots to extrapolate, in distances of neighbouring spots; unmeasured sites farther from
        every spot stay NaN. None: no limit.
    covariates
        What is known at every site besides expression: keys of `.obsm`, such as ``"s2s_image"`` from
        :func:`s2s_scverse.pp.image_features`, or numeric columns of `.obs`. They must not
        be derived from the expression at held-out spots. They guide the stack as much as they help in cross-validation
        on measured spots; the network sees its guided maps.
    total_counts
        Depth (library size) of the spots; spots with lower depth than their neighbours get lower noise weights.
        ``"auto"``: recovered from the values, if these are counts or counts scaled to a common total, with or without
        log1p; otherwise weights are equal. Or a column of `.obs`, such as ``"total_counts"`` from
        :func:`scanpy.pp.calculate_qc_metrics`. None: equal weights. The log and
        ``.uns["s2s"][key_added]["params"]["depth"]`` give the source: ``"values"``, the column, or ``"none"``
        (requested, not found, or the same for all spots).
    uncertainty
        Whether to estimate errors by five-fold cross-validation: standard deviations and the reliability of genes.
        Takes a few seconds and a second layer. Needs 16 measured spots. Errors are those of the initial estimate, an
        upper bound for ``"paper"``, which starts from the nearest spot.
    denoise
        Whether to replace measured values by the mean of the measured value and its prediction from other spots,
        weighted by their inverse variances. The noise model is counting noise, so values must be counts, or counts
        scaled to a common total, with or without log1p (the scale of one molecule may not be identifiable for panels of
        a few highly expressed genes). Needs 16 measured spots.
    dtype
        Of the layers written. ``"float16"`` takes half the memory and keeps three digits, also of measured values.
    store
        Folder to write the layers to, as zarr, a block of 256 genes at a time; they become dask arrays on it. With
        values that are lazy (:func:`anndata.experimental.read_lazy`) or backed by a file, no matrix is ever whole in
        memory; they are read quickest if stored by gene (CSC, or in chunks of a few hundred genes). An interrupted
        call leaves ``<store>.partial``, which the next one replaces.
    device
        ``"auto"`` (an accelerator where there is one), or a torch device such as ``"cpu"`` or ``"cuda:1"``.
    rng
        Seed or generator. The same seed on the same machine gives the same result, bit for bit on a CPU.
    checkpoint
        File to write after every epoch. If it exists, the interrupted run resumes from it, to the same result; data,
        seed and hyper-parameters must be those of the interrupted run.
    pretrained
        Checkpoint of a run on another section, to start from its weights; with ``max_epochs=0`` they are used as
        they are.
    progress
        Whether to show a progress bar.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    `None`, or the copy. On any failure or interruption `adata` stays as it was. Sets the following fields:

    `.layers[key_added]`
        (n_obs, n_vars), of type `dtype`: imputed values on the scale of the input. Measured spots keep theirs exactly
        (unless `denoise`); NaN for genes not asked for.
    `.layers[f'{key_added}_std']`
        (n_obs, n_vars), of type `dtype`: standard deviation of the difference between imputed value and measurement,
        scaled so that 90 % of the differences are within 1.645 of it (in cross-validation, corrected for the distance
        from other spots); see :func:`s2s_scverse.get.interval`. 0 at measured spots; at denoised ones, of their
        remaining noise.
    `.var[f'{key_added}_reliability']`
        Expected Pearson correlation of imputed with measured values over the unmeasured sites; NaN for constant genes.
    `.var[f'{key_added}_covariate_gain']`
        Only with `covariates`: the part of the gene's variance between spots that is explained with them minus that
        explained without, in cross-validation on measured spots. Below 0 for genes that are predicted better without.
    `.obs[f'{key_added}_visible']`
        Sites that were measured when this ran; :func:`s2s_scverse.tl.evaluate` refuses to score them.
    `.uns['s2s'][key_added]`
        `params`, `layer`, `history` (one row per epoch; see :func:`s2s_scverse.get.history_df`), `shrinkage` (factor of
        the network's correction, 0 to 1), `intervals` (half-widths in standard deviations, by level), `model` (what was
        fitted, as arrays; :func:`s2s_scverse.get.draws` needs it) and `versions`.

    Raises
    ------
    KeyError
        If `adata` has no lattice, or a gene or the layer does not exist.
    FileNotFoundError
        If there is no file `pretrained`, or no folder for `checkpoint` or `store`.
    FileExistsError
        If `store` exists, or another process is writing it.
    MemoryError
        If there is too little memory; the text says how much is needed, and what takes less.
    OSError
        If the checkpoint or `store` cannot be written.
    TypeError, ValueError
        If an argument or the values are not as described, or a checkpoint does not fit.

    Warns
    -----
    UserWarning
        If values look like counts, if there are no unmeasured sites or some are too far from all spots, or if there are
        too few spots to train on.

    Examples
    --------
    >>> import s2s_scverse as s2s, scanpy as sc
    >>> adata = s2s.datasets.simulated_tissue(n_rows=24, n_cols=24, n_genes=8)
    >>> sc.pp.normalize_total(adata)
    >>> sc.pp.log1p(adata)
    >>> dense = s2s.pp.grid(adata, upsample=2)
    >>> s2s.tl.impute(dense, preset="quick", progress=False)
    >>> dense.layers["s2s"].shape == dense.shape
    True
    """
    start = time.perf_counter()
    check_adata(adata)
    written = np.isin(np.arange(adata.n_vars), check_genes(adata, genes))
    check_choice("preset", preset, PRESETS)
    check_choice("dtype", dtype, ("float32", "float16"))
    folder = None if store is None else check_store(store)
    check_run_key(adata, key_added)
    check_copy(adata, copy=copy)
    generator = check_rng(rng)

    from .. import _train

    torch_device = _train.find_device(device)
    network, training = _configure(preset, network, training, max_epochs)
    if covariates is not None and training.initial != "stack":
        msg = f"covariates guide the stack, but this run starts from {training.initial!r}; pass another preset"
        raise ValueError(msg)
    images = _image_source(natural_images)
    _train.check_files(checkpoint, pretrained)
    explained = partial(memory_explained, device=str(torch_device), stored=folder is not None)
    with explained(1.0):
        inputs = read_inputs(
            adata,
            written,
            layer=layer,
            max_distance=max_distance,
            total_counts=total_counts,
            covariates=covariates,
            denoise=denoise,
            n_informative=training.max_genes,
        )
    _warn(inputs, training, errors=uncertainty or denoise)
    blocks = gene_blocks(written)
    largest = max(len(section.lattice) for section in inputs.sections)
    gigabytes = needed_gigabytes(adata.n_obs, largest, adata.n_vars if folder is None else 0, 1 + uncertainty)
    log.info(
        "%d spots, %d sites, %d genes; depth: %s; about %.1f GB of memory",
        *(inputs.measured.sum(), adata.n_obs, written.sum(), inputs.depth, gigabytes),
    )
    phases = {name: share for name, share in PHASES.items() if training.max_epochs or "training" not in name}
    with explained(gigabytes), Progress(show=progress, phases=phases) as bar:
        models = _train.fit(
            inputs.sections,
            network=network,
            training=training,
            images=images,
            device=torch_device,
            rng=generator,
            progress=bar,
            checkpoint=checkpoint,
            pretrained=pretrained,
        )
        if uncertainty or denoise:
            bar.begin("errors", len(models))
            models = [bar.after(model.with_errors() if model.has_errors else model) for model in models]
        std = uncertainty and any(model.errors for model in models)
        predict = partial(_train.predict_block, models, inputs.rows, adata.n_obs, uncertainty=uncertainty)
        bar.begin("imputing", len(blocks))
        with (
            open_layers(folder, key_added, adata.n_obs, written, dtype, std=std) as layers,
            # Closed in any case, to cancel pending tasks on a cluster.
            closing(predicted_blocks(predict, inputs.matrix, blocks)) as predicted,
        ):
            for columns, block in predicted:
                layers.write(columns, block.values, block.std, block.by_gene)
                bar.step()

    run: dict[str, Any] = {
        "layer": layer or "X",
        "versions": versions("torch", "lightning", "numpy"),
        "shrinkage": models[0].shrinkage,
        "history": pd.DataFrame(models[0].history),
        _keys.MODEL: _train.model_arrays(models),
    }
    if std:
        known = [(model.errors.widths, max(1, model.section.wanted.sum())) for model in models if model.errors]
        run["intervals"] = {"level": LEVELS, "width": mean_over_sections(*zip(*known, strict=True))}
    run["params"] = {
        "preset": preset,
        "network": asdict(network if models[0].network is None else models[0].network.config),
        "training": {
            # As h5ad can hold them.
            name: np.array(value) if isinstance(value, tuple) else value
            for name, value in training.described().items()
            if value is not None
        },
        "natural_images": "array" if hasattr(natural_images, "__array__") else str(natural_images or "none"),
        "rng": int(rng) if isinstance(rng, int | np.integer) else "generator" if rng is not None else "none",
        "uncertainty": uncertainty,
        "denoise": denoise,
        "total_counts": str(total_counts),
        "covariates": ", ".join(covariate_names(covariates)) or "none",
        "max_distance": np.inf if max_distance is None else float(max_distance),
        "depth": inputs.depth,
    }
    log.info("%s in %.1f s", _summary(inputs, models[0], layers), time.perf_counter() - start)
    return write_run(
        adata, key_added, layers.values, inputs.measured, run, std=layers.std, by_gene=layers.by_gene, copy=copy
    )


def _summary(inputs: Inputs, model: "SectionModel", layers: Layers) -> str:
    """Return what was imputed, how well, and whether the network contributed."""
    sites = sum(int(section.wanted.sum()) for section in inputs.sections)
    text = f"imputed {layers.written.sum()} genes at {sites} unmeasured sites"
    reliability = layers.by_gene.get(_keys.RELIABILITY, np.empty(0))
    reliability = reliability[np.isfinite(reliability)]
    if len(reliability):
        low, high = np.percentile(reliability, [10, 90])
        text += f", expected correlation {reliability.mean():.2f} (80 % of the genes: {low:.2f} to {high:.2f})"
    if model.network is None:
        return f"{text}, without a network"
    return text if model.shrinkage else f"{text}, without the network's correction, which did not help"


def _warn(inputs: Inputs, training: "TrainingConfig", *, errors: bool) -> None:
    """Warn of unsuitable values and of too few spots."""
    from .._train import MIN_SPOTS

    spots = {section.name: len(section.values) for section in inputs.sections}
    messages = ["values look like counts; call s2s.pp.normalize(adata) first"] if inputs.counts else []
    if any(logged_twice(section.values) for section in inputs.sections):
        messages.append("log1p seems to have been applied twice; start from counts: s2s.pp.normalize(adata)")
    most = max(spots.values())
    if inputs.measured.all():
        messages.append("every site is measured: there is nothing to impute")
    elif training.max_epochs and training.min_spots <= most < MIN_SPOTS:
        messages.append(
            f"only {most} spots are measured, too few to train on (at least {MIN_SPOTS}); the initial estimate "
            f"({training.initial}) is returned"
        )
    for name, count in spots.items():
        if errors and count < FEWEST and not inputs.measured.all():
            section = "" if name is None else f" in section {name!r}"
            messages.append(
                f"only {count} spots are measured{section} (at least {FEWEST}): no errors are estimated, and nothing "
                "is denoised"
            )
    for message in messages:
        warnings.warn(message, UserWarning, stacklevel=3)


def logged_twice(values: "NDArray[np.float32]") -> bool:
    """Whether values (n_spots, n_genes) are log1p of values that are log1p of scaled counts."""
    if not values.size or not 0 <= values.min() <= values.max() < np.log1p(LARGEST_LOG):
        return False
    spots = np.ones(len(values), dtype=bool)
    found = read_molecules(AnnData(np.expm1(values)), spots, layer=None)
    return found is not None and found.logged


def _configure(
    preset: str, network: "CDCINConfig | None", training: "TrainingConfig | None", max_epochs: int | None
) -> "tuple[CDCINConfig, TrainingConfig]":
    """Complete the hyper-parameters from the preset."""
    from .. import nn
    from .._train import TRAINING_PRESETS, TrainingConfig

    network = nn.PRESETS[preset] if network is None else network
    training = TRAINING_PRESETS[preset] if training is None else training
    for name, value, kind in (("network", network, nn.CDCINConfig), ("training", training, TrainingConfig)):
        if not isinstance(value, kind):
            msg = f"{name} must be a {kind.__name__}, found {value!r} ({type(value).__name__})"
            raise TypeError(msg)
    return network, training if max_epochs is None else replace(training, max_epochs=max_epochs, min_spots=0)


def _image_source(source: "NaturalImages | None") -> Any:
    """Return a function (size, n, rng) that draws natural images; refuse unusable ones before the first slow step."""
    if source is None:
        return None
    from ..datasets import natural_images

    natural_images(source, size=(8, 8), n=1, rng=0)
    return lambda size, n, rng: natural_images(source, size=size, n=n, rng=rng)
