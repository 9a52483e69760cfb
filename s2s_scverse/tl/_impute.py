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

from .. import _adata, _keys
from .._calibration import FEWEST, LEVELS
from .._checks import check_adata, check_choice, check_genes, check_rng
from .._progress import Progress
from .._scores import mean_over_sections
from .._train._config import MIN_SPOTS, TRAINING_PRESETS, TrainingConfig
from ._blocks import needed_gigabytes, predicted_blocks

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray

    from .._train._model import SectionModel
    from ..nn import CDCINConfig

    NaturalImages = Literal["auto", "photographs"] | str | PathLike[str] | NDArray[Any] | Sequence[NDArray[Any]]

log = logging.getLogger(__name__)

PHASES = {
    "initial estimates": 4.0,
    "validation": 1.0,
    "training data": 1.0,
    "training": 10.0,
    "errors": 1.0,
    "imputing": 3.0,
}
"""Phases of a run, with the relative time that they take."""
DEPTHS = {"values": "recovered from values", "none": "unknown"}
"""Sources of the depth of spots, as the log names them; others are columns of obs."""
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
    training: TrainingConfig | None = None,
    natural_images: "NaturalImages | None" = "auto",
    max_epochs: int | None = None,
    max_distance: float | None = _adata.MAX_DISTANCE,
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

    The initial estimate is a cross-validated combination (stack) of kriging methods. A cascaded network
    (:class:`s2s_scverse.nn.CDCIN`), shared by all genes, refines it. Its weights were learnt on simulated sections;
    where they help on this section, it is trained further to predict masked spots from the others. The network's
    correction is scaled by a factor chosen on validation spots, which is 0 if it does not help.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`, or several, which share one network and are imputed
        separately. Values should be normalised and log-transformed (:func:`s2s_scverse.pp.normalize`).
    genes
        Names of the genes to write, all by default. The model is fitted to the most variable genes of the section, so
        values of a gene do not depend on this selection, except for rounding.
    layer
        Layer to read, X by default. Only rows of measured spots are read.
    key_added
        Name of the layer to write, and of the run in `.uns['s2s']`.
    preset
        ``"default"``; ``"fast"``, with half of the training; ``"quick"``, the initial estimate without a network;
        or ``"paper"``, network and training as published (without its leak), for comparison.
    network, training
        Hyper-parameters that replace those of the preset. A `network` of another shape is trained from random weights.
    natural_images
        Additional training data: ``"photographs"`` (shipped with scikit-image), a folder, an array or a list of arrays
        (see :func:`s2s_scverse.datasets.natural_images`), or None. ``"auto"``: photographs with
        ``preset="paper"``; None otherwise, because they change no score.
    max_epochs
        Largest number of epochs, instead of the preset's; 0: the weights are used as they are. By default no network is
        used below 100 spots (`TrainingConfig.min_spots`).
    max_distance
        Largest distance from the nearest spot, in units of the spot spacing. Sites beyond it remain NaN; None for no
        limit.
    covariates
        Keys of `.obsm`, such as ``"s2s_image"`` from :func:`s2s_scverse.pp.image_features`, or numeric columns of
        `.obs`, that are known at every site and not derived from expression at held-out spots. Their influence on the
        initial estimate is determined by cross-validation.
    total_counts
        Depth (library size) of the spots; spots with lower depth than their neighbours get lower noise weights.
        ``"auto"`` recovers it from counts, or counts scaled to a common total, with or without log1p. Alternatively, a
        column of `.obs`, such as ``"total_counts"`` from :func:`scanpy.pp.calculate_qc_metrics`, or None for equal
        weights. ``.uns["s2s"][key_added]["params"]["depth"]`` records the source.
    uncertainty
        Whether to estimate standard deviations and the reliability of genes by cross-validation, from at least 16
        measured spots. Errors are those of the initial estimate, an upper bound for ``"paper"``.
    denoise
        Whether to replace measured values by the inverse-variance weighted mean of the value and its prediction from
        other spots. Values must be counts, or counts scaled to a common total, with or without log1p, since counting
        noise is assumed. Requires at least 16 measured spots.
    dtype
        Type of the layers; ``"float16"`` has three significant digits, also for measured values.
    store
        Zarr folder to write the layers to; they become dask arrays. If `adata` is lazy
        (:func:`anndata.experimental.read_lazy`) or backed, no matrix is loaded as a whole; CSC matrices, or chunks of a
        few hundred genes, are read fastest. An interrupted call leaves ``<store>.partial``, which the next one
        replaces.
    device
        ``"auto"`` (an accelerator, if available), or a torch device such as ``"cpu"`` or ``"cuda:1"``.
    rng
        Seed or generator. Results are reproducible on the same machine, bit for bit on a CPU.
    checkpoint
        File to write after every epoch; there is none if the network is not trained. If it exists, the run resumes
        from it with the same result; data, seed and hyper-parameters must be the same.
    pretrained
        Checkpoint whose weights training starts from, or which is applied unchanged with ``max_epochs=0``.
    progress
        Whether to show a progress bar.
    copy
        Whether to return a modified copy.

    Returns
    -------
    `None`, or the copy; `adata` is unchanged upon failure. Sets the following fields:

    `.layers[key_added]`
        (n_obs, n_vars): imputed values, and measured values (unless `denoise`) at spots; NaN for genes that are not
        selected.
    `.layers[f'{key_added}_std']`
        (n_obs, n_vars): standard deviation of the difference between imputed and measured values, scaled such that 90 %
        of the differences in cross-validation are within 1.645 of it; see :func:`s2s_scverse.get.interval`. It grows
        with the distance from measured spots. 0 at measured spots; at denoised spots the standard deviation of the
        remaining noise.
    `.var[f'{key_added}_reliability']`
        Expected Pearson correlation of imputed with measured values over the unmeasured sites; NaN for constant genes.
    `.var[f'{key_added}_covariate_gain']`
        With `covariates`: fraction of the gene's variance explained with covariates minus that explained without, in
        cross-validation.
    `.obs[f'{key_added}_visible']`
        Sites that were measured; :func:`s2s_scverse.tl.evaluate` refuses to score them.
    `.uns['s2s'][key_added]`
        `params`, `layer`, `history` (see :func:`s2s_scverse.get.history_df`), `shrinkage` (factor of the network's
        correction, 0 to 1), `explained` (fraction of the variance of the most variable genes that kriging, PCA kriging
        and the stack, with `covariates` also without them, explain in cross-validation), `intervals` (half-widths in
        standard deviations, by level), `model` (fitted parameters, for :func:`s2s_scverse.get.draws`) and `versions`.

    Raises
    ------
    KeyError
        If `adata` has no lattice, or a gene or the layer does not exist.
    FileNotFoundError, FileExistsError, OSError
        If `pretrained` or the folder of `checkpoint` or `store` does not exist, `store` exists, or a file cannot be
        written.
    TypeError, ValueError
        If an argument or the values are invalid, or a checkpoint does not fit.

    Warns
    -----
    UserWarning
        If values look like counts, there are no unmeasured sites, some are too far from all spots, or there are too few
        spots to train on.

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
    check_choice("preset", preset, tuple(TRAINING_PRESETS))
    check_choice("dtype", dtype, ("float32", "float16"))
    folder = None if store is None else _adata.check_store(store)
    _adata.check_run_key(adata, key_added)
    _adata.check_copy(adata, copy=copy)
    generator = check_rng(rng)

    from .._train._checkpoint import check_files
    from .._train._fit import fit
    from .._train._model import find_device, model_arrays, predict_block

    torch_device = find_device(device)
    network, training = _configure(preset, network, training, max_epochs)
    if covariates is not None and training.initial != "stack":
        msg = f"covariates guide the stack, but this run starts from {training.initial!r}; pass another preset"
        raise ValueError(msg)
    if isinstance(natural_images, str) and natural_images == "auto":
        natural_images = "photographs" if preset == "paper" else None
    images = _image_source(natural_images)
    check_files(checkpoint, pretrained)
    inputs = _adata.read_inputs(
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
    # In a folder, a file holds an aligned block.
    blocks = _adata.gene_blocks(written, aligned=folder is not None)
    largest = max(len(section.lattice) for section in inputs.sections)
    gigabytes = needed_gigabytes(adata.n_obs, largest, adata.n_vars if folder is None else 0, 1 + uncertainty)
    log.info(
        "%d spots, %d sites, %d genes; depth: %s; about %.1f GB of memory",
        *(inputs.measured.sum(), adata.n_obs, written.sum(), DEPTHS.get(inputs.depth, inputs.depth), gigabytes),
    )
    skipped = () if training.max_epochs else ("training data", "training")
    phases = {name: share for name, share in PHASES.items() if name not in skipped}
    with Progress(show=progress, phases=phases) as bar:
        models = fit(
            inputs.sections,
            network_config=network,
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
            models = [bar.after(model.with_errors()) for model in models]
        std = uncertainty and any(model.errors for model in models)
        predict = partial(predict_block, models, inputs.rows, adata.n_obs, uncertainty=uncertainty)
        bar.begin("imputing", len(blocks))
        predicted = predicted_blocks(predict, inputs.matrix, blocks)
        # Closed in any case, to cancel pending tasks on a cluster.
        with _adata.open_layers(folder, key_added, adata.n_obs, written, dtype, std=std) as layers, closing(predicted):
            for columns, block in predicted:
                layers.write(columns, block.values, block.std, block.by_gene)
                bar.step()

    run: dict[str, Any] = {
        "layer": layer or "X",
        "versions": _adata.versions("torch", "lightning", "numpy"),
        "shrinkage": models[0].shrinkage,
        "history": pd.DataFrame(models[0].history),
        _keys.MODEL: model_arrays(models),
    }
    sites = [max(1, int(model.section.wanted.sum())) for model in models]
    if explained := [(model.explained, n) for model, n in zip(models, sites, strict=True) if model.explained]:
        table = pd.DataFrame([parts for parts, _ in explained])
        means = mean_over_sections(list(table.to_numpy()), [n for _, n in explained])
        run["explained"] = dict(zip(table.columns, means.tolist(), strict=True))
    if std:
        widths = [(model.errors.widths, n) for model, n in zip(models, sites, strict=True) if model.errors]
        run["intervals"] = {"level": LEVELS, "width": mean_over_sections(*zip(*widths, strict=True))}
    described = training.described() | {"betas": np.array(training.betas)}  # as h5ad can hold it
    run["params"] = {
        "preset": preset,
        "network": asdict(network if models[0].network is None else models[0].network.config),
        "training": {name: value for name, value in described.items() if value is not None},
        "natural_images": "array" if hasattr(natural_images, "__array__") else str(natural_images or "none"),
        "rng": int(rng) if isinstance(rng, int | np.integer) else "generator" if rng is not None else "none",
        "uncertainty": uncertainty,
        "denoise": denoise,
        "total_counts": str(total_counts),
        "covariates": ", ".join(_adata.covariate_names(covariates)) or "none",
        "max_distance": np.inf if max_distance is None else float(max_distance),
        "depth": inputs.depth,
    }
    log.info(_summary(inputs, models[0], layers, written.sum(), time.perf_counter() - start))
    return _adata.write_run(
        adata, key_added, layers.values, inputs.measured, run, std=layers.std, by_gene=layers.by_gene, copy=copy
    )


def _summary(inputs: _adata.Inputs, model: "SectionModel", layers: _adata.Layers, n_genes: int, seconds: float) -> str:
    """Return what was imputed, how well, and whether the network contributed."""
    sites = sum(int(section.wanted.sum()) for section in inputs.sections)
    text = f"imputed {n_genes} genes at {sites} unmeasured sites in {seconds:.1f} s"
    reliability = layers.by_gene.get(_keys.RELIABILITY, np.empty(0))
    reliability = reliability[np.isfinite(reliability)]
    if len(reliability):
        low, high = np.percentile(reliability, [10, 90])
        text += f"; expected correlation {reliability.mean():.2f} (80 % of the genes: {low:.2f} to {high:.2f})"
    if model.network is None:
        return f"{text}; no network was used"
    return text if model.shrinkage else f"{text}; the network's correction did not help and was not used"


def _warn(inputs: _adata.Inputs, training: TrainingConfig, *, errors: bool) -> None:
    """Warn of unsuitable values and of too few spots."""
    messages = ["values look like counts; call s2s.pp.normalize(adata) first"] if inputs.counts else []
    if any(logged_twice(section.values) for section in inputs.sections):
        messages.append("log1p seems to have been applied twice; start from counts: s2s.pp.normalize(adata)")
    most = max(len(section.values) for section in inputs.sections)
    if inputs.measured.all():
        messages.append("every site is measured: there is nothing to impute")
    elif training.max_epochs and training.min_spots <= most < MIN_SPOTS:
        messages.append(
            f"only {most} spots are measured, too few to train on (at least {MIN_SPOTS}); the initial estimate "
            f"({training.initial}) is returned"
        )
    for section in inputs.sections:
        if errors and len(section.values) < FEWEST and not inputs.measured.all():
            where = "" if section.name is None else f" in section {section.name!r}"
            messages.append(
                f"only {len(section.values)} spots are measured{where} (at least {FEWEST}): no errors are estimated, "
                "and nothing is denoised"
            )
    for message in messages:
        warnings.warn(message, UserWarning, stacklevel=3)


def logged_twice(values: "NDArray[np.float32]") -> bool:
    """Whether values (n_spots, n_genes) are log1p of values that are log1p of scaled counts."""
    if not values.size or not 0 <= values.min() <= values.max() < np.log1p(LARGEST_LOG):
        return False
    spots = np.ones(len(values), dtype=bool)
    found = _adata.read_molecules(AnnData(np.expm1(values)), spots, layer=None)
    return found is not None and found.logged


def _configure(
    preset: str, network: "CDCINConfig | None", training: TrainingConfig | None, max_epochs: int | None
) -> "tuple[CDCINConfig, TrainingConfig]":
    """Complete the hyper-parameters from the preset."""
    from .. import nn

    if training is None:
        training = TRAINING_PRESETS[preset]
        if network is not None and training.weights == "simulated":
            training = TrainingConfig()  # those weights are of another network
    network = nn.PRESETS[preset] if network is None else network
    for name, value, kind in (("network", network, nn.CDCINConfig), ("training", training, TrainingConfig)):
        if not isinstance(value, kind):
            msg = f"{name} must be a {kind.__name__}, found {value!r} ({type(value).__name__})"
            raise TypeError(msg)
    return network, training if max_epochs is None else replace(training, max_epochs=max_epochs, min_spots=0)


def _image_source(source: "NaturalImages | None") -> Any:
    """Return a function (size, n, rng) that draws natural images, after a test of the source."""
    if source is None:
        return None
    from ..datasets import natural_images

    natural_images(source, size=(8, 8), n=1, rng=0)
    return lambda size, n, rng: natural_images(source, size=size, n=n, rng=rng)
