"""Keys that this package reads from and writes to an AnnData."""

from typing import Final

SPATIAL: Final = "spatial"  # obsm, read (and written for new sites): x, y of every site
ARRAY_ROW: Final = "array_row"  # obs, read and written
ARRAY_COL: Final = "array_col"  # obs, read and written
IN_TISSUE: Final = "in_tissue"  # obs, read: 0 for spots that are background
MEASURED: Final = "s2s_measured"  # obs, bool: measured spots, which tl.impute reads
HELD_OUT: Final = "s2s_held_out"  # obs, bool: test spots, which tl.evaluate scores
ARTIFACT: Final = "s2s_artifact"  # obs, written by pp.mask_artifacts: reason why a spot is masked
UNS: Final = "s2s"  # uns: everything that is not aligned to obs or var
GRID: Final = "grid"  # uns["s2s"]["grid"]: kind, shape, stride, pitch, basis, origin
SECTIONS: Final = "sections"  # uns["s2s"]["grid"]["sections"]: an entry like that of "grid" for each section
LIBRARY_KEY: Final = "library_key"  # uns["s2s"]["grid"]["library_key"]: the obs column that names the section
IMAGE_FEATURES: Final = "s2s_image"  # obsm, written by pp.image_features
IMAGE: Final = "image"  # uns["s2s"]["image"]: names and parameters of features, an entry for each obsm key
EVALUATION: Final = "evaluation"  # uns["s2s"]["evaluation"]: tables of scores
MODEL: Final = "model"  # uns["s2s"][run]["model"]: fitted parameters of tl.impute
# Templates with the name of the run:
VISIBLE: Final = "{}_visible"  # obs, bool: sites that were measured
RELIABILITY: Final = "{}_reliability"  # var: expected PCC at unmeasured sites
COVARIATE_GAIN: Final = "{}_covariate_gain"  # var: fraction of the variance that covariates explain
STD: Final = "{}_std"  # layers: predictive standard deviation
