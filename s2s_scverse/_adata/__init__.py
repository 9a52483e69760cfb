"""Reading sections and values from an AnnData, and writing results to it."""

from ._genes import *  # noqa: F403
from ._runs import *  # noqa: F403
from ._sections import *  # noqa: F403
