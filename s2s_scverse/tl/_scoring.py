"""From layers of an AnnData to scores of genes, block by block; nothing is written."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .. import _keys
from .._adata import read_values
from .._checks import few
from .._scores import Scorer

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["GENE_BLOCK", "Layers", "score_genes"]

GENE_BLOCK = 1024


@dataclass(frozen=True)
class Layers:
    """Layers to score, and the truth."""

    adata: "AnnData"
    names: list[str]
    truth: str | None
    """Layer of the true values, None for X."""
    measured: NDArray[np.bool_]
    held_out: NDArray[np.bool_]
    unrecorded: list[str]
    """Layers without a record of what was visible to their method."""

    def read(self, layer: str | None, columns: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return values at held-out spots, NaN and infinite ones too."""
        return read_values(self.adata, self.held_out, columns, layer=layer, finite=False)

    def read_range(self, columns: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the range of the true values of every gene at measured spots, NaN if there are none."""
        if not self.measured.any():
            return np.full(len(columns), np.nan, dtype=np.float32)
        return np.asarray(np.ptp(read_values(self.adata, self.measured, columns, layer=self.truth), axis=0))

    def read_std(self, name: str, columns: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """Return the standard deviations that belong to a layer, if there are any."""
        layer = _keys.STD.format(name)
        return self.read(layer, columns) if layer in self.adata.layers else None

    def check_finite(self, layer: str | None, values: NDArray[np.float32], columns: NDArray[np.int64]) -> None:
        """Refuse missing values."""
        bad = ~np.isfinite(values).all(axis=0)
        if bad.any():
            what, genes = "adata.X" if layer is None else f"adata.layers[{layer!r}]", self.adata.var_names[columns[bad]]
            msg = f"{what} is NaN or infinite at held-out spots for {few(genes)}; set these values or pass other genes"
            raise ValueError(msg)


def score_genes(
    layers: Layers, columns: NDArray[np.int64], weights: csr_array, *, skip_missing: bool
) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    """Return the columns scored, and the values of every score, (n_layers, n_scored).

    `weights` (n_held_out, n_held_out) is the window of SSIM. Genes that are not in every layer are left out with
    `skip_missing`, else refused, as are missing values, and layers without a record that equal the truth.
    """
    scored, parts = [], []
    copies, varied = dict.fromkeys(layers.unrecorded, True), False
    for start in range(0, len(columns), GENE_BLOCK):
        block = columns[start : start + GENE_BLOCK]
        predictions = {name: layers.read(name, block) for name in layers.names}
        kept = np.ones(len(block), dtype=bool)
        for name, values in predictions.items():
            missing = np.isnan(values).all(axis=0)
            if missing.any() and not skip_missing:
                absent = few(layers.adata.var_names[block[missing]])
                msg = f"genes not imputed in layer {name!r}: {absent}; impute them, or pass genes=None to skip them"
                raise ValueError(msg)
            kept &= ~missing
        if not kept.any():
            continue
        block = block[kept]
        predictions = {name: values[:, kept] for name, values in predictions.items()}
        truth = layers.read(layers.truth, block)
        for layer, values in ((layers.truth, truth), *predictions.items()):
            layers.check_finite(layer, values, block)

        # Constant genes are trivially right.
        varying = truth.max(axis=0) > truth.min(axis=0)
        varied |= bool(varying.any())
        for name in copies:
            copies[name] &= np.array_equal(predictions[name][:, varying], truth[:, varying])

        score = Scorer(truth, layers.read_range(block), weights)
        found = [score(predictions[name], layers.read_std(name, block)) for name in layers.names]
        parts.append({key: np.stack([each[key] for each in found]) for key in found[0]})
        scored.append(block)
    if not scored:
        msg = f"no gene is in all of the layers {few(layers.names)}; impute the same genes in each"
        raise ValueError(msg)
    seen = [name for name, copy in copies.items() if copy and varied]
    if seen:
        msg = (
            f"layer {seen[0]!r} cannot be scored: it equals the truth at all {int(layers.held_out.sum())} held-out "
            "spots, so they were visible to whatever wrote it; impute after s2s.pp.sparsify"
        )
        raise ValueError(msg)
    return np.concatenate(scored), {key: np.hstack([part[key] for part in parts]) for key in parts[0]}
