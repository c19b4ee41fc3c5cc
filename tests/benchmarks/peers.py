"""The engines that are compared, and how each of them takes a gradient.

An *implementation* of a case is a function without arguments that prepares its data and returns a *step*: what is
timed.  A step returns the numbers that the implementations must agree on.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import floor
import numpy as np

import tinygen as tg

Step = Callable[[], Sequence[Any]]
Implementation = Callable[[], Step]
Learner = Callable[[], tuple[list[Any], Callable[..., Any]]]  # prepares (parameters, loss)


def optional(name: str) -> Any:
    """A module, or None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


torch = optional("torch")
functional = optional("torch.nn.functional")
autograd = optional("autograd")
anp = optional("autograd.numpy")
ENGINES = ("tinygen", "torch", "autograd", "numpy")
INSTALLED = {"tinygen", "numpy", *(["torch"] if torch else []), *(["autograd"] if autograd else [])}


def limit_threads(count: int) -> None:
    """PyTorch's own thread pool; the others obey the environment."""
    if torch:
        torch.set_num_threads(count)


def as_numpy(value: Any) -> np.ndarray:
    """A result of any engine as a NumPy array."""
    return value.detach().numpy() if hasattr(value, "detach") else np.asarray(value)


# --- a function and its gradient -------------------------------------------------------------------------------------


def differentiate(
    functions: dict[str, Callable[..., Any]], arrays: Sequence[np.ndarray], cotangent: np.ndarray | None = None
) -> dict[str, Implementation]:
    """Value and gradients of a function of some arrays, weighted by ``cotangent`` (1 for a scalar).

    Each engine's function takes its own tensors; that of ``numpy`` takes arrays and the cotangent, and returns
    value and gradients itself.
    """
    ways = {"tinygen": _in_tinygen, "torch": _in_torch, "autograd": _in_autograd, "numpy": _in_numpy}
    return {
        engine: lambda engine=engine: ways[engine](functions[engine], arrays, cotangent)  # type: ignore[misc]
        for engine in functions
    }


def _in_tinygen(function: Callable[..., Any], arrays: Sequence[np.ndarray], cotangent: np.ndarray | None) -> Step:
    leaves = [tg.tensor(array, requires_grad=True) for array in arrays]
    weights = None if cotangent is None else tg.tensor(cotangent)

    def step() -> Sequence[Any]:
        value = function(*leaves)
        return value, *tg.grad(value, leaves, weights)

    return step


def _in_torch(function: Callable[..., Any], arrays: Sequence[np.ndarray], cotangent: np.ndarray | None) -> Step:
    leaves = [torch.tensor(array, requires_grad=True) for array in arrays]
    weights = None if cotangent is None else torch.tensor(cotangent)

    def step() -> Sequence[Any]:
        value = function(*leaves)
        return value, *torch.autograd.grad(value, leaves, weights)

    return step


def _in_autograd(function: Callable[..., Any], arrays: Sequence[np.ndarray], cotangent: np.ndarray | None) -> Step:
    make_vjp = autograd.differential_operators.make_vjp(function, tuple(range(len(arrays))))
    weights = np.float32(1) if cotangent is None else cotangent

    def step() -> Sequence[Any]:
        pull, value = make_vjp(*arrays)
        return value, *pull(weights)

    return step


def _in_numpy(function: Callable[..., Any], arrays: Sequence[np.ndarray], cotangent: np.ndarray | None) -> Step:
    return lambda: function(*arrays, cotangent) if cotangent is not None else function(*arrays)


def forward(functions: dict[str, Callable[..., Any]], arrays: Sequence[np.ndarray]) -> dict[str, Implementation]:
    """The value of a function alone, recorded where the engine records."""

    def prepare(engine: str) -> Step:
        function = functions[engine]
        leaves: Sequence[Any] = arrays
        if engine == "tinygen":
            leaves = [tg.tensor(array, requires_grad=True) for array in arrays]
        elif engine == "torch":
            leaves = [torch.tensor(array, requires_grad=True) for array in arrays]
        return lambda: [function(*leaves)]

    return {engine: lambda engine=engine: prepare(engine) for engine in functions}  # type: ignore[misc]


# --- a training step -------------------------------------------------------------------------------------------------


def train(
    learners: dict[str, Learner], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999)
) -> dict[str, Implementation]:
    """A step of Adam: tinygen's and PyTorch's own.  autograd and ``numpy`` use the floor's.

    The loss of ``numpy`` returns its gradients as well.
    """

    def in_tinygen() -> Step:
        parameters, loss = learners["tinygen"]()
        optimizer = tg.optim.Adam(parameters, lr, betas)

        def step() -> Sequence[Any]:
            value = loss(parameters)
            optimizer.minimize(value)
            return [value]

        return step

    def in_torch() -> Step:
        parameters, loss = learners["torch"]()
        optimizer = torch.optim.Adam(parameters, lr, betas)

        def step() -> Sequence[Any]:
            value = loss(parameters)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            return [value]

        return step

    def with_floor(engine: str) -> Step:
        parameters, loss = learners[engine]()
        value_and_gradients = autograd.value_and_grad(loss) if engine == "autograd" else loss
        optimizer = floor.Adam(parameters, lr, betas)

        def step() -> Sequence[Any]:
            value, gradients = value_and_gradients(optimizer.parameters)
            optimizer.step(gradients)
            return [value]

        return step

    ways = {"tinygen": in_tinygen, "torch": in_torch}
    return {engine: ways.get(engine, lambda engine=engine: with_floor(engine)) for engine in learners}  # type: ignore[misc]


def gradients(learners: dict[str, Learner]) -> dict[str, Implementation]:
    """The loss of a training step and its gradients, nothing updated: what is compared before timing."""

    def prepare(engine: str) -> Step:
        parameters, loss = learners[engine]()

        def step() -> Sequence[Any]:
            if engine == "numpy":
                value, found = loss(parameters)
            elif engine == "autograd":
                value, found = autograd.value_and_grad(loss)(parameters)
            else:
                value = loss(parameters)
                found = (tg if engine == "tinygen" else torch.autograd).grad(value, parameters)
            return [value, *found]

        return step

    return {engine: lambda engine=engine: prepare(engine) for engine in learners}  # type: ignore[misc]


def copies(arrays: Sequence[np.ndarray]) -> dict[str, Callable[[], list[Any]]]:
    """The same parameters for each engine, made anew at each call."""
    return {
        "tinygen": lambda: [tg.tensor(array, requires_grad=True) for array in arrays],
        "torch": lambda: [torch.tensor(array, requires_grad=True) for array in arrays],
        "autograd": lambda: [array.copy() for array in arrays],
        "numpy": lambda: [array.copy() for array in arrays],
    }


def learners(losses: dict[str, Callable[..., Any]], arrays: Sequence[np.ndarray]) -> dict[str, Learner]:
    """Losses that take a list of parameters, each with its engine's copy of them."""
    made = copies(arrays)
    return {engine: lambda engine=engine, loss=loss: (made[engine](), loss) for engine, loss in losses.items()}  # type: ignore[misc]
