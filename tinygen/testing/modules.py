"""Floor 8. Does a module do all that a module must?  Derivatives, saving, modes, dtypes, devices."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygen.autograd import grad
from tinygen.backend import to_device, to_host
from tinygen.nn import Buffer, Module, Parameter, frozen
from tinygen.ops import sum
from tinygen.record import no_grad
from tinygen.tensor import Tensor, raw
from tinygen.testing.copies import Noise, home, noises
from tinygen.testing.gradients import TOLERANCE, joined, tensors_of, worst_entry
from tinygen.testing.search import refuted, search

PARITY = 1e-9  # the same sums in another order, in float64


def check_module(
    module: Module,
    *inputs: Any,
    order: int = 2,
    devices: Sequence[str] = (),
    noise: float = 0.1,
    examples: int = 3,
    seed: int = 0,
) -> None:
    """Raise AssertionError unless a module does for these inputs all that one must.  It is not changed.

    - derivatives in inputs and parameters up to ``order`` against finite differences, in training and in evaluation,
      with the parameters as given and moved by noise (keep inputs clear of kinks; a stop-gradient, as that of
      spectral normalisation, is seen as what it is: a derivative that is not that of the function);
    - nothing but Parameters, Buffers and Constants holds values, and the state_dict brings back a module whose
      values were all changed, to the bit;
    - ``train`` and ``eval`` reach every part; in evaluation and inside ``frozen`` no buffer moves; evaluation repeats
      to the bit;
    - float32 stays float32, in outputs and gradients;
    - on each of ``devices`` outputs and gradients are those of the CPU.

    >>> import tinygen as tg
    >>> check_module(tg.nn.Linear(3, 2), [[0.5, -1.0, 2.0]])
    >>> class Detached(tg.nn.Linear):
    ...     def forward(self, x):
    ...         return super().forward(tg.detach(x))
    >>> check_module(Detached(3, 2), [[0.5, -1.0, 2.0]])
    Traceback (most recent call last):
    AssertionError: check_module: Detached: in training, the derivative is wrong: order 1, input 0 entry ...
    ...
    """
    title, given = f"check_module: {type(module).__name__}", [_array(value) for value in inputs]
    twin = copy.deepcopy(module).astype(np.float64)

    def derivatives(parameters: Noise, training: bool) -> None:
        with parameters.on(twin):
            _check_derivatives(twin.train(training), given, order, seed, parameters)

    for check in (_check_holdings, _check_modes, _check_saving, _check_single_precision):
        search(title, lambda check=check: check(copy.deepcopy(module), given), {}, 1, seed)
    for training in (True, False):
        for device in devices:
            search(title, lambda t=training, d=device: _check_device(twin.train(t), given, d), {}, 1, seed)
        search(
            title,
            lambda parameters, t=training: derivatives(parameters, t),
            {"parameters": noises(noise, twin)}, examples, seed,
        )  # fmt: skip


def _array(value: Any) -> np.ndarray:
    array = to_host(raw(value)) if hasattr(raw(value), "dtype") else np.asarray(value)
    return np.array(array, np.float64) if array.dtype.kind == "f" else array


class _Held:
    """A module with its state as it was: each call starts from the same buffers and random streams."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.buffers = [(buffer, buffer.data) for _, buffer in module.named_buffers()]
        self.streams = module.extra_state()

    def restore(self) -> None:
        for buffer, values in self.buffers:
            buffer.assign(values)
        self.module.load_extra_state(self.streams)

    def __call__(self, *inputs: Tensor) -> Any:
        self.restore()
        return self.module(*inputs)


def _check_derivatives(module: Module, inputs: list[np.ndarray], order: int, seed: int, noise: Noise) -> None:
    held, device = _Held(module), home(module)
    floating = [position for position, array in enumerate(inputs) if array.dtype.kind == "f"]
    named = list(module.named_parameters())
    before = [parameter.data for _, parameter in named]
    names = [f"input {position}" for position in floating] + [f"parameter {name}" for name, _ in named]

    def evaluate(values: list[np.ndarray]) -> tuple[Tensor, list[Tensor]]:
        tensors = [Tensor(to_device(array, device)) for array in inputs]
        for position, value in zip(floating, values, strict=False):
            tensors[position] = Tensor(to_device(value, device), requires_grad=True)
        for (_, parameter), value in zip(named, values[len(floating) :], strict=True):
            parameter.assign(to_device(np.asarray(value), device))
        return joined(held(*tensors)), [tensors[position] for position in floating] + [p for _, p in named]

    values = [inputs[position] for position in floating] + [to_host(array) for array in before]
    try:
        found = worst_entry(evaluate, values, order, TOLERANCE, 24, seed)
    finally:
        for (_, parameter), array in zip(named, before, strict=True):
            parameter.assign(array)
        held.restore()
    if found is not None:
        mode = "training" if module.training else "evaluation"
        raise refuted(f"in {mode}, the derivative is wrong: {found.text(names)}", parameters=noise)


def _check_holdings(module: Module, inputs: list[np.ndarray]) -> None:
    """Values in plain tensors or arrays would be neither trained nor saved nor moved to another device."""
    for name, part in module.named_modules():
        for attribute, value in vars(part).items():
            plain = isinstance(value, Tensor) and not isinstance(value, (Parameter, Buffer))
            if plain or (not isinstance(value, Tensor) and hasattr(value, "dtype") and hasattr(value, "shape")):
                raise refuted(
                    f"{name or 'it'} holds values in the attribute {attribute!r} that are neither saved nor moved to a "
                    "device; make it a Parameter, a Buffer or a Constant"
                )


def _check_modes(module: Module, inputs: list[np.ndarray]) -> None:
    tensors = _tensors(module, inputs, None)
    for training in (True, False):
        module.train(training)
        if any(part.training is not training for part in module.modules()):
            raise refuted(f"train({training}) does not reach all its parts")
        before = _state(module)
        context = frozen(module) if training else contextlib.nullcontext()
        with no_grad(), context:
            first = _values(module(*tensors))
            second = _values(module(*tensors))
        where = "inside frozen" if training else "in evaluation"
        for name, values in _state(module).items():
            if not np.array_equal(values, before[name], equal_nan=True):
                raise refuted(f"{where} {name} moves", before=before[name], after=values)
        if not training and any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(first, second, strict=True)):
            raise refuted("in evaluation two calls differ", first=first[0], second=second[0])


def _check_saving(module: Module, inputs: list[np.ndarray]) -> None:
    module.eval()
    tensors = _tensors(module, inputs, None)
    with no_grad():
        expected, saved = _values(module(*tensors)), module.state_dict()
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if name in saved:
                other = np.asarray(tensor.numpy() + np.ones((), tensor.dtype), tensor.dtype)
                tensor.assign(to_device(other, tensor.device))
        module.load_state_dict(saved)
        found = _values(module(*tensors))
    for name, array in module.state_dict().items():
        if not np.array_equal(to_host(array), to_host(saved[name]), equal_nan=True):
            raise refuted(f"load_state_dict does not bring {name} back", saved=to_host(saved[name]), now=to_host(array))
    if any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(found, expected, strict=True)):
        raise refuted("its state_dict does not bring it back", before=expected[0], after=found[0])


def _check_single_precision(module: Module, inputs: list[np.ndarray]) -> None:
    module.astype(np.float32)
    tensors = _tensors(module, inputs, np.float32)
    output = module(*tensors)
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    outputs = tensors_of(output)
    slopes: Sequence[Any] = ()
    if parameters and joined(output).requires_grad:
        slopes = grad(sum(joined(output)), parameters, allow_unused=True)
    for what, tensor in [("an output", t) for t in outputs] + [("a gradient", t) for t in slopes if t is not None]:
        if tensor.dtype != np.float32:
            raise refuted(f"with float32 parameters and inputs {what} is {tensor.dtype}")


def _check_device(module: Module, inputs: list[np.ndarray], device: str) -> None:
    sides = []
    for place in ("cpu", device):
        twin = copy.deepcopy(module).to(place)
        tensors = _tensors(twin, inputs, np.float64)
        output = joined(twin(*tensors))
        slopes: Sequence[Any] = ()
        if twin.parameters() and output.requires_grad:
            slopes = grad(sum(output * output), twin.parameters(), allow_unused=True)
        names = ["the output", *(f"the gradient in {name}" for name, _ in twin.named_parameters())]
        sides.append([None if t is None else t.numpy() for t in (output, *slopes)])
    for name, host, found in zip(names, *sides, strict=False):
        if host is not None and not (np.abs(host - found) <= PARITY * (1.0 + np.abs(host))).all():
            raise refuted(f"on {device} {name} is not that of the CPU", cpu=host, **{device: found})


def _tensors(module: Module, inputs: list[np.ndarray], dtype: Any) -> list[Tensor]:
    """The inputs on the module's device; floating ones in its dtype, or in this one."""
    floats = [parameter.dtype for parameter in module.parameters() if parameter.dtype.kind == "f"]
    dtype = dtype or (floats[0] if floats else np.float64)
    return [Tensor(to_device(a.astype(dtype) if a.dtype.kind == "f" else a, home(module))) for a in inputs]


def _state(module: Module) -> dict[str, np.ndarray]:
    return {name: to_host(array) for name, array in module.state_dict().items()}


def _values(output: Any) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in tensors_of(output)]
