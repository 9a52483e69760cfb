"""Array types shared by the modules of this package."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bool", "Float", "Float32", "Float64", "Index"]

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]
Float: TypeAlias = NDArray[np.floating]
Index: TypeAlias = NDArray[np.intp]
Bool: TypeAlias = NDArray[np.bool_]
