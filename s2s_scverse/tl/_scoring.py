"""Scores of the genes of layers, block by block."""

from collections.abc import Sequence

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .. import _keys
from .._adata import read_values
from .._checks import few
from .._scores import Scorer

__all__ = ["GENE_BLOCK", "score_genes"]

GENE_BLOCK = 1024


def score_genes(
    adata: AnnData,
    names: Sequence[str],
    columns: NDArray[np.int64],
    *,
    truth: str | None,
    measured: NDArray[np.bool_],
    held_out: NDArray[np.bool_],
    weights: csr_array,
    unrecorded: Sequence[str],
    skip_missing: bool,
) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    """Return the columns scored, and the values of every score, (n_layers, n_scored).

    The layers `names` are compared with the layer `truth` (None for X) at the spots `held_out`, (n_obs,). SSIM uses the
    data range at `measured` spots and `weights`, (n_held_out, n_held_out). Genes that are missing in a layer are
    skipped or refused; `unrecorded` layers that equal the truth are refused.
    """

    def read(layer: str | None, block: NDArray[np.int64]) -> NDArray[np.float32]:
        return read_values(adata, held_out, block, layer=layer, finite=False)

    scored, parts = [], []
    copies, varied = dict.fromkeys(unrecorded, True), False
    for start in range(0, len(columns), GENE_BLOCK):
        block = columns[start : start + GENE_BLOCK]
        predictions = {name: read(name, block) for name in names}
        kept = np.ones(len(block), dtype=bool)
        for name, values in predictions.items():
            missing = np.isnan(values).all(axis=0)
            if missing.any() and not skip_missing:
                absent = few(adata.var_names[block[missing]])
                msg = f"genes not imputed in layer {name!r}: {absent}; impute them, or pass genes=None to skip them"
                raise ValueError(msg)
            kept &= ~missing
        if not kept.any():
            continue
        block = block[kept]
        predictions = {name: values[:, kept] for name, values in predictions.items()}
        true_values = read(truth, block)
        for layer, values in ((truth, true_values), *predictions.items()):
            _check_finite(adata, layer, values, block)

        # Predictions of constant genes may equal the truth.
        varying = true_values.max(axis=0) > true_values.min(axis=0)
        varied |= bool(varying.any())
        for name in copies:
            copies[name] &= np.array_equal(predictions[name][:, varying], true_values[:, varying])

        data_range = np.full(len(block), np.nan, dtype=np.float32)
        if measured.any():
            data_range = np.ptp(read_values(adata, measured, block, layer=truth), axis=0)
        score = Scorer(true_values, data_range, weights)
        found = []
        for name in names:
            std = _keys.STD.format(name)
            found.append(score(predictions[name], read(std, block) if std in adata.layers else None))
        parts.append({key: np.stack([each[key] for each in found]) for key in found[0]})
        scored.append(block)
    if not scored:
        msg = f"no gene is in all of the layers {few(names)}; impute the same genes in each"
        raise ValueError(msg)
    seen = [name for name, copy in copies.items() if copy and varied]
    if seen:
        msg = (
            f"layer {seen[0]!r} cannot be scored: it equals the truth at all {int(held_out.sum())} held-out "
            "spots, so they were visible to its method; impute after s2s.pp.sparsify"
        )
        raise ValueError(msg)
    return np.concatenate(scored), {key: np.hstack([part[key] for part in parts]) for key in parts[0]}


def _check_finite(adata: AnnData, layer: str | None, values: NDArray[np.float32], columns: NDArray[np.int64]) -> None:
    """Refuse NaN and infinite values."""
    bad = ~np.isfinite(values).all(axis=0)
    if bad.any():
        what = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
        genes = few(adata.var_names[columns[bad]])
        msg = f"{what} is NaN or infinite at held-out spots for {genes}; set these values or pass other genes"
        raise ValueError(msg)
