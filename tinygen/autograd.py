"""Floor 4. How the record is walked backwards: grad and backward.

The chain rule in one loop: take the recorded operations in falling order of their sequence numbers, hand the
cotangent of each result to the rules of its arguments, and add up what arrives at each tensor.  Without
``create_graph`` the rules run on raw arrays; with it they run on tensors and are recorded in turn.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from tinygen.backend import Array, library
from tinygen.ops import convert
from tinygen.ops.shape import sum_to
from tinygen.record import Mode, Node, brief, mode, show_location
from tinygen.tensor import Tensor, wrap

__all__ = ["backward", "grad", "uses"]

Cotangent = Any  # a raw array, or with create_graph a Tensor


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    *,
    create_graph: bool = False,
    allow_unused: bool = False,
    release: bool = False,
) -> tuple[Any, ...]:
    """Gradients of outputs (weighted by ``grad_outputs``, ones for scalars) with respect to each input.

    Only what lies between inputs and outputs is visited, and only the needed arguments' rules run.  Inputs may
    be computed tensors.  The result is a tuple of tensors, detached unless ``create_graph``; an input that the
    outputs do not depend on raises, or gives None with ``allow_unused``.  ``release`` frees the record on the way.

    >>> import tinygen as tg
    >>> x = tg.tensor(3.0, requires_grad=True)
    >>> (slope,) = tg.grad(x**3, x, create_graph=True)
    >>> float(slope), float(tg.grad(slope, x)[0])
    (27.0, 18.0)
    """
    if create_graph and release:
        raise ValueError("grad: release=True would free the record that create_graph=True refers to; choose one")
    outs, targets = _tensors("outputs", outputs), _tensors("inputs", inputs)
    if create_graph and not mode.get().recording:
        raise RuntimeError("grad: create_graph=True inside no_grad() would record nothing; leave no_grad() first")
    cotangents = _seeds("grad", outs, grad_outputs, create_graph)
    wanted = {_key(target) for target in targets}
    nodes, _ = _reachable(outs)
    _walk(nodes, cotangents, wanted, _leading_to(wanted, nodes), create_graph, release)
    for position, target in enumerate(targets):
        if _key(target) not in cotangents and not allow_unused:
            raise ValueError(
                f"grad: the outputs do not depend on input {position} (shape {target.shape}); "
                f"leave it out, or pass allow_unused=True to get None"
            )
    return tuple(_as_result(cotangents.get(_key(target)), target) for target in targets)


def _tensors(what: str, given: Any) -> list[Tensor]:
    tensors = list(given) if isinstance(given, (list, tuple)) else [given]
    for position, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"grad: {what} must be a tensor or a list of tensors, got {type(tensor).__name__}")
        if not tensor.requires_grad:
            raise ValueError(
                f"grad: {what}[{position}] of shape {tensor.shape} does not require a gradient, nothing was "
                f"recorded for it; set requires_grad=True before computing"
            )
    return tensors


def backward(self: Tensor, gradient: Any = None) -> None:
    """Add the gradient of this tensor into ``.grad`` of every leaf it was computed from, and free the record.

    A second call raises: sum the losses first, or use ``tg.grad``, which leaves the record alone.
    """
    if not self.requires_grad:
        raise ValueError(
            f"backward: this tensor of shape {self.shape} does not require a gradient; nothing was recorded for it"
        )
    cotangents = _seeds("backward", [self], None if gradient is None else [gradient], False)
    nodes, leaves = _reachable([self])
    _walk(nodes, cotangents, set(leaves), None, create_graph=False, release=True)
    for key, leaf in leaves.items():
        result = _as_result(cotangents[key], leaf)
        leaf.grad = result if leaf.grad is None else wrap(leaf.grad._data + result._data, None, False)


def _seeds(name: str, outputs: list[Tensor], given: Any, create_graph: bool) -> dict[Any, Cotangent]:
    """The cotangents to start from, by what their tensors are recognised by."""
    if given is None:
        for output in outputs:
            if output.size != 1:
                raise ValueError(
                    f"{name}: the output of shape {output.shape} is not a scalar; take .sum() or .mean() of it, "
                    f"or give the cotangent of that shape"
                )
        seeds = [convert.ones_like(output) for output in outputs]
    else:
        seeds = [given] if isinstance(given, Tensor) or hasattr(given, "dtype") else list(given)
        if len(seeds) != len(outputs):
            raise ValueError(f"{name}: {len(outputs)} outputs need as many cotangents, got {len(seeds)}")
        seeds = [seed if isinstance(seed, Tensor) else convert.tensor(seed) for seed in seeds]
        for seed, output in zip(seeds, outputs, strict=True):
            if (seed.shape, seed.dtype, seed.device) != (output.shape, output.dtype, output.device):
                raise ValueError(
                    f"{name}: an output {brief(output._data)} on {output.device} needs a cotangent like it, "
                    f"got {brief(seed._data)} on {seed.device}"
                )
    cotangents: dict[Any, Cotangent] = {}
    for seed, output in zip(seeds, outputs, strict=True):
        cotangent, key = seed if create_graph else seed._data, _key(output)
        cotangents[key] = cotangents[key] + cotangent if key in cotangents else cotangent
    return cotangents


def _as_result(value: Cotangent, target: Tensor) -> Any:
    if value is None or isinstance(value, Tensor):
        return value
    return wrap(library(target._data).xp.asarray(value), None, False)


def _key(tensor: Tensor) -> Any:
    """What a tensor is recognised by: a computed one by its node, a leaf by itself."""
    return tensor.node or id(tensor)


def _reachable(outputs: list[Tensor]) -> tuple[list[Node], dict[int, Tensor]]:
    """Every node that a gradient of the outputs may visit, oldest first, and the leaves.  Depth is no limit."""
    pending = [output.node for output in outputs if output.node is not None]
    leaves = {id(output): output for output in outputs if output.node is None}
    seen = set(pending)
    while pending:
        node = pending.pop()
        if node.args is None:
            raise RuntimeError(
                f"the record of {node.primitive.name} at {show_location(node.location)} was freed by an earlier "
                f"backward(); sum the losses and call backward() once, or use tg.grad"
            )
        for position in node.needs:
            tensor = node.args[position]
            parent = tensor.node
            if parent is None:
                leaves[id(tensor)] = tensor
            elif parent not in seen:
                seen.add(parent)
                pending.append(parent)
    return sorted(seen, key=_sequence), leaves


_sequence = operator.attrgetter("sequence")


def uses(output: Tensor, leaves: Sequence[Tensor]) -> list[tuple[Node, Tensor]]:
    """Where the record of ``output`` takes one of the leaves as an argument: (operation, leaf), oldest first."""
    wanted = {id(leaf): leaf for leaf in leaves}
    found = []
    for node in _reachable([output])[0]:
        taken = {id(node.args[position]) for position in node.needs}  # type: ignore[index]
        found += [(node, wanted[key]) for key in taken & wanted.keys()]
    return found


def _leading_to(targets: set[Any], nodes: list[Node]) -> set[Any]:
    """The targets and all nodes that are computed from them: what a pruned walk visits."""
    useful = set(targets)
    for node in nodes:
        for position in node.needs:
            parent = node.args[position]  # type: ignore[index]
            if (parent.node or id(parent)) in useful:
                useful.add(node)
                break
    return useful


def _walk(
    nodes: list[Node],
    cotangents: dict[Any, Cotangent],
    wanted: set[Any],
    useful: set[Any] | None,
    create_graph: bool,
    release: bool,
) -> None:
    """Carry cotangents back through the nodes (oldest first; the list is consumed), and keep those of the wanted.

    Only ``useful`` nodes and leaves are visited; None stands for all.
    """
    before = mode.get()
    inspect = before.inspect
    try:
        while nodes:
            node = nodes.pop()
            g = cotangents.get(node)
            if g is None or (useful is not None and node not in useful):
                continue
            if node not in wanted:
                del cotangents[node]
            primitive, args, inputs, kwargs = node.primitive, node.args, node.inputs, node.kwargs
            arguments, output = inputs, node.output
            if create_graph:
                mode.set(Mode(True, inspect, (primitive.name, node.location)))
                arguments, output = _recorded_arguments(node), wrap(output, node, True)
            for position in node.needs:
                parent = args[position]  # type: ignore[index]
                key = parent.node or id(parent)
                if useful is not None and key not in useful:
                    continue
                cotangent = primitive.rules[position](g, output, *arguments, **kwargs)
                value = inputs[position]
                if cotangent.shape != value.shape and primitive.elementwise:
                    cotangent = sum_to(cotangent, shape=value.shape)
                if cotangent.dtype is not value.dtype or cotangent.shape != value.shape:
                    _check(primitive.name, position, cotangent, value)
                if inspect is not None and not create_graph:  # else each operation of the rule is looked at
                    inspect(f"the derivative of {primitive.name}", [g, *inputs], cotangent, node.location)
                cotangents[key] = cotangents[key] + cotangent if key in cotangents else cotangent
            if release:
                node.args = None
                node.inputs, node.output = [], None
    finally:
        mode.set(before)


def _check(name: str, position: int, cotangent: Cotangent, value: Array) -> None:
    """A cotangent has the shape and dtype of its value; anything else is a wrong rule."""
    if cotangent.dtype != value.dtype or cotangent.shape != value.shape:
        raise AssertionError(
            f"the derivative rule of {name} for argument {position} returned {cotangent.dtype}{cotangent.shape}, "
            f"the argument is {value.dtype}{value.shape}"
        )


def _recorded_arguments(node: Node) -> list[Any]:
    """A node's arguments as tensors, for rules that are recorded in turn."""
    arguments = []
    for position, (arg, raw) in enumerate(zip(node.args, node.inputs, strict=True)):  # type: ignore[arg-type]
        if isinstance(arg, Tensor):
            if arg._data is not raw and position in node.needs:
                raise RuntimeError(
                    f"grad: create_graph=True needs the tensor of shape {arg.shape} that {node.primitive.name} used at "
                    f"{show_location(node.location)}, but it was rebound since (by an optimiser or assign); "
                    f"take the gradient before the step"
                )
            arguments.append(arg if arg._data is raw else wrap(raw, None, False))
        else:
            arguments.append(wrap(raw, None, False) if hasattr(raw, "dtype") else raw)
    return arguments


Tensor.backward = backward  # type: ignore[method-assign]
