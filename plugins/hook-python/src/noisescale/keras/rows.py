"""How large a batch is."""

from typing import Any

import keras


def rows_of(data: Any) -> int:
    """Rows of a batch's first input."""
    inputs = keras.utils.unpack_x_y_sample_weight(data)[0]
    first = next(array for array in keras.tree.flatten(inputs) if array is not None)
    return int(first.shape[0])
