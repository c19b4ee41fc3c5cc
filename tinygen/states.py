"""Floor 7. All that a training step changes, taken out of its state and put back to the bit.

A state is a dataclass of modules, optimisers, batches, generators, tensors, numbers, and of lists, tuples,
dictionaries and dataclasses of these.  Its snapshot has the same shape, in things that :func:`tinygen.save` writes.
Functions and classes are constants: they are left where they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tinygen.backend import Array, default_device, device_of, library, to_device
from tinygen.nn import Buffer, Module, Parameter
from tinygen.random import Generator
from tinygen.tensor import Tensor

_TYPE = "__type__"  # what an entry of a snapshot came from, where its own type does not say it
_NUMBERS = (bool, int, float, str, type(None))


def snapshot(value: Any, path: str = "state") -> Any:
    """The contents of a state, which no later step changes; arrays stay on their device.

    Raises TypeError or ValueError, with the path, for what could not be brought back.
    """
    if isinstance(value, Tensor):
        return _tensor_parts(value, path)
    if isinstance(value, Module):
        return {_TYPE: type(value).__name__, **_module_parts(value)}
    if isinstance(value, Generator):
        return {_TYPE: "Generator", **value.state}
    if hasattr(value, "state_dict") and hasattr(value, "load_state_dict"):
        return {_TYPE: type(value).__name__, "state_dict": value.state_dict()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {_TYPE: type(value).__name__, **{n: snapshot(v, f"{path}.{n}") for n, v in _fields(value).items()}}
    if isinstance(value, dict):
        if any(not isinstance(key, str) or key == _TYPE for key in value):
            raise TypeError(f"snapshot: keys of {path} must be strings (other than {_TYPE!r}), got {list(value)}")
        return {key: snapshot(part, f"{path}[{key!r}]") for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [snapshot(part, f"{path}[{i}]") for i, part in enumerate(value)]
        return parts if isinstance(value, list) else {_TYPE: type(value).__name__, "parts": parts}
    if isinstance(value, np.generic):
        return {_TYPE: "scalar", "data": np.asarray(value)}
    if isinstance(value, _NUMBERS):
        return value
    if _is_array(value):
        return value.copy()
    if callable(value):
        return {_TYPE: "constant"}
    raise TypeError(
        f"snapshot: {path} is a {type(value).__name__}, which cannot be saved; give it state_dict() and "
        f"load_state_dict(), or, if no step changes it, keep it outside of the state"
    )


def restore(state: Any, saved: Any) -> None:
    """Bring a state back to a snapshot of it: its objects stay the same, their contents are replaced.

    Raises ValueError, with the path, where the snapshot is of something else.
    """
    _restored(state, saved, "state")


def arrays(saved: Any, path: str = "state") -> Iterator[tuple[str, Array]]:
    """Paths and arrays in a snapshot."""
    if isinstance(saved, (dict, list)):
        for key, part in saved.items() if isinstance(saved, dict) else enumerate(saved):
            yield from arrays(part, f"{path}.{key}")
    elif _is_array(saved):
        yield path, saved


# --- taking out --------------------------------------------------------------------------------------------------


def _tensor_parts(tensor: Tensor, path: str) -> dict[str, Any]:
    if tensor.node is not None:
        raise ValueError(f"snapshot: {path} was computed by {tensor.node}, and a record is not saved; .detach() it")
    gradient = _gradient(tensor)
    return {_TYPE: "Tensor", "data": tensor._data, "requires_grad": tensor.requires_grad, "gradient": gradient}


def _module_parts(module: Module) -> dict[str, Any]:
    """Parameters and buffers, gradients that are kept from step to step, random streams, and plain attributes."""
    attributes = {name: _plain_attributes(part) for name, part in module.named_modules()}
    gradients = {name: _gradient(parameter) for name, parameter in module.named_parameters()}
    return {
        "state_dict": module.state_dict(),
        "extra_state": module.extra_state(),
        "attributes": attributes,
        "gradients": {name: gradient for name, gradient in gradients.items() if gradient is not None},
    }


def _plain_attributes(module: Module) -> dict[str, Any]:
    """Numbers, strings and tensors that are neither parameters nor buffers: the blend of a growing network, a cache."""
    found: dict[str, Any] = {"training": module.training}
    for name, value in vars(module).items():
        is_leaf = isinstance(value, Tensor) and value.node is None and not isinstance(value, (Parameter, Buffer))
        if is_leaf or isinstance(value, (np.generic, *_NUMBERS)):
            found[name] = snapshot(value, name)
    return found


def _gradient(tensor: Tensor) -> Array | None:
    return None if tensor.grad is None else tensor.grad._data


def _fields(state: Any) -> dict[str, Any]:
    return {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}


def _is_array(value: Any) -> bool:
    try:
        return hasattr(value, "dtype") and not isinstance(value, np.generic) and bool(library(value))
    except TypeError:
        return False


# --- putting back ------------------------------------------------------------------------------------------------


def _restored(have: Any, saved: Any, path: str) -> Any:
    """What the state should hold where it holds ``have``: the same object with other contents, or another value."""
    kind = saved.get(_TYPE) if isinstance(saved, dict) else None
    if kind == "constant":
        return have
    if kind == "scalar":
        return saved["data"][()]
    if kind == "Tensor":
        return _restored_tensor(have, saved, path)
    if kind == "tuple":
        return tuple(_restored_list(list(have) if isinstance(have, tuple) else [], saved["parts"], path))
    if kind is not None:
        return _restored_object(have, kind, saved, path)
    if isinstance(saved, dict):
        return _restored_dict(have if isinstance(have, dict) else {}, saved, path)
    if isinstance(saved, list):
        return _restored_list(have if isinstance(have, list) else [], saved, path)
    if _is_array(saved):
        return to_device(saved, device_of(have) if _is_array(have) else default_device()).copy()
    return saved


def _restored_list(have: list[Any], saved: list[Any], path: str) -> list[Any]:
    known = have + [None] * (len(saved) - len(have))  # a list may have grown since the state was made
    have[:] = [_restored(known[i], part, f"{path}[{i}]") for i, part in enumerate(saved)]
    return have


def _restored_dict(have: dict[str, Any], saved: dict[str, Any], path: str) -> dict[str, Any]:
    contents = {key: _restored(have.get(key), part, f"{path}[{key!r}]") for key, part in saved.items()}
    have.clear()
    have.update(contents)
    return have


def _restored_tensor(have: Any, saved: Mapping[str, Any], path: str) -> Tensor:
    """A tensor that is trained, and so is known to an optimiser, is rebound; of others there is a new one."""
    device = have.device if isinstance(have, Tensor) else default_device()
    data = to_device(saved["data"], device)
    trained = isinstance(have, (Parameter, Buffer)) or (isinstance(have, Tensor) and have.requires_grad)
    made = have if trained else Tensor(data, saved["requires_grad"])
    if trained:
        _same_kind(path, have._data, data)
        made.assign(data, copy=False)
    made.grad = _moved(saved["gradient"], device)
    return made


def _restored_object(have: Any, kind: str, saved: dict[str, Any], path: str) -> Any:
    if type(have).__name__ != kind:
        raise ValueError(f"restore: {path} is a {type(have).__name__} here and a {kind} in the checkpoint")
    contents = {name: part for name, part in saved.items() if name != _TYPE}
    if isinstance(have, Module):
        _restore_module(have, contents, path)
    elif isinstance(have, Generator):
        have.state = contents
    elif hasattr(have, "load_state_dict"):
        have.load_state_dict(contents["state_dict"])
    elif isinstance(have, tuple):  # a named one
        return type(have)(*_restored_list(list(have), contents["parts"], path))
    else:
        if set(contents) != set(_fields(have)):
            raise ValueError(f"restore: {path} has {sorted(_fields(have))} here, {sorted(contents)} in the checkpoint")
        for name, value in _fields(have).items():  # frozen dataclasses too: their objects may have changed inside
            object.__setattr__(have, name, _restored(value, contents[name], f"{path}.{name}"))
    return have


def _restore_module(module: Module, saved: Mapping[str, Any], path: str) -> None:
    own = module.state_dict()
    for name in [name for name in own if name in saved["state_dict"]]:  # load_state_dict would convert
        _same_kind(f"{path}.{name}", own[name], saved["state_dict"][name])
    module.load_state_dict(saved["state_dict"])
    module.load_extra_state(saved["extra_state"])
    for name, part in module.named_modules():
        for attribute, value in saved["attributes"].get(name, {}).items():
            setattr(part, attribute, _restored(getattr(part, attribute, None), value, f"{path}.{name}.{attribute}"))
    for name, parameter in module.named_parameters():
        parameter.grad = _moved(saved["gradients"].get(name), parameter.device)


def _same_kind(path: str, have: Array, saved: Array) -> None:
    if (have.dtype, tuple(have.shape)) != (saved.dtype, tuple(saved.shape)):
        raise ValueError(
            f"restore: {path} is {have.dtype} of shape {tuple(have.shape)} here, "
            f"{saved.dtype} of shape {tuple(saved.shape)} in the checkpoint"
        )


def _moved(gradient: Array | None, device: str) -> Tensor | None:
    return None if gradient is None else Tensor(to_device(gradient, device))
