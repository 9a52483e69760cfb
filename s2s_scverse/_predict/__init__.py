"""Prediction of all genes at once at unmeasured sites: arrays in, arrays out."""

from ._coregionalization import *  # noqa: F403
from ._cross_validation import *  # noqa: F403
from ._kriging import *  # noqa: F403
from ._methods import *  # noqa: F403
from ._pca_kriging import *  # noqa: F403
from ._stack import *  # noqa: F403
from ._threads import *  # noqa: F403
from ._tiles import *  # noqa: F403
