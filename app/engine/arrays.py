"""The arrays that the engine computes with, by what they hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Kinds = NDArray[np.object_]  # text, or None where missing
Times = NDArray[np.int64]  # epoch seconds
Flags = NDArray[np.bool_]
Index = NDArray[np.intp]  # places in another array
