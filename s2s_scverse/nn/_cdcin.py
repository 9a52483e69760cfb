"""CDCIN, the cascaded data consistent imputation network."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from ._blocks import HexConv2d, ResidualDenseNetwork
from ._config import CDCINConfig

SIMULATED: Final = CDCINConfig(hexagonal=True, context_channels=5)
"""The network with shipped weights: it sees four initial estimates and the tissue on lattices of any kind."""


class CDCIN(nn.Module):
    """Cascaded Data Consistent Imputation Network (:cite:p:`Fang2025`).

    Each of its stages adds a correction to a map. Before every stage, and after the last one in :meth:`impute`,
    measured sites are reset to their measured values.

    Parameters
    ----------
    config
        Hyper-parameters; the light network if None. ``PRESETS["paper"]`` is the published one: 3 stages of 1,103,553
        trainable parameters, 3,310,659 in all. That count follows from biases in every convolution and linear map
        (also of queries, keys and values), affine layer norms, and one table of (2 * 8 - 1)**2 * 4 position biases
        per attention block.

    Notes
    -----
    Maps may have any height and width. All tensors must be on one device and, outside autocast, of the weights'
    dtype. The running map keeps the dtype of ``start``, so under bfloat16 autocast only the corrections are rounded.

    Examples
    --------
    >>> import torch
    >>> from s2s_scverse.nn import CDCIN, CDCINConfig
    >>> network = CDCIN(CDCINConfig(stages=2))
    >>> mask = torch.zeros(1, 1, 6, 9)
    >>> mask[..., ::2, ::2] = 1
    >>> network(torch.rand(1, 1, 6, 9), torch.rand(1, 1, 6, 9) * mask, mask).shape
    torch.Size([2, 1, 1, 6, 9])
    """

    def __init__(self, config: CDCINConfig | None = None) -> None:
        super().__init__()
        if not (config is None or isinstance(config, CDCINConfig)):
            msg = f"CDCIN: config must be a CDCINConfig or None, found {config!r}"
            raise TypeError(msg)
        self.config = CDCINConfig() if config is None else config
        count = 1 if self.config.share_stages else self.config.stages
        self.stages = nn.ModuleList(ResidualDenseNetwork(self.config) for _ in range(count))

    def forward(self, start: Tensor, values: Tensor, mask: Tensor, context: Tensor | None = None) -> Tensor:
        """The map after every stage, before the data consistency that follows it.

        Parameters
        ----------
        start
            Initial estimate, (B, 1, H, W).
        values
            Measured values, (B, 1, H, W). Not read where ``mask`` is 0.
        mask
            1 where measured, else 0, (B, 1, H, W).
        context
            Further maps, (B, ``config.context_channels``, H, W); None if there are none.

        Returns
        -------
        (K, B, 1, H, W).

        Raises
        ------
        TypeError
            One of the maps is no tensor.
        ValueError
            A shape is not as above, or ``context`` does not fit the configuration.
        """
        self._check(start, values, mask, context)
        measured = mask != 0
        values = values.masked_fill(~measured, 0)  # no leak of masked values
        fixed = [values] if self.config.values_channel else []
        fixed += [mask.to(values.dtype)] if self.config.mask_channel else []
        fixed += [context] if context is not None else []
        x, outputs = start, []
        for k in range(self.config.stages):
            x = self._consistent(x, values, measured)
            stage = self.stages[k % len(self.stages)]
            x = x + stage(torch.cat([x, *fixed], dim=1)).to(x.dtype)
            outputs.append(x)
        return torch.stack(outputs)

    def use_lattice(self, *, hexagonal: bool) -> None:
        """Set the kind of lattice of the maps that follow.

        It matters to networks with ``config.hexagonal`` only: they use seven weights of each 3x3 kernel on hexagonal
        lattices, and all nine on square ones.
        """
        for module in self.modules():
            if isinstance(module, HexConv2d):
                module.masked = hexagonal

    def impute(self, start: Tensor, values: Tensor, mask: Tensor, context: Tensor | None = None) -> Tensor:
        """The last stage's map after data consistency, (B, 1, H, W).

        Parameters and errors are those of :meth:`forward`. With ``consistency="exact"`` measured sites keep their
        values bit for bit.
        """
        return self._consistent(self(start, values, mask, context)[-1], values, mask != 0)

    def _consistent(self, x: Tensor, values: Tensor, measured: Tensor) -> Tensor:
        """Pull a map towards the measured values at measured sites, (B, 1, H, W); values elsewhere are not read."""
        if self.config.consistency == "off":
            return x
        if self.config.consistency == "noisy":
            values = (x + self.config.noise_level * values) / (1 + self.config.noise_level)
        # A selection rather than (1 - m) x + m x0: exact, and a NaN at an unread place goes no further.
        return torch.where(measured, values, x)

    def _check(self, start: Tensor, values: Tensor, mask: Tensor, context: Tensor | None) -> None:
        for name, given in (("start", start), ("values", values), ("mask", mask)):
            if not isinstance(given, Tensor):
                msg = f"CDCIN: {name} must be a tensor, found {type(given).__name__}"
                raise TypeError(msg)
        if start.ndim != 4 or start.shape[1] != 1 or min(start.shape[2:]) < 1:
            msg = f"CDCIN: start must have shape (B, 1, H, W), found {tuple(start.shape)}"
            raise ValueError(msg)
        channels = self.config.context_channels
        if (context is not None) != (channels > 0):
            found = "None" if context is None else f"a tensor of shape {tuple(context.shape)}"
            msg = f"CDCIN: config.context_channels is {channels}, but context is {found}"
            raise ValueError(msg)
        for name, tensor, n in (("values", values, 1), ("mask", mask, 1), ("context", context, channels)):
            shape = (start.shape[0], n, *start.shape[2:])
            if tensor is not None and tensor.shape != shape:
                msg = f"CDCIN: {name} must have shape {shape} to go with start, found {tuple(tensor.shape)}"
                raise ValueError(msg)


def simulated_weights(config: CDCINConfig) -> dict[str, Tensor]:
    """Return the state of the network `SIMULATED`, learnt from simulated sections by ``benchmarks/pretrain.py``.

    Raises a ValueError if `config` is of another network.
    """
    if replace(config, recompute=False) != SIMULATED:
        msg = (
            "the shipped weights fit the default network only; pass training=TrainingConfig() to start from random ones"
        )
        raise ValueError(msg)
    with np.load(Path(__file__).with_name("simulated.npz")) as arrays:
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
