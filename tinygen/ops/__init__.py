"""Floor 3. All operations, and the one table that hangs operators and methods on Tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygen.ops import linalg
from tinygen.ops.arrange import (  # fmt: skip
    concatenate,
    diagonal,
    flip,
    pad,
    repeat,
    roll,
    split,
    stack,
    tile,
    tril,
    triu,
)
from tinygen.ops.compare import (
    clip,
    elu,
    equal,
    greater,
    greater_equal,
    leaky_relu,
    less,
    less_equal,
    log_sigmoid,
    maximum,
    minimum,
    not_equal,
    relu,
    sigmoid,
    silu,
    softplus,
    where,
)  # fmt: skip
from tinygen.ops.conv import conv1d, conv2d, conv_transpose1d, conv_transpose2d
from tinygen.ops.convert import (
    arange,
    astype,
    eye,
    from_dlpack,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tensor,
    to,
    zeros,
    zeros_like,
)  # fmt: skip
from tinygen.ops.elementwise import (
    abs,
    add,
    arccos,
    arcsin,
    arctan,
    cos,
    cosh,
    divide,
    exp,
    expm1,
    log,
    log1p,
    logaddexp,
    multiply,
    negative,
    power,
    sign,
    sin,
    sinh,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
    xlogy,
)  # fmt: skip
from tinygen.ops.index import argsort, embedding, getitem, index_add, one_hot, sort, take, take_along_axis
from tinygen.ops.losses import binary_cross_entropy_with_logits, cross_entropy, l1_loss, mse_loss, nll_loss
from tinygen.ops.matmul import dot, einsum, linear, matmul, outer, trace
from tinygen.ops.pool import avg_pool1d, avg_pool2d, interpolate, max_pool1d, max_pool2d
from tinygen.ops.reduce import argmax, argmin, cumsum, max, mean, min, prod, quantile, std, sum, var
from tinygen.ops.shape import broadcast_to, expand_dims, moveaxis, reshape, squeeze, swapaxes, transpose
from tinygen.ops.softmax import log_softmax, logsumexp, softmax  # fmt: skip
from tinygen.primitive import Primitive
from tinygen.tensor import Tensor

__all__ = [
    "abs", "add", "arange", "arccos", "arcsin", "arctan", "argmax", "argmin", "argsort", "astype", "avg_pool1d",
    "avg_pool2d", "binary_cross_entropy_with_logits", "broadcast_to", "clip", "concatenate", "conv1d", "conv2d",
    "conv_transpose1d", "conv_transpose2d", "cos", "cosh", "cross_entropy", "cumsum", "diagonal", "divide", "dot",
    "einsum", "elu", "embedding", "equal", "exp", "expand_dims", "expm1", "eye", "flip", "from_dlpack", "full",
    "full_like", "greater", "greater_equal", "index_add", "interpolate", "l1_loss", "leaky_relu", "less",
    "less_equal", "linalg", "linear", "linspace", "log", "log1p", "log_sigmoid", "log_softmax", "logaddexp",
    "logsumexp", "matmul", "max", "max_pool1d", "max_pool2d", "maximum", "mean", "min", "minimum", "moveaxis",
    "mse_loss", "multiply", "negative", "nll_loss", "not_equal", "one_hot", "ones", "ones_like", "outer", "pad",
    "power", "prod", "quantile", "relu", "repeat", "reshape", "roll", "sigmoid", "sign", "silu", "sin", "sinh",
    "softmax", "softplus", "sort", "split", "sqrt", "square", "squeeze", "stack", "std", "subtract", "sum",
    "swapaxes", "take", "take_along_axis", "tan", "tanh", "tensor", "tile", "to", "trace", "transpose", "tril",
    "triu", "var", "where", "xlogy", "zeros", "zeros_like",
]  # fmt: skip

_BINARY: dict[str, Callable[..., Any]] = {
    "add": add, "sub": subtract, "mul": multiply, "truediv": divide, "pow": power, "matmul": matmul,
}  # fmt: skip
_COMPARISONS: dict[str, Callable[..., Any]] = {
    "lt": less,
    "le": less_equal,
    "gt": greater,
    "ge": greater_equal,
    "eq": equal,
    "ne": not_equal,
}
_METHODS: list[Callable[..., Any]] = [
    abs, argmax, argmin, astype, clip, cumsum, diagonal, exp, expand_dims, flip, log, logsumexp, log_softmax, max, mean,
    min, moveaxis, prod, relu, repeat, reshape, sigmoid, softmax, sort, sqrt, square, squeeze, std, sum, swapaxes, take,
    tanh, tile, to, trace, transpose, var, cos, sin,
]  # fmt: skip


def _method(operation: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        return operation(self, *args, **kwargs)

    method.__name__, method.__doc__ = operation.__name__, operation.__doc__
    return method


def _operator(operation: Callable[..., Any]) -> Callable[[Tensor, Any], Any]:
    call = operation.__call__ if isinstance(operation, Primitive) else operation  # a bound method is called quicker
    return lambda self, other: call(self, other)


def _reflected(operation: Callable[..., Any]) -> Callable[[Tensor, Any], Any]:
    return lambda self, other: operation(other, self)


for _name, _operation in _BINARY.items():
    setattr(Tensor, f"__{_name}__", _operator(_operation))
    setattr(Tensor, f"__r{_name}__", _reflected(_operation))
for _name, _operation in _COMPARISONS.items():
    setattr(Tensor, f"__{_name}__", _operator(_operation))
for _operation in _METHODS:
    setattr(Tensor, _operation.__name__, _method(_operation))
Tensor.__neg__ = lambda self: negative(self)  # type: ignore[method-assign]
Tensor.__pos__ = lambda self: self  # type: ignore[method-assign]
Tensor.__abs__ = lambda self: abs(self)  # type: ignore[method-assign]
Tensor.__getitem__ = getitem  # type: ignore[method-assign]
Tensor.T = property(lambda self: transpose(self))  # type: ignore[assignment]
Tensor.mT = property(lambda self: swapaxes(self, -1, -2))  # type: ignore[assignment]
