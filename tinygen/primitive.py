"""Floor 2. A primitive operation: what it computes, how it is recorded, and a derivative rule for each argument."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Generic, NoReturn, ParamSpec

import numpy as np

from tinygen.backend import Array, as_array
from tinygen.operands import harmonise, own, refusal, settle_dtype
from tinygen.record import Node, mode, user_location
from tinygen.tensor import Tensor, wrap

P = ParamSpec("P")
_NUMBERS = frozenset([float, int, bool])


class Primitive(Generic[P]):
    """An operation with a derivative rule for each argument: one entry of the registry.

    A rule is ``rule(cotangent, output, *args, **kwargs)`` and returns the cotangent of its argument.  It is
    written over public operations: given arrays these return arrays, so that a plain gradient runs at NumPy
    speed; given tensors they are recorded, so that the same text gives every higher derivative.

    ``elementwise``: the walk undoes broadcasting of the arguments.  ``promotes``: integer and boolean operands
    (but the first one if it is a ``mask``) take the dtype of the floating ones.  A primitive without rules is
    recorded, but no gradient flows through it.
    """

    registry: ClassVar[dict[str, Primitive[Any]]] = {}

    def __init__(
        self, forward: Callable[P, Array], *, elementwise: bool = False, promotes: bool = True, mask: bool = False
    ) -> None:
        self.name = forward.__name__.strip("_")
        self.forward: Callable[..., Array] = forward
        self.elementwise = elementwise
        self.promotes = promotes
        self.mask = mask
        self.rules: tuple[Callable[..., Any], ...] | Each = ()
        self.differentiable = False
        self.__signature__ = inspect.signature(forward)
        parameters = self.__signature__.parameters.values()
        self.keywords = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
        self.__name__, self.__module__, self.__doc__ = forward.__name__, forward.__module__, forward.__doc__
        Primitive.registry[self.name] = self

    def derivatives(self, *rules: Callable[..., Any] | None) -> None:
        """Set the rules, one for each argument in order; None for an index or a mask."""
        given = dict(enumerate(rules))
        self.rules = tuple(given.get(i) or self._refusal(i) for i in range(len(self.__signature__.parameters)))
        self.differentiable = True

    def derivatives_each(self, rule: Callable[..., Any]) -> None:
        """Set ``rule(position, g, y, *args)`` for every argument of a primitive that takes any number of them."""
        self.differentiable = True
        self.rules = Each(rule)

    def _refusal(self, position: int) -> Callable[..., Any]:
        def refuse(*args: Any, **kwargs: Any) -> NoReturn:
            raise ValueError(f"{self.name}: there is no derivative with respect to argument {position}; detach() it")

        return refuse

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Tensor:
        """Compute; record if an argument requires a gradient.  Without a tensor among them: arrays in, array out."""
        inputs: list[Any] = []
        needs: list[int] = []
        tensor: Tensor | None = None
        dtype: Any = None
        uneven = foreign = False  # operands may need harmonising; an array of the caller's is among them
        for arg in args:
            if isinstance(arg, Tensor):
                data = arg._data
                if arg._requires_grad:
                    needs.append(len(inputs))
                if tensor is None:
                    tensor, dtype = arg, data.dtype
                elif data.dtype is not dtype or type(data) is not type(tensor._data):
                    uneven = True
                inputs.append(data)
            else:
                inputs.append(arg)
                if type(arg) not in _NUMBERS:
                    uneven = foreign = True
        if kwargs and not kwargs.keys() <= self.keywords:  # bring operands that are given by their names into position
            bound = self.__signature__.bind(*args, **kwargs)
            return self(*bound.args, **bound.kwargs)
        try:
            if tensor is None:
                result = self.forward(*args, **kwargs)
                if type(result) is list:
                    raise TypeError("lists are not arrays; make them tensors with tg.tensor(...)")
                return result  # type: ignore[no-any-return]
            data = tensor._data
            if len(inputs) > 1 and (uneven or type(data) is not np.ndarray or dtype.kind != "f"):
                inputs = harmonise(self.name, inputs, self.promotes, self.mask)
            output = self.forward(*inputs, **kwargs)
        except (ValueError, TypeError, IndexError) as error:
            raise refusal(self.name, inputs, error) from error
        if type(output) is not type(data):
            output = as_array(output)
        differentiable = self.differentiable
        if output.dtype is not dtype:
            if self.promotes:
                output = settle_dtype(output, inputs)
            differentiable = differentiable and output.dtype.kind == "f"
        now = mode.get()
        if now.inspect is not None:
            now.inspect(self.name, inputs, output, user_location(now))
        if not needs or not now.recording:
            return wrap(output, None, False)
        if foreign:
            args = tuple(
                arg if isinstance(arg, Tensor) else own(value) for arg, value in zip(args, inputs, strict=True)
            )  # type: ignore[assignment]
            inputs = [value if isinstance(arg, Tensor) else arg for arg, value in zip(args, inputs, strict=True)]
        return wrap(output, Node(self, args, kwargs, inputs, output, needs, user_location(now)), differentiable)


class Each:
    """One rule for every argument of a primitive that takes any number of them: ``rule(position, g, y, *args)``."""

    def __init__(self, rule: Callable[..., Any]) -> None:
        self.rule = rule

    def __getitem__(self, position: int) -> Callable[..., Any]:
        return functools.partial(self.rule, position)


def primitive(
    *, elementwise: bool = False, promotes: bool = True, mask: bool = False
) -> Callable[[Callable[P, Array]], Primitive[P]]:
    """Make a function from arrays to one array an entry of the registry."""
    return lambda forward: Primitive(forward, elementwise=elementwise, promotes=promotes, mask=mask)
