"""Floor 5. Module: an object whose parameters, buffers and parts are found by looking at its attributes.

Nothing is registered: what ``vars(module)`` holds is the module, in the order in which it was set.  Names and shapes
in a ``state_dict`` are PyTorch's, so that weights move between the two libraries unchanged.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Self

import numpy as np

from tinygen.backend import Array, device_of, library, to_device
from tinygen.random import Generator
from tinygen.tensor import Tensor

_GROUPS = (list, tuple, set, dict)

observer: ContextVar[Callable[[Module, Any], None] | None] = ContextVar("observer", default=None)
"""Called with each module and its output, while one is set (``summary`` sets one)."""


class Parameter(Tensor):
    """A tensor that an optimiser trains."""

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data._data if isinstance(data, Tensor) else data, requires_grad)


class Buffer(Tensor):
    """A tensor that is saved with a module but not trained, as a running mean.  It moves by ``assign``."""

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        super().__init__(data._data if isinstance(data, Tensor) else data, requires_grad)


class Constant(Buffer):
    """A buffer that never changes, as a mask: it follows its module to a device, but is not saved."""


class Module:
    """A network or a part of one.  Subclasses set parameters, buffers and modules as attributes and define forward.

    >>> import tinygen as tg
    >>> class Scale(tg.nn.Module):
    ...     def __init__(self):
    ...         self.factor = tg.nn.Parameter(tg.ones(3))
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale()
    Scale() # 3 parameters
    >>> sorted(Scale().state_dict())
    ['factor']
    """

    training = True
    is_frozen = False  # inside ``frozen``: buffers do not move

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{type(self).__name__} defines no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        output = self.forward(*args, **kwargs)
        watch = observer.get()
        if watch is not None:
            watch(self, output)
        return output

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, _GROUPS):
            parts = value.values() if isinstance(value, dict) else value
            lost = [type(part).__name__ for part in parts if isinstance(part, (Module, Parameter))]
            if lost:
                raise TypeError(
                    f"{type(self).__name__}.{name}: a {lost[0]} inside a {type(value).__name__} would be neither "
                    f"trained nor saved; use ModuleList for modules, and an attribute of its own for each parameter"
                )
        object.__setattr__(self, name, value)

    # --- what is inside ----------------------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules among the attributes, in the order in which they were set."""
        yield from ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Names and modules: this one (its name is empty) and all its parts; one used in two places comes once."""
        seen: set[int] = set()
        for name, module in self._walk(""):
            if id(module) not in seen:
                seen.add(id(module))
                yield name.rstrip("."), module

    def modules(self) -> Iterator[Module]:
        """This module and all its parts, each once."""
        yield from (module for _, module in self.named_modules())

    def _walk(self, prefix: str) -> Iterator[tuple[str, Module]]:
        """Prefixes and modules; one used in two places comes twice."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child._walk(f"{prefix}{name}.")

    def _named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Names and tensors: of each module its parameters, then its buffers; shared ones under each of their names."""
        for prefix, module in self._walk(""):
            for kind in (Parameter, Buffer):
                for name, value in vars(module).items():
                    if isinstance(value, kind):
                        yield prefix + name, value

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Names and parameters; one that is used in two places comes once, under its first name."""
        seen: set[int] = set()
        for name, tensor in self._named_tensors():
            if isinstance(tensor, Parameter) and id(tensor) not in seen:
                seen.add(id(tensor))
                yield name, tensor

    def parameters(self) -> list[Tensor]:
        """All parameters, each once."""
        return [parameter for _, parameter in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """Names and buffers."""
        yield from ((name, tensor) for name, tensor in self._named_tensors() if isinstance(tensor, Buffer))

    # --- modes, devices, dtypes --------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Switch this module and its parts to training (or, with False, to evaluation)."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch to evaluation: dropout passes everything, normalisation uses its running statistics."""
        return self.train(False)

    def to(self, device: str) -> Self:
        """Move all parameters and buffers; the tensors stay the same objects, so optimisers stay valid."""
        return self._rebind(lambda array: to_device(array, device))

    def astype(self, dtype: Any) -> Self:
        """Convert the floating parameters and buffers to another floating dtype."""
        if np.dtype(dtype).kind != "f":
            raise TypeError(f"{type(self).__name__}.astype: needs a floating dtype, got {np.dtype(dtype)}")
        return self._rebind(lambda array: array.astype(dtype, copy=False) if array.dtype.kind == "f" else array)

    def _rebind(self, change: Callable[[Array], Array]) -> Self:
        for _, tensor in self._named_tensors():
            tensor._data = change(tensor._data)
            tensor.grad = None
        return self

    # --- saving and loading ------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters and buffers, by name; names and shapes are PyTorch's."""
        return {name: tensor._data.copy() for name, tensor in self._saved_tensors()}

    def load_state_dict(self, mapping: Mapping[str, Any], strict: bool = True) -> None:
        """Copy arrays or tensors (tinygen's, NumPy's, or PyTorch's on the host) to the tensors of the same names.

        Every missing, unexpected and unfit entry is reported in one ValueError, and then nothing is changed.
        ``strict=False`` takes the entries whose names are known and leaves the others; shapes must fit in any case.
        """
        own = dict(self._saved_tensors())
        given = {name: _as_array(value) for name, value in mapping.items()}
        problems = []
        if strict:
            problems += [f"missing: {name} {tensor.shape}" for name, tensor in own.items() if name not in given]
            problems += [f"unexpected: {name} {tuple(array.shape)}" for name, array in given.items() if name not in own]
        fitting = {name: tensor for name, tensor in own.items() if name in given}
        for name, tensor in fitting.items():
            shape, dtype = tuple(given[name].shape), given[name].dtype
            if shape != tensor.shape:
                problems.append(f"shape of {name}: {tensor.shape} here, {shape} given")
            if dtype.kind not in ("fiu" if tensor.dtype.kind == "f" else "iu"):
                problems.append(f"dtype of {name}: {tensor.dtype} here, {dtype} given")
        if problems:
            raise ValueError(f"load_state_dict of {type(self).__name__}: " + "; ".join(problems))
        for name, tensor in fitting.items():
            moved = to_device(given[name], device_of(tensor._data))
            tensor.assign(moved.astype(tensor.dtype), copy=False)

    def _saved_tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from ((name, tensor) for name, tensor in self._named_tensors() if not isinstance(tensor, Constant))

    def extra_state(self) -> dict[str, dict[str, Any]]:
        """By module name, what else a run needs to continue to the same bits: the streams of noise layers above all.

        It is apart from ``state_dict``, whose names are PyTorch's.  Plain numbers in dictionaries: JSON can hold it.
        """
        found = {name: module.get_extra_state() for name, module in self.named_modules()}
        return {name: state for name, state in found.items() if state}

    def load_extra_state(self, mapping: Mapping[str, Mapping[str, Any]]) -> None:
        """Continue from a saved ``extra_state``, after ``load_state_dict``.  Other names raise ValueError."""
        own = {name: module for name, module in self.named_modules() if module.get_extra_state()}
        problems = [f"missing: {name}" for name in own if name not in mapping]
        problems += [f"unexpected: {name}" for name in mapping if name not in own]
        if problems:
            raise ValueError(f"load_extra_state of {type(self).__name__}: " + "; ".join(problems))
        for name, module in own.items():
            module.set_extra_state(mapping[name])

    def get_extra_state(self) -> dict[str, Any]:
        """This module's own part of ``extra_state``: its random streams."""
        return {name: value.state for name, value in vars(self).items() if isinstance(value, Generator)}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take back what ``get_extra_state`` gave."""
        for name, value in vars(self).items():
            if isinstance(value, Generator):
                value.state = state[name]

    # --- showing -----------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        count = sum(parameter.size for parameter in self.parameters())
        parts = "".join(f"\n{name}: {child!r}" for name, child in self.named_children()).replace("\n", "\n  ")
        inside = ",".join(part for part in (self.describe(), parts + "\n" if parts else "") if part)
        return f"{type(self).__name__}({inside})" + (f" # {count:,} parameters" if count else "")

    def describe(self) -> str:
        """What ``repr`` says of this module's own settings."""
        return ""


def _as_array(value: Any) -> Array:
    """The raw array of a tensor; whatever no backend knows (numbers, PyTorch's tensors) through NumPy."""
    raw = value._data if isinstance(value, Tensor) else value
    if hasattr(raw, "dtype"):
        with contextlib.suppress(TypeError):
            library(raw)
            return raw
    return np.asarray(raw)


@contextlib.contextmanager
def frozen(*modules: Module) -> Iterator[None]:
    """Inside the block the modules are functions that do not change, whatever is done with them.

    Parameters do not record: gradients flow through them, not into them.  Buffers (running statistics, vectors of
    spectral normalisation) do not move.  Training mode stays as it is: batch normalisation still uses the batch.

    >>> import tinygen as tg
    >>> critic, x = tg.nn.Linear(2, 1), tg.tensor([[1.0, 2.0]], requires_grad=True)
    >>> with tg.nn.frozen(critic):
    ...     critic(x).backward()
    >>> x.grad is None, critic.weight.grad is None
    (False, True)
    """
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    thawed = [part for module in modules for part in module.modules() if not part.is_frozen]
    for parameter in parameters:
        parameter.requires_grad = False
    for part in thawed:
        part.is_frozen = True
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad = True
        for part in thawed:
            part.is_frozen = False


@contextlib.contextmanager
def evaluating(*modules: Module) -> Iterator[None]:
    """Inside the block the modules are in evaluation mode; afterwards each part is again in the mode it was in.

    What measures a model needs it: in training mode dropout draws, and batch normalisation makes each answer depend
    on the rest of its batch and remembers what it saw.

    >>> import tinygen as tg
    >>> dropout = tg.nn.Dropout(0.5)
    >>> with tg.nn.evaluating(dropout):
    ...     dropout(tg.ones(4))
    tensor([1. 1. 1. 1.], float32[4] on cpu)
    >>> dropout.training
    True
    """
    training = [part for module in modules for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True
