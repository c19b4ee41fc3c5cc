"""Floor 5. What every distribution does: it takes parameters, checks values, and gives log-probabilities and draws.

Shapes.  ``batch_shape`` is that of the parameters, broadcast: so many independent distributions.  ``event_shape``
is that of one draw: () for a number, (d,) for a vector.  A draw of ``shape`` is (*shape, *batch_shape,
*event_shape); a log-probability has the value's shape, broadcast with the batch, without the event.

dtype.  Tensors and arrays keep theirs.  Python numbers and lists of them are weak: they take the dtype and device
of what they meet, and the default ones where there is nothing to meet.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import tinygen.ops as ops
from tinygen import random
from tinygen.backend import default_device, default_dtype
from tinygen.operands import own
from tinygen.record import brief, no_grad
from tinygen.tensor import Tensor, raw

Shape = int | Sequence[int]


class Distribution:
    """A batch of probability distributions.  It is not changed after it has been made.

    A family gives ``_log_prob(x, *parameters)``, ``_sample(rng, lengths)``, ``entropy``, ``mean``, ``variance``.
    """

    batch_shape: tuple[int, ...] = ()
    event_shape: tuple[int, ...] = ()
    discrete = False

    def log_prob(self, value: Any) -> Tensor:
        """log p(value) in nats; −∞ outside the support, with gradient 0.

        ``value`` has shape (…, *event_shape), and its other axes broadcast with the batch; else ValueError.
        """
        x = self._value(value)
        return self._log_prob(x, *self._at(x))

    def sample(self, rng: random.Generator | None, shape: Shape = ()) -> Tensor:
        """Independent draws of shape (*shape, *batch_shape, *event_shape), without gradient."""
        with no_grad():
            return self._sample(rng or random.default(), self._lengths(shape))

    def rsample(self, rng: random.Generator | None, shape: Shape = ()) -> Tensor:
        """Draws as differentiable functions of the parameters and of noise that is free of them (PROB-7)."""
        raise ValueError(
            f"{self._name}.rsample: its draws jump, they are no differentiable function of the parameters; "
            "use sample and weigh by the gradient of log_prob (the score function)"
        )

    def entropy(self) -> Tensor:
        """−E log p in nats, of shape ``batch_shape``."""
        raise NotImplementedError(
            f"{self._name}.entropy has no closed form; estimate it: -tg.mean(d.log_prob(d.sample(rng, 10_000)), axis=0)"
        )

    @property
    def mean(self) -> Tensor:
        """The mean of each element of a draw, of shape (*batch_shape, *event_shape)."""
        raise NotImplementedError(f"{self._name}.mean")

    @property
    def variance(self) -> Tensor:
        """The variance of each element of a draw, of shape (*batch_shape, *event_shape)."""
        raise NotImplementedError(f"{self._name}.variance")

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={brief(raw(value))}" for name, value in self._given.items())
        return f"{self._name}({given})"

    # --- for families ----------------------------------------------------------------------------------------------

    _given: dict[str, Any]

    def _log_prob(self, x: Tensor, *parameters: Any) -> Tensor:
        raise NotImplementedError

    def _sample(self, rng: random.Generator, lengths: tuple[int, ...]) -> Tensor:
        raise NotImplementedError

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _take(self, **given: Any) -> list[Tensor]:
        """Keep the parameters; as tensors they are returned.  Raises where dtypes, devices or shapes do not fit."""
        self._given = {name: _parameter(f"{self._name}: {name}", value) for name, value in given.items()}
        tensors = {name: value for name, value in self._given.items() if isinstance(value, Tensor)}
        for fact in ("dtype", "device"):
            found = {name: str(getattr(value, fact)) for name, value in tensors.items()}
            if len(set(found.values())) > 1:
                raise TypeError(f"{self._name}: parameters mix {fact}s: {found}; use .astype(...) or .to(...)")
        return self._at()

    def _broadcast(self, *shapes: tuple[int, ...]) -> tuple[int, ...]:
        try:
            return np.broadcast_shapes(*shapes)
        except ValueError as error:
            found = {name: tuple(value.shape) for name, value in self._given.items()}
            raise ValueError(f"{self._name}: shapes {found} do not broadcast; use reshape or expand_dims") from error

    def _tensors(self) -> Iterator[Tensor]:
        """The parameters that are not weak."""
        return (value for value in self._given.values() if isinstance(value, Tensor))

    def _at(self, like: Tensor | None = None) -> list[Tensor]:
        """The parameters as tensors; weak ones take dtype and device of another, else those of ``like``."""
        like = next(self._tensors(), like)
        floating = like is not None and like.dtype.kind == "f"
        dtype = like.dtype if like is not None and floating else default_dtype()
        device = default_device() if like is None else like.device
        return [
            value if isinstance(value, Tensor) else ops.tensor(value, dtype=dtype, device=device)
            for value in self._given.values()
        ]

    def _anchored(self, like: Tensor | None) -> Distribution:
        """This distribution with tensors for weak parameters, of the dtype and on the device of ``like``."""
        twin = copy.copy(self)
        twin._given = dict(zip(self._given, self._at(like), strict=True))
        for name in vars(self).keys() & twin._given.keys():
            setattr(twin, name, twin._given[name])
        return twin

    def _value(self, value: Any) -> Tensor:
        """The value as a tensor, after a look at its shape; for a density it is floating."""
        if not hasattr(value, "dtype") or isinstance(value, np.generic):
            like = self._at()[0]
            dtype = None if self.discrete else like.dtype
            value = ops.tensor(value, dtype=dtype, device=like.device)
        x = value if isinstance(value, Tensor) else Tensor(own(value))
        if x.dtype.kind != "f" and not self.discrete:
            x = x.astype(self._at()[0].dtype)
        events = len(self.event_shape)
        outer, event = x.shape[: x.ndim - events], x.shape[x.ndim - events :]
        if event != self.event_shape:
            raise ValueError(
                f"{self._name}.log_prob: value of shape {x.shape} must end in the event shape {self.event_shape}"
            )
        try:
            np.broadcast_shapes(outer, self.batch_shape)
        except ValueError as error:
            raise ValueError(
                f"{self._name}.log_prob: value of shape {x.shape} does not broadcast with the batch shape "
                f"{self.batch_shape} (before the event shape {self.event_shape}); use expand_dims"
            ) from error
        return x

    def _lengths(self, shape: Shape) -> tuple[int, ...]:
        try:
            asked = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        except TypeError as error:
            raise TypeError(f"{self._name}: shape must be a whole number or several, got {shape!r}") from error
        return (*asked, *self.batch_shape)

    def _full(self, x: Any) -> Tensor:
        """x broadcast to the batch and the event."""
        return ops.broadcast_to(x, (*self.batch_shape, *self.event_shape))


class Reparametrised(Distribution):
    """A distribution whose draws are differentiable functions of its parameters; it gives ``_draw``."""

    def rsample(self, rng: random.Generator | None, shape: Shape = ()) -> Tensor:
        return self._draw(rng or random.default(), self._lengths(shape))

    def _sample(self, rng: random.Generator, lengths: tuple[int, ...]) -> Tensor:
        return self._draw(rng, lengths)

    def _draw(self, rng: random.Generator, lengths: tuple[int, ...]) -> Tensor:
        raise NotImplementedError


def _parameter(what: str, value: Any) -> Any:
    """A floating tensor; numbers and lists of numbers as an array that has yet to take a dtype."""
    if isinstance(value, Tensor) or (hasattr(value, "shape") and not isinstance(value, np.generic)):
        tensor = value if isinstance(value, Tensor) else ops.tensor(value)
        return tensor if tensor.dtype.kind == "f" else tensor.astype(default_dtype())
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{what} must be numbers, an array or a tensor, got {type(value).__name__}; stack tensors with tg.stack"
        ) from error
