"""tinygen: generative models from first principles, on an automatic-differentiation engine to read in an afternoon.

Reading order: ``backend`` (which library an array lives in), ``record`` and ``tensor`` (what is recorded),
``ops`` (each operation beside its derivative), ``autograd`` (the walk back), ``transforms`` (Jacobians and kin).
"""

import importlib
from typing import Any

from tinygen.anomaly import detect_anomaly
from tinygen.autograd import grad
from tinygen.backend import cuda_is_available, default_dtype, device, set_default_device, set_default_dtype
from tinygen.checkpoint import load, save
from tinygen.explain import draw, explain
from tinygen.ops import *  # noqa: F403
from tinygen.ops import __all__ as _operations
from tinygen.primitive import Primitive
from tinygen.record import no_grad
from tinygen.roots import root
from tinygen.tensor import Tensor, detach
from tinygen.transforms import hessian, hvp, jacobian, jvp, log_abs_det_jacobian, vjp

from tinygen import data, nn, optim, random  # isort: skip  (after the names they are written with)

__all__ = [
    "Primitive", "Tensor", "cuda_is_available", "data", "default_dtype", "detach", "detect_anomaly", "device", "draw",
    "explain", "grad", "hessian", "hvp", "jacobian", "jvp", "load", "log_abs_det_jacobian", "nn", "no_grad", "optim",
    "random", "root", "save", "set_default_device", "set_default_dtype", "vjp", *_operations,
]  # fmt: skip

_ON_DEMAND = {
    "adversarial", "distributions", "divergences", "flows", "lectures", "metrics", "models", "plots", "testing",
    "training",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Workshop modules that not everyone needs are imported when they are first named."""
    if name in _ON_DEMAND:
        return importlib.import_module(f"tinygen.{name}")
    raise AttributeError(f"module 'tinygen' has no attribute {name!r}")
