"""Access to results in an AnnData."""

from ._at import at
from ._dense import dense
from ._draws import draws
from ._image import image
from ._interval import interval
from ._reliability import reliability_df, reliable_genes
from ._spatialdata import spatialdata, spatialdata_image
from ._tables import evaluation_df, evaluation_summary_df, evaluation_tests_df, history_df

__all__ = [
    "at",
    "dense",
    "draws",
    "evaluation_df",
    "evaluation_summary_df",
    "evaluation_tests_df",
    "history_df",
    "image",
    "interval",
    "reliability_df",
    "reliable_genes",
    "spatialdata",
    "spatialdata_image",
]
