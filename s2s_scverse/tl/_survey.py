"""One look at all values that may be seen, before anything is trained."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._checks import are_counts
from .._section import Values

__all__ = ["GENE_BLOCK", "Survey", "gene_blocks"]

GENE_BLOCK = 256
"""Genes that are read, imputed and written at a time."""


def gene_blocks(wanted: NDArray[np.bool_]) -> list[slice]:
    """Cut all genes into blocks, and return those with any that is wanted, (n_genes,).

    What is computed of a gene depends, by rounding, on the others of its block: these are always the same.
    """
    blocks = [slice(start, min(start + GENE_BLOCK, len(wanted))) for start in range(0, len(wanted), GENE_BLOCK)]
    return [block for block in blocks if wanted[block].any()]


@dataclass(frozen=True)
class Survey:
    """What all genes of all sections are like at measured spots.

    Attributes
    ----------
    variance
        (n_genes,) within sections, times the number of spots.
    mean
        (n_genes,) over all sections.
    counts
        Whether values look like counts in every section.
    """

    variance: NDArray[np.float64]
    mean: NDArray[np.float64]
    counts: bool

    @classmethod
    def of(cls, values: Values, sections: list[NDArray[np.int64]], wanted: NDArray[np.bool_]) -> "Survey":
        """Read everything once.

        Parameters
        ----------
        values
            Of all measured spots and all genes.
        sections
            Which of these rows belong to each section.
        wanted
            (n_genes,): whose values must be finite; others that are not count as constant.

        Raises
        ------
        ValueError
            If wanted values are not finite, all values are 0, or no gene varies.
        """
        variance, mean = np.zeros(len(values)), np.zeros(len(values))
        whole, largest = np.ones(len(sections), bool), np.zeros(len(sections))
        for block in gene_blocks(np.ones(len(values), bool)):
            found = values.read(block, finite=wanted[block])
            mean[block] = found.mean(axis=0, dtype=np.float64)
            for number, rows in enumerate(sections):
                here = found if len(rows) == len(found) else found[rows]
                variance[block] += len(rows) * here.var(axis=0, dtype=np.float64)
                largest[number] = max(largest[number], here.max())
                whole[number] &= bool(whole[number]) and are_counts(here)
        if not variance.any() and max(map(len, sections)) > 1:
            what = "no gene varies between measured spots"
            cause = "normalise over measured spots alone: s2s.pp.normalize(adata) instead of sc.pp.normalize_total"
            if not mean.any():
                what = "all measured values are 0"
                cause += ", whose median total is 0 where most sites are unmeasured"
            msg = f"{what}, so there is nothing to predict; check X, or {cause}"
            raise ValueError(msg)
        return cls(variance, mean, bool((whole & (largest > 1)).all()))

    def most_variable(self, n: int) -> NDArray[np.int64]:
        """Return the n genes that vary most, in their order; constant ones have nothing to teach."""
        order = np.argsort(-self.variance, kind="stable")[:n]
        return np.sort(order[self.variance[order] > 0])
