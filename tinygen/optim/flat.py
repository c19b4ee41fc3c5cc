"""Floor 5. Leaf tensors whose arrays are views of one flat array: an update of all is a few array calls."""

from __future__ import annotations

from collections.abc import Sequence

from tinygen.backend import Array, device_of, namespace
from tinygen.tensor import Tensor


class Flat:
    """The values of several leaf tensors as one array.

    The array is never written.  ``rebind`` makes all tensors views of a new one; a record that holds the old
    views still sees the old values.
    """

    def __init__(self, owner: str, tensors: Sequence[Tensor]) -> None:
        self.tensors = list(tensors)
        self.slices: list[slice] = []
        self._owner = owner
        self._array: Array = None
        self._views: list[Array] = []
        start = 0
        for tensor in self.tensors:
            self.slices.append(slice(start, start + tensor.size))
            start += tensor.size

    def array(self) -> Array:
        """The values, gathered anew if a tensor was rebound since (by ``assign``, ``load_state_dict``, ``to``)."""
        if not self._views or any(t._data is not view for t, view in zip(self.tensors, self._views, strict=True)):
            self._views = [tensor._data for tensor in self.tensors]
            self._array = joined(self._owner, self._views)
        return self._array

    def rebind(self, array: Array) -> None:
        """Make the tensors views of a new flat array, which then belongs to them."""
        self._array = array
        self._views = [array[where].reshape(t._data.shape) for where, t in zip(self.slices, self.tensors, strict=True)]
        for tensor, view in zip(self.tensors, self._views, strict=True):
            tensor._data = view


def joined(owner: str, arrays: Sequence[Array]) -> Array:
    """A new flat array of all elements of arrays of one dtype and device."""
    check_alike(owner, arrays)
    return namespace(arrays[0]).concatenate([array.reshape(-1) for array in arrays])


def check_alike(owner: str, arrays: Sequence[Array]) -> None:
    """Raise ValueError if the arrays differ in dtype or device."""
    kinds = sorted({f"{array.dtype} on {device_of(array)}" for array in arrays})
    if len(kinds) > 1:
        raise ValueError(
            f"{owner}: all parameters must share one dtype and one device, these are {' and '.join(kinds)}; "
            f"convert them with .astype or .to, or use one {owner} for each kind"
        )
