"""Hyper-parameters of the network and its named presets."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from .._checks import check_fields


@dataclass(frozen=True, kw_only=True)
class CDCINConfig:
    """Hyper-parameters of :class:`~s2s_scverse.nn.CDCIN`.

    Every field is a plain number, string or boolean, so ``dataclasses.asdict`` gives JSON and ``CDCINConfig(**d)``
    reads it back. The defaults are the light network; the published one is ``PRESETS["paper"]``. Vary a preset with
    :func:`dataclasses.replace`.

    Raises
    ------
    TypeError
        If a field is of the wrong type.
    ValueError
        If a field is out of range, or two fields contradict each other.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from s2s_scverse.nn import PRESETS, CDCINConfig
    >>> CDCINConfig(context_channels=2).in_channels
    5
    >>> replace(PRESETS["paper"], attention=False).stages
    3
    """

    #: Networks in the cascade, K.
    stages: int = 1
    #: Channels of the feature maps between blocks.
    features: int = 16
    #: Channels that every dense layer adds.
    growth: int = 16
    #: Residual dense blocks per stage, D.
    blocks: int = 1
    #: Dense 3x3 layers per block, C.
    layers: int = 3
    #: Whether the network sees where sites were measured.
    mask_channel: bool = True
    #: Whether the network sees the measured values beside the running map.
    values_channel: bool = True
    #: Further maps the caller passes as ``context`` (kriging map, tissue mask, ...).
    context_channels: int = 0
    #: Whether measured sites are reset before each stage and after the last (``"exact"``), replaced by a weighted mean
    #: with the network's value (``"noisy"``), or not changed (``"off"``).
    consistency: Literal["exact", "noisy", "off"] = "exact"
    #: Noise level v of ``"noisy"`` consistency, where the measured value weighs v and the network's value 1.
    noise_level: float = 1.0
    #: Whether all stages have the same weights.
    share_stages: bool = False
    #: Whether each stage's last convolution starts at zero, so that an untrained cascade returns the initial estimate.
    zero_init: bool = True
    #: Whether 3x3 kernels reach only the centre and the 6 neighbours of a hexagonal lattice in axial coordinates.
    hexagonal: bool = False
    #: Whether each block ends with two hybrid attention blocks, the second with shifted windows.
    attention: bool = False
    #: Side of the attention windows, in sites.
    window: int = 8
    #: Attention heads; must divide ``features``.
    heads: int = 4
    #: Whether training computes each block twice instead of keeping its inner maps (same result, less memory).
    recompute: bool = False

    def __post_init__(self) -> None:
        check_fields(self, context_channels=(0, None))
        if self.attention and self.features % self.heads:
            msg = f"CDCINConfig: features must be a multiple of heads, found {self.features} and {self.heads}"
            raise ValueError(msg)
        if self.attention and self.features < 8:
            msg = f"CDCINConfig: features must be at least 8 with attention, found {self.features}"
            raise ValueError(msg)

    @property
    def in_channels(self) -> int:
        """Number of input channels of a stage."""
        return 1 + self.mask_channel + self.values_channel + self.context_channels

    @property
    def reach(self) -> int:
        """Radius of the receptive field of a network without attention, in sites."""
        return self.stages * (self.blocks * self.layers + 4)


#: Named networks, ``"paper"`` as published, ``"default"`` for two CPU cores.
PRESETS: Mapping[str, CDCINConfig] = MappingProxyType(
    {
        "paper": CDCINConfig(
            stages=3,
            features=32,
            growth=32,
            blocks=8,
            layers=4,
            mask_channel=False,
            values_channel=False,
            zero_init=False,
            attention=True,
        ),
        "default": CDCINConfig(),
        "fast": CDCINConfig(),
        "quick": CDCINConfig(),
    }
)
