import hashlib
import logging
import warnings
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .. import _keys
from .._calibration import FEWEST, LEVELS
from .._checks import check_adata, check_choice, check_genes, check_rng
from .._depth import AUTO
from .._progress import Progress, duration
from ._layers import check_free, check_store, digest, impute_blocks, open_layers
from ._memory import memory_explained
from ._run import MAX_DISTANCE, Task, check_copy, check_run_key, read_tasks, versions, write_run
from ._source import Options, Source

if TYPE_CHECKING:
    from os import PathLike

    from anndata import AnnData
    from numpy.typing import NDArray

    from .._training import Fitted, TrainingConfig
    from ..nn import CDCINConfig

    NaturalImages = Literal["photographs", "textures"] | str | PathLike[str] | NDArray[Any] | Sequence[NDArray[Any]]

__all__ = ["impute"]

log = logging.getLogger(__name__)


def impute(
    adata: "AnnData",
    genes: str | Sequence[str] | None = None,
    *,
    layer: str | None = None,
    key_added: str = _keys.UNS,
    preset: Literal["default", "fast", "paper"] = "default",
    network: "CDCINConfig | None" = None,
    training: "TrainingConfig | None" = None,
    natural_images: "NaturalImages | None" = "photographs",
    max_epochs: int | None = None,
    max_distance: float | None = MAX_DISTANCE,
    total_counts: str | None = AUTO,
    uncertainty: bool = True,
    denoise: bool = False,
    dtype: Literal["float32", "float16"] = "float32",
    store: "str | PathLike[str] | None" = None,
    device: str = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    strategy: str = "auto",
    rng: int | np.random.Generator | None = 0,
    checkpoint: "str | PathLike[str] | None" = None,
    pretrained: "str | PathLike[str] | None" = None,
    progress: bool = True,
    copy: bool = False,
) -> "AnnData | None":
    """Impute genes at the unmeasured sites of a section by S2S-ST :cite:p:`Fang2025`.

    The measured spots are subsampled once more; a cascaded network (:class:`s2s_scverse.nn.CDCIN`) learns to predict
    the spots left out, and is then applied to the spots themselves. All genes share one network. It refines a stack of
    kriging estimates (of each gene in space, of principal components, between sites with similar expression); its
    correction is scaled by a factor chosen on validation spots, 0 where it does not help.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`, or several: one network then learns from all of
        them, and each is imputed from its own spots. Values are expected to be normalised and log-transformed
        (:func:`s2s_scverse.pp.normalize`).
    genes
        Names of the genes to write, all by default. What is learnt from is always the most variable genes of the
        section, so a gene gets the same values, whichever others are asked for.
    layer
        Layer to read instead of X. Only rows of measured spots are ever read.
    key_added
        Name of the layer to write, and of the run in `.uns['s2s']`.
    preset
        ``"default"``; ``"fast"``: less training; ``"paper"``: network and training as published (leak-free), which is
        slow and meant for comparison.
    network, training
        Hyper-parameters that replace those of the preset.
    natural_images
        What the network learns from besides the genes: ``"photographs"`` (shipped with scikit-image), ``"textures"``,
        a folder, an array or a list of arrays (see :func:`s2s_scverse.datasets.natural_images`), or None for nothing.
    max_epochs
        Most passes to train for, instead of the preset's; 0 trains nothing.
    max_distance
        How far from measured spots to extrapolate, in distances of neighbouring spots; unmeasured sites farther from
        every spot stay NaN. None: no limit.
    total_counts
        Depth (library size) of the spots; the less was counted in a spot beside its neighbours, the less its values
        count. ``"auto"``: read back from the values, which works for counts as they are or scaled to a common total,
        with or without log1p; otherwise all spots count the same. Or the name of a column of `.obs`, such as
        ``"total_counts"`` from :func:`scanpy.pp.calculate_qc_metrics`. None: all spots count the same. The log and
        ``.uns["s2s"][key_added]["params"]["depth"]`` say what was used: ``"values"``, the column, or ``"none"`` (asked
        for, not found, or the same for all spots).
    uncertainty
        Whether to estimate errors: standard deviations and the reliability of genes. Measured spots are left out in
        turn for that (a fifth at a time), which takes a few seconds and a second layer. Needs 16 measured spots. With
        the preset ``"paper"``, whose network has learnt from the spots left out, errors are underestimated.
    denoise
        Whether measured spots get a value too: the mean of what was measured and of what the others lead to expect
        there, weighted by their precision, instead of what was measured. The noise is that of counting, so values must
        be counts, or counts scaled to a common total, with or without log1p (panels of a few genes that are all
        high may not show what one molecule is worth). Needs 16 measured spots.
    dtype
        Of the layers written. ``"float16"`` takes half the memory and keeps three digits, also of measured values.
    store
        Folder to write the layers to, as zarr, a block of 256 genes at a time; they become dask arrays on it. With
        values that are lazy (:func:`anndata.experimental.read_lazy`) or backed by a file, no matrix is ever whole in
        memory; they are read quickest if stored by gene (CSC, or in chunks of a few hundred genes). An interrupted
        call leaves ``<store>.partial``; repeated with the same arguments it goes on with the genes that were missing
        (and with `checkpoint` without training anew).
    device
        ``"auto"`` (an accelerator where there is one), or a torch device such as ``"cpu"`` or ``"cuda:1"``.
    devices, num_nodes, strategy
        Passed to :class:`lightning.Trainer`: the network is trained by `devices` processes on each of `num_nodes`
        machines, and `strategy` is ``"auto"`` or ``"ddp"``. The batch size is that of each process, so two processes do
        what one does with twice the batch. Each runs the whole script, with the same data and seed, and gets the same
        result; started by ``python script.py``, ``torchrun`` or ``srun``, not from a notebook. Write files from one
        process only, where ``lightning.pytorch.utilities.rank_zero_only.rank == 0``. They stay connected after the
        call: those that follow train by as many processes, or each process by itself (``devices=1``). Not with `store`.
    rng
        Seed or generator. The same seed on the same machine gives the same result, bit for bit on a CPU.
    checkpoint
        File to write after every epoch. If it is there already, the interrupted run goes on where it was, to the same
        result; data, seed and hyper-parameters must be those of the interrupted run. Of several processes the first one
        writes it and all read it.
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
        float32, (n_obs, n_vars): imputed values on the scale of the input. Measured spots keep theirs exactly (unless
        `denoise`); NaN for genes not asked for.
    `.layers[f'{key_added}_std']`
        float32, (n_obs, n_vars): standard deviation of the difference between what is imputed and what would be
        measured, scaled so that 90 % of the differences are within 1.645 of it (found on measured spots that were left
        out, with allowance for their distance from others); see :func:`s2s_scverse.get.interval`. 0 at measured spots;
        at denoised ones, of what is left of their noise.
    `.var[f'{key_added}_reliability']`
        Expected Pearson correlation of imputed with measured values over the unmeasured sites; NaN for constant genes.
    `.obs[f'{key_added}_visible']`
        Which sites were measured when this ran: :func:`s2s_scverse.tl.evaluate` refuses to score them.
    `.uns['s2s'][key_added]`
        `params`, `layer`, `history` (one row an epoch; see :func:`s2s_scverse.get.history_df`), `gate` (weight of the
        network's correction, 0 to 1), `intervals` (half-widths in standard deviations, by level) and `versions`.

    Raises
    ------
    KeyError
        If `adata` has no lattice, or a gene or the layer does not exist.
    FileNotFoundError
        If there is no file `pretrained`, or no folder for `checkpoint` or `store`.
    FileExistsError
        If `store` is there already, and not from the same call, or another process is writing it.
    MemoryError
        If there is too little memory; the text says how much is needed, and what takes less.
    OSError
        If the checkpoint or `store` cannot be written. `adata` is not changed, and the same call goes on from there.
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
    >>> s2s.tl.impute(dense, preset="fast", max_epochs=1, progress=False)
    >>> dense.layers["s2s"].shape == dense.shape
    True
    """
    check_adata(adata)
    wanted = np.isin(np.arange(adata.n_vars), check_genes(adata, genes))
    check_choice("preset", preset, ("default", "fast", "paper"))
    check_choice("dtype", dtype, ("float32", "float16"))
    folder = None if store is None else check_store(store)
    check_run_key(adata, key_added)
    check_copy(adata, copy=copy)
    generator = check_rng(rng)
    options = Options.of(total_counts, uncertainty=uncertainty, denoise=denoise)

    from .. import _training

    parallel = _training.Parallel(devices, num_nodes, strategy)
    if parallel.n_processes > 1 and (rng is None or folder is not None):
        what = "rng must be a seed" if rng is None else "store must be None"
        msg = f"{what} where several processes train: all draw the same, and each writes what it imputes"
        raise ValueError(msg)
    where = _training.find_device(device)
    parallel.check(where)
    network, training = _configure(preset, network, training, max_epochs)
    images = _image_source(natural_images)
    _training.check_files(checkpoint, pretrained)
    measured, tasks = read_tasks(adata, max_distance)
    explained = partial(memory_explained, device=str(where), stored=folder is not None)
    with explained(None):
        source = Source.read(adata, measured, tasks, wanted, layer, options)
    if source.survey.counts:
        warnings.warn(
            "values look like counts; call s2s.pp.normalize(adata) first",
            UserWarning,
            stacklevel=2,
        )
    if measured.all():
        warnings.warn("every site is measured: there is nothing to impute", UserWarning, stacklevel=2)
        training = replace(training, max_epochs=0)
    asked = digest(network, training, options, key_added, dtype, max_distance, generator.bit_generator.state, wanted)
    asked = digest(asked, where.type, versions("torch"), source.digest(), *_files(natural_images, pretrained))
    if folder is not None:
        check_free(folder, asked)
    with explained(None):
        sections = source.sections(training.max_genes)
    expected = source.estimate(network, training, options, held=adata.n_vars if folder is None else 0)
    log.info("depth of the spots: %s", source.depth(options))
    log.info("%s; about %s and %.1f GB", source, duration(expected.seconds), expected.gigabytes)
    with explained(expected), Progress(expected.phases, show=progress and parallel.is_first) as bar:
        if measured.all() and not denoise:
            fitted = _training.untrained(sections, training, where, generator)
        else:
            fitted = _training.fit(
                sections,
                network=network,
                training=training,
                images=images,
                device=where,
                rng=generator,
                progress=bar,
                checkpoint=checkpoint,
                pretrained=pretrained,
                parallel=parallel,
            )
            _warn_of_few_spots(tasks, fitted[0].network is not None, training, options)
        if options.errors:
            bar.begin("errors")
        imputation = _training.Imputation(source.parts(fitted, options), adata.n_obs, uncertainty).with_pools()
        with closing(open_layers(folder, key_added, wanted, dtype, asked=asked, imputation=imputation)) as layers:
            impute_blocks(imputation, source.values, wanted, layers, bar)
            dense, std, reliability = layers.finish()
    run = _entry(fitted[0], layer, None if reliability is None else imputation.widths())
    network = network if fitted[0].network is None else fitted[0].network.config
    run["params"] = _params(preset, network, training, natural_images, rng) | options.params() | asdict(parallel)
    run["params"] |= {"max_distance": np.inf if max_distance is None else float(max_distance)}
    run["params"]["depth"] = source.depth(options)
    return write_run(adata, key_added, dense, measured, run, std=std, reliability=reliability, copy=copy)


def _warn_of_few_spots(tasks: "list[Task]", trained: bool, training: "TrainingConfig", options: Options) -> None:
    """Say what is not done where spots are few."""
    from .._training import MIN_SPOTS

    counts = [int(task.measured.sum()) for task in tasks]
    if not trained:
        few = f"only {max(counts)} spots are measured, too few to train on (at least {MIN_SPOTS})"
        cause = few if max(counts) < MIN_SPOTS else "no gene varies between measured spots"
        warnings.warn(f"{cause}; the starting map ({training.start}) is returned", UserWarning, stacklevel=3)
    for task, count in zip(tasks, counts, strict=True):
        if options.errors and count < FEWEST:
            where = "" if task.placed.name is None else f" in section {task.placed.name!r}"
            undone = "no errors are estimated" + (", and nothing is denoised" if options.denoise else "")
            msg = f"only {count} spots are measured{where} (at least {FEWEST}): {undone}"
            warnings.warn(msg, UserWarning, stacklevel=3)


def _configure(
    preset: str, network: "CDCINConfig | None", training: "TrainingConfig | None", max_epochs: int | None
) -> "tuple[CDCINConfig, TrainingConfig]":
    """Take from the preset what was not given."""
    from .._training import TRAINING_PRESETS, TrainingConfig
    from ..nn import PRESETS, CDCINConfig

    network = PRESETS[preset] if network is None else network
    training = TRAINING_PRESETS[preset] if training is None else training
    for name, value, kind in (("network", network, CDCINConfig), ("training", training, TrainingConfig)):
        if not isinstance(value, kind):
            msg = f"{name} must be a {kind.__name__}, found {value!r} ({type(value).__name__})"
            raise TypeError(msg)
    return network, training if max_epochs is None else replace(training, max_epochs=max_epochs)


def _image_source(source: "NaturalImages | None") -> Any:
    """Wrap natural images, refusing unusable ones before the first slow step."""
    if source is None:
        return None
    from ..datasets import natural_images

    natural_images(source, size=(8, 8), n=1, rng=0)

    def draw(size: tuple[int, int], n: int, rng: np.random.Generator) -> "NDArray[np.float32]":
        return natural_images(source, size=size, n=n, rng=rng)

    return draw


def _files(images: "NaturalImages | None", pretrained: "str | PathLike[str] | None") -> list[Any]:
    """Return what tells natural images and weights to start from from others."""
    weights = ""
    if pretrained is not None and Path(pretrained).is_file():  # anything else is refused when it is read
        weights = hashlib.sha256(Path(pretrained).read_bytes()).hexdigest()
    if images is None or isinstance(images, str) or hasattr(images, "__fspath__"):
        return [weights, str(images)]
    return [weights, *(np.asarray(image) for image in images)]


def _entry(fitted: "Fitted", layer: str | None, widths: "NDArray[np.float64] | None") -> dict[str, Any]:
    """Describe a run, but for its parameters."""
    run: dict[str, Any] = {"layer": layer or "X", "versions": versions("torch", "lightning", "numpy")}
    run |= {"gate": fitted.gate, "history": pd.DataFrame(fitted.history)}
    return run if widths is None else run | {"intervals": {"level": LEVELS, "width": widths}}


def _params(preset: str, network: "CDCINConfig", training: "TrainingConfig", images: Any, rng: Any) -> dict[str, Any]:
    """Describe the run in values that h5ad can hold; what is None is left out."""

    def plain(config: Any) -> dict[str, Any]:
        fields = {
            name: np.array(value) if isinstance(value, tuple) else value for name, value in asdict(config).items()
        }
        return {name: value for name, value in fields.items() if value is not None}

    return {
        "preset": preset,
        "network": plain(network),
        "training": plain(training),
        "natural_images": "none" if images is None else str(images) if not hasattr(images, "__array__") else "array",
        "rng": int(rng) if isinstance(rng, int | np.integer) else "generator" if rng is not None else "none",
    }
