"""Floor 5. Module: an object whose parameters, buffers and parts are found by looking at its attributes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import numpy as np

from tinygen.backend import Array, device_of, to_device
from tinygen.tensor import Tensor


class Parameter(Tensor):
    """A tensor that an optimiser trains."""

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data._data if isinstance(data, Tensor) else data, requires_grad)


class Buffer(Tensor):
    """A tensor that is saved with a module but not trained, as a running mean."""

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        super().__init__(data._data if isinstance(data, Tensor) else data, requires_grad)


class Module:
    """A network or a part of one.  Subclasses set parameters, buffers and modules as attributes and define forward.

    >>> import tinygen as tg
    >>> class Scale(tg.nn.Module):
    ...     def __init__(self):
    ...         self.factor = tg.nn.Parameter(tg.ones(3))
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> sorted(Scale().state_dict())
    ['factor']
    """

    training = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{type(self).__name__} defines no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules among the attributes, in the order in which they were set."""
        yield from ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def _named_tensors(self, kind: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        for name, value in vars(self).items():
            if isinstance(value, kind):
                yield prefix + name, value
        for name, child in self.named_children():
            yield from child._named_tensors(kind, f"{prefix}{name}.")

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Names and parameters; one that is used in two places comes once."""
        seen: set[int] = set()
        for name, parameter in self._named_tensors(Parameter):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self) -> list[Tensor]:
        """All parameters, each once."""
        return [parameter for _, parameter in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """Names and buffers."""
        yield from self._named_tensors(Buffer)

    def modules(self) -> Iterator[Module]:
        """This module and all its parts."""
        yield self
        for _, child in self.named_children():
            yield from child.modules()

    def train(self, mode: bool = True) -> Self:
        """Switch this module and its parts to training (or, with False, to evaluation)."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch to evaluation."""
        return self.train(False)

    def _rebind(self, change: Any) -> Self:
        for kind in (Parameter, Buffer):
            for _, tensor in self._named_tensors(kind):
                tensor._data = change(tensor._data)
                tensor.grad = None
        return self

    def to(self, device: str) -> Self:
        """Move all parameters and buffers; the tensors stay the same objects, so optimisers stay valid."""
        return self._rebind(lambda array: to_device(array, device))

    def astype(self, dtype: Any) -> Self:
        """Convert the floating parameters and buffers."""
        return self._rebind(lambda array: array.astype(dtype) if array.dtype.kind == "f" else array)

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters and buffers, by name; names and shapes are PyTorch's."""
        return {name: tensor._data.copy() for name, tensor in self._named_tensors((Parameter, Buffer))}

    def load_state_dict(self, mapping: Mapping[str, Any], strict: bool = True) -> None:
        """Copy arrays or tensors into the parameters and buffers of the same names.

        Every missing, unexpected and mis-shaped entry is reported in one error, and then nothing is changed;
        ``strict=False`` takes the entries that fit a name and leaves the others.
        """
        own = dict(self._named_tensors((Parameter, Buffer)))
        problems = []
        if strict:
            problems += [f"missing: {name}" for name in own if name not in mapping]
            problems += [f"unexpected: {name}" for name in mapping if name not in own]
        for name in own.keys() & mapping.keys():
            if tuple(own[name].shape) != tuple(mapping[name].shape):
                problems.append(f"shape of {name}: {own[name].shape} here, {tuple(mapping[name].shape)} given")
        if problems:
            raise ValueError(f"load_state_dict of {type(self).__name__}: " + "; ".join(sorted(problems)))
        for name in own.keys() & mapping.keys():
            given, tensor = mapping[name], own[name]
            raw = given._data if isinstance(given, Tensor) else given
            moved = to_device(raw if hasattr(raw, "dtype") else np.asarray(raw), device_of(tensor._data))
            tensor.assign(moved.astype(tensor.dtype), copy=False)

    def __repr__(self) -> str:
        count = sum(parameter.size for parameter in self.parameters())
        parts = "".join(f"\n  {name}: {child!r}".replace("\n", "\n  ") for name, child in self.named_children())
        return f"{type(self).__name__}({self.describe()}{parts and parts + chr(10)}) # {count:,} parameters"

    def describe(self) -> str:
        """What ``repr`` says of this module's own settings."""
        return ""


class ModuleList(Module):
    """Modules in a list."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> None:
        setattr(self, str(len(self)), module)

    def __len__(self) -> int:
        return len(list(self.named_children()))

    def __iter__(self) -> Iterator[Module]:
        return iter([child for _, child in self.named_children()])

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]


@contextlib.contextmanager
def frozen(*modules: Module) -> Iterator[None]:
    """Parameters of the modules do not record inside the block: gradients flow through them, not into them."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad = False
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad = True
