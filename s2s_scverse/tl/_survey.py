"""One look at all values that may be seen, before anything is trained."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._checks import are_counts
from .._section import Values

__all__ = ["GENE_BLOCK", "Survey", "gene_blocks"]

GENE_BLOCK = 256
"""Genes that are read, imputed and written at a time."""


def gene_blocks(n_genes: int) -> list[slice]:
    """Cut genes into blocks."""
    return [slice(start, min(start + GENE_BLOCK, n_genes)) for start in range(0, n_genes, GENE_BLOCK)]


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
    def of(cls, values: Values, sections: list[NDArray[np.int64]]) -> "Survey":
        """Read everything once, refusing values that are not finite.

        Parameters
        ----------
        values
            Of all measured spots.
        sections
            Which of these rows belong to each section.
        """
        variance, mean = np.zeros(len(values)), np.zeros(len(values))
        whole, largest = np.ones(len(sections), bool), np.zeros(len(sections))
        for block in gene_blocks(len(values)):
            found = values.read(block)
            mean[block] = found.mean(axis=0, dtype=np.float64)
            for number, rows in enumerate(sections):
                here = found if len(rows) == len(found) else found[rows]
                variance[block] += len(rows) * here.var(axis=0, dtype=np.float64)
                largest[number] = max(largest[number], here.max())
                whole[number] &= bool(whole[number]) and are_counts(here)
        return cls(variance, mean, bool((whole & (largest > 1)).all()))

    def most_variable(self, n: int) -> NDArray[np.int64]:
        """Return the n genes that vary most, in their order; constant ones have nothing to teach."""
        order = np.argsort(-self.variance, kind="stable")[:n]
        return np.sort(order[self.variance[order] > 0])
