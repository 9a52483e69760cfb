"""Reading results out of an AnnData."""

from ._at import at
from ._dense import dense
from ._evaluation import evaluation_df, evaluation_summary_df, evaluation_tests_df
from ._history import history_df
from ._image import image
from ._reliability import interval, reliable_genes
from ._spatialdata import spatialdata, spatialdata_image

__all__ = [
    "at",
    "dense",
    "evaluation_df",
    "evaluation_summary_df",
    "evaluation_tests_df",
    "history_df",
    "image",
    "interval",
    "reliable_genes",
    "spatialdata",
    "spatialdata_image",
]
