"""Data as `fit` takes them: of which kind they are, rows of arrays in any structure, text among labels."""

import sys
from typing import Any

import keras
import numpy as np
from keras import ops


def is_dataset(x: Any) -> bool:
    """Whether x is a `tf.data.Dataset`, an `InGraph` or PyTorch's `DataLoader`; none is imported to tell."""
    tf, torch = sys.modules.get("tensorflow"), sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.utils.data.DataLoader):
        return True
    return is_in_graph(x) or (tf is not None and isinstance(x, tf.data.Dataset))


def is_in_graph(x: Any) -> bool:
    """Whether x is an `InGraph`."""
    in_graph = sys.modules.get("nft_keras.backend.in_graph")
    return in_graph is not None and isinstance(x, in_graph.InGraph)


def with_rows(arrays: Any) -> Any:
    """Arrays in any structure as those of NumPy and SciPy, of which rows can be taken by numbers and slices.

    Args:
        arrays: arrays as `fit` takes them, sparse ones, tensors and pandas' tables among them; None stays None.
    """

    def of(array):
        if hasattr(array, "to_numpy"):
            return array.to_numpy()
        if hasattr(array, "tocsr"):  # not all of scipy's have rows
            return array.tocsr()
        if type(array).__name__ in ("SparseTensor", "BCOO") and len(array.shape) == 2:  # TensorFlow's, JAX's
            import scipy.sparse

            values = array.values if hasattr(array, "values") else array.data
            return scipy.sparse.csr_array((np.asarray(values), np.asarray(array.indices).T), shape=tuple(array.shape))
        if ops.is_tensor(array):
            return ops.convert_to_numpy(array)
        return np.asarray(array) if hasattr(array, "__array__") else array

    return keras.tree.map_structure(of, arrays, none_is_leaf=False)


def rows_of(arrays: Any, rows: Any) -> Any:
    """Rows of arrays in any structure, dense: those of sparse ones and of pandas' tables become arrays.

    Args:
        arrays: arrays as `fit` takes them; None stays None.
        rows: slice, or array of ints.
    """

    def of(array):
        return array[rows].toarray() if hasattr(array, "toarray") else array[rows]

    return keras.tree.map_structure(of, with_rows(arrays), none_is_leaf=False)


def text_among(labels):
    """A text among the labels in arrays of any structure, None if there is none."""
    for each in keras.tree.flatten(labels):
        array = with_rows(each) if getattr(each, "shape", ()) and not ops.is_tensor(each) else each
        if getattr(getattr(array, "dtype", None), "kind", "O") in "OSU":
            text = next((label for label in np.ravel(array).tolist() if isinstance(label, str | bytes)), None)
            if text is not None:
                return text
    return None
