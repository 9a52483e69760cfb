"""Reading sections and values from an AnnData, and writing results to it."""

from ._counts import find_depth, read_molecules
from ._genes import GENE_BLOCK, GeneMatrix, Survey, find_matrix, gene_blocks, read_values
from ._inputs import MAX_DISTANCE, Inputs, check_apart, covariate_names, read_inputs, read_inputs_of_run
from ._layers import Layers, check_store, open_layers
from ._runs import (
    check_copy,
    check_keys,
    check_run_key,
    find_runs,
    find_source,
    read_visible,
    versions,
    write_evaluation,
    write_image_features,
    write_run,
)
from ._sections import (
    array_positions,
    grid_entry,
    read_mask,
    read_measured,
    read_section,
    read_sections,
)

__all__ = [
    "GENE_BLOCK",
    "MAX_DISTANCE",
    "GeneMatrix",
    "Inputs",
    "Layers",
    "Survey",
    "array_positions",
    "check_apart",
    "check_copy",
    "check_keys",
    "check_run_key",
    "check_store",
    "covariate_names",
    "find_depth",
    "find_matrix",
    "find_runs",
    "find_source",
    "gene_blocks",
    "grid_entry",
    "open_layers",
    "read_inputs",
    "read_inputs_of_run",
    "read_mask",
    "read_measured",
    "read_molecules",
    "read_section",
    "read_sections",
    "read_values",
    "read_visible",
    "versions",
    "write_evaluation",
    "write_image_features",
    "write_run",
]
