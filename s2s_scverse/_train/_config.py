"""Hyper-parameters of training, and the named recipes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Literal

from .._checks import check_fields

Initial = Literal["nearest", "kriging", "pca_kriging", "stack"]
Loss = Literal["l1", "l2", "huber"]
FROM_0: Final = (0, None)
HALF: Final = (0, 0.5)
MIN_SPOTS: Final = 16  # of a section: no network learns from fewer, whatever `TrainingConfig.min_spots`


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Hyper-parameters of training, for :func:`s2s_scverse.tl.impute`.

    Plain values, so that they can be stored with the result. The defaults train a network of any shape from random
    weights; the presets are in ``s2s.tl.TRAINING_PRESETS``. Vary one with :func:`dataclasses.replace`.

    Raises
    ------
    ValueError
        If a field is out of range.
    TypeError
        If a field is of the wrong type.

    Examples
    --------
    >>> from dataclasses import replace
    >>> import s2s_scverse as s2s
    >>> s2s.tl.TrainingConfig(loss="l1", max_epochs=5).initial
    'stack'
    >>> replace(s2s.tl.TRAINING_PRESETS["paper"], max_epochs=10).gene_scale
    10.0
    """

    #: Initial estimate of the cascade, by a method of :func:`s2s_scverse.tl.interpolate`.
    initial: Initial = "stack"
    #: Whether the network also sees the smooth initial estimates, which data consistency overwrites at measured sites.
    show_maps: bool = True
    #: Divide every gene by this, keep photographs in [0, 1], and count errors in the genes' own units; None
    #: standardises each gene on the measured spots, and each photograph.
    gene_scale: float | None = None
    #: Error between prediction and target that is minimised.
    loss: Loss = "l2"
    #: Sites that are scored, either those masked from the network or all known ones.
    scored: Literal["masked", "known"] = "masked"
    #: Weight of the genes' sparser -> sparse term.
    sparser_weight: float = 1.0
    #: Weight of the genes' sparse -> dense term.
    dense_weight: float = 1.0
    #: Weight of the natural images in both terms.
    image_weight: float = 0.25
    #: Number of natural images.
    n_images: int = 32
    #: Largest fraction of visible spots that training masks hide at random, besides the regular subsample.
    mask_dropout: float = 0.3
    #: Number of training masks per term; at least four of sparser samples.
    masks: int = 4
    #: Whether crops are shown in all orientations of the lattice.
    augment: bool = True
    #: Side of training crops in sites of the dense lattice; crops of spots are as large in space, at least 16 spots.
    crop: int = 64
    #: Crops per term and step.
    batch_size: int = 4
    #: Adam's step size, the largest one.
    learning_rate: float = 3e-3
    #: Step size over training, constant, or rising over the first epoch and then falling along a cosine to 0.
    schedule: Literal["constant", "cosine"] = "cosine"
    #: Adam's decay rates.
    betas: tuple[float, float] = (0.9, 0.99)
    #: Weights that the network starts from, either those that ship with the package, learnt from simulated sections,
    #: or random ones. The former are not trained where they hardly help as they are, because training does not either.
    weights: Literal["simulated", "random"] = "random"
    #: Largest number of epochs, each of `steps_per_epoch` steps and one validation; 0 trains nothing, and the weights
    #: are used as they are.
    max_epochs: int = 40
    #: Smallest number of measured spots, of all sections, to use a network; with fewer it has not helped.
    min_spots: int = 100
    #: Steps per epoch.
    steps_per_epoch: int = 20
    #: Fraction of the measured spots used for validation, to find the shrinkage factor.
    validation_fraction: float = 0.1
    #: Whether to multiply the network's correction by a shrinkage factor chosen on validation spots, 0 to 1.
    shrink: bool = True
    #: Number of most variable genes that predictors are fitted to, and of which at most 128 are drawn to train the
    #: network on; all are imputed.
    max_genes: int = 256
    #: Arithmetic of the network, single precision (``"32"``) or bfloat16, which is faster on accelerators and on
    #: processors with AMX, and many times slower on others. ``"auto"`` is bfloat16 on processors with AMX; networks
    #: with attention are slower with it there.
    precision: Literal["auto", "32", "bf16"] = "32"
    #: Further arguments of :class:`lightning.Trainer`, for those who train the published network at length.
    trainer_kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        check_fields(
            self,
            **dict.fromkeys(("max_epochs", "min_spots", "n_images"), FROM_0),
            **dict.fromkeys(("sparser_weight", "dense_weight", "image_weight"), FROM_0),
            **dict.fromkeys(("mask_dropout", "validation_fraction"), HALF),
        )
        if not isinstance(self.trainer_kwargs, Mapping):
            msg = f"TrainingConfig: trainer_kwargs must be a dictionary, found {self.trainer_kwargs!r}"
            raise TypeError(msg)
        pair = isinstance(self.betas, tuple) and len(self.betas) == 2
        if not pair or not all(isinstance(beta, float | int) and 0 <= beta < 1 for beta in self.betas):
            msg = f"TrainingConfig: betas must be two numbers of at least 0 and below 1, found {self.betas!r}"
            raise ValueError(msg)
        if self.weights == "simulated" and (self.initial, self.show_maps, self.gene_scale) != ("stack", True, None):
            msg = "TrainingConfig: weights='simulated' needs initial='stack', show_maps=True and gene_scale=None"
            raise ValueError(msg)
        if not self.sparser_weight + self.dense_weight:
            msg = "TrainingConfig: sparser_weight and dense_weight are both 0, so there is nothing to learn from"
            raise ValueError(msg)

    @property
    def has_network(self) -> bool:
        """Whether there is a network, with shipped weights or trained ones."""
        return self.weights == "simulated" or self.max_epochs > 0

    def described(self) -> dict[str, Any]:
        """Return the fields that determine a result in plain values: all but `trainer_kwargs`."""
        fields = asdict(replace(self, trainer_kwargs={}))
        del fields["trainer_kwargs"]
        return fields


TRAINING_PRESETS: Final[Mapping[str, TrainingConfig]] = MappingProxyType(
    {
        "default": TrainingConfig(weights="simulated", masks=2, max_epochs=10, precision="auto"),
        "fast": TrainingConfig(weights="simulated", masks=2, max_epochs=5, precision="auto"),
        "quick": TrainingConfig(max_epochs=0),
        "paper": TrainingConfig(
            initial="nearest",
            show_maps=False,
            gene_scale=10.0,
            loss="l1",
            scored="known",
            image_weight=1.0,
            n_images=256,
            mask_dropout=0.0,
            batch_size=16,
            learning_rate=1e-4,
            schedule="constant",
            betas=(0.5, 0.999),
            max_epochs=3000,
            min_spots=0,
            shrink=False,
        ),
    }
)
