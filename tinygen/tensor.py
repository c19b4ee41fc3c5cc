"""Floor 2. A Tensor holds an array and knows how it came to be; a Primitive computes one and records it.

>>> import tinygen as tg
>>> x = tg.tensor([1.0, 2.0], requires_grad=True)
>>> (x * x).node
multiply(float32[2], float32[2])
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec

import numpy as np

from tinygen.backend import Array, as_array, device_of, read_only, to_host
from tinygen.operands import require_float
from tinygen.record import Node, brief

P = ParamSpec("P")
_NUMBERS = frozenset([float, int, bool])


class Tensor:
    """An array that remembers how it was computed.

    ``Tensor(array)`` takes an array of any backend as it is; users call :func:`tinygen.tensor`, which copies.
    The array is never written again; a leaf can be *rebound* to another one by :meth:`assign`.
    """

    __slots__ = ("__weakref__", "_data", "_requires_grad", "grad", "node")
    __array_ufunc__ = None  # so that array * tensor asks the tensor

    def __init__(self, data: Array, requires_grad: bool = False) -> None:
        self._data = as_array(data)
        self.node: Node | None = None
        self.grad: Tensor | None = None
        self._requires_grad = False
        self.requires_grad = requires_grad

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded.  Only a leaf's can be set, only a floating one's to True."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value:
            require_float("requires_grad", self._data)
        if self.node is not None and not value:
            raise ValueError("requires_grad of a computed tensor cannot be set; use .detach()")
        self._requires_grad = bool(value)

    @property
    def data(self) -> Array:
        """The raw array, as a view that cannot be written (where a library has such views; else the array itself)."""
        return read_only(self._data)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        return self._data.ndim  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        return self._data.size  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._data.dtype  # type: ignore[no-any-return]

    @property
    def device(self) -> str:
        return device_of(self._data)

    def assign(self, array: Array, *, copy: bool = True) -> None:
        """Rebind this leaf to another array of the same shape, dtype and device; ``copy=False`` takes it as it is."""
        if self.node is not None:
            raise ValueError(f"assign: only leaves can be rebound, this tensor was computed by {self.node}")
        array = as_array(raw(array))
        if not hasattr(array, "dtype"):
            raise TypeError(f"assign: needs an array or a tensor, got {type(array).__name__}")
        have, given = (brief(self._data), self.device), (brief(array), device_of(array))
        if have != given:
            raise ValueError(f"assign: the tensor is {have[0]} on {have[1]}, the new array {given[0]} on {given[1]}")
        self._data = array.copy() if copy else array

    def detach(self) -> Tensor:
        """The same values, without their history."""
        return wrap(self._data, None, False)

    def numpy(self) -> np.ndarray:
        """The values on the host, read-only; from a device this synchronises."""
        return read_only(to_host(self._data))  # type: ignore[no-any-return]

    def item(self) -> Any:
        """The value of a tensor with one element, as a Python number; from a device this synchronises."""
        if self.size != 1:
            raise ValueError(f"item: needs a tensor with one element, got shape {self.shape}; use .numpy()")
        return to_host(self._data).item()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"the truth of a tensor of shape {self.shape} is not defined; use .all(), .any() of .numpy()"
            )
        return bool(self.item())

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("a tensor without axes has no len()")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[index] for index in range(len(self)))

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        values = np.array2string(self.numpy(), precision=4, threshold=20, edgeitems=2, prefix="tensor(")
        made = f", by {self.node.primitive.name}" if self.node else ", requires_grad" if self._requires_grad else ""
        return f"tensor({values}, {brief(self._data)} on {self.device}{made})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.node is not None:
            raise ValueError(f"only leaves can be deep-copied, this tensor was computed by {self.node}; detach it")
        twin = type(self)(self._data.copy(), self._requires_grad)
        memo[id(self)] = twin
        return twin

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise TypeError(
            "tensors are never written, a record may need their values: build a new one with tg.where, "
            "tg.concatenate or tg.index_add, or rebind a leaf with .assign(array)"
        )

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("a tensor does not turn into a NumPy array by itself (its history would be lost); use .numpy()")

    def __array_function__(self, function: Any, *args: Any) -> NoReturn:
        name = function.__name__
        raise TypeError(f"numpy.{name} cannot record; use tg.{name} (if it exists) or pass .numpy()")

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self._data.copy().__dlpack__(**kwargs)  # a consumer may write into what it gets

    def __dlpack_device__(self) -> Any:
        return self._data.__dlpack_device__()

    if TYPE_CHECKING:  # operators and methods are hung on this class from one table in ops/__init__.py
        T: Tensor
        mT: Tensor  # noqa: N815

        def backward(self, gradient: Any = None) -> None: ...
        def __getattr__(self, name: str) -> Callable[..., Tensor]: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __pos__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]


def wrap(data: Array, node: Node | None, requires_grad: bool) -> Tensor:
    """A tensor around an array that is ours, without the constructor's checks."""
    tensor = Tensor.__new__(Tensor)
    tensor._data, tensor.node, tensor._requires_grad, tensor.grad = data, node, requires_grad, None
    return tensor


def raw(x: Any) -> Array:
    """The raw array of a tensor; arrays pass through."""
    return x._data if isinstance(x, Tensor) else x


def detach(x: Any) -> Any:
    """``x`` without its history; arrays and numbers pass through."""
    return x.detach() if isinstance(x, Tensor) else x
