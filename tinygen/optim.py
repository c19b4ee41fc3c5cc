"""Floor 5. Optimisers.  The parameters of one optimiser are views of one flat array.

An update is then about ten array calls in all instead of ten for each parameter.  Arrays held by tensors are
never written: each step makes a new flat array and rebinds the parameters to views of it.  Only the optimiser's
own moments are updated in place.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from tinygen.autograd import grad
from tinygen.backend import Array, device_of, namespace, to_device
from tinygen.tensor import Tensor


class Optimizer:
    """Base of all optimisers: what to update is here, how is in ``_update``.  A parameter without gradient is left alone."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        self.params = list(params)
        self.lr = lr
        if not self.params or len({id(p) for p in self.params}) < len(self.params):
            raise ValueError(f"{type(self).__name__}: needs at least one parameter, and each only once")
        ends = list(itertools.accumulate(p.size for p in self.params))
        self._slices = [slice(end - p.size, end) for end, p in zip(ends, self.params, strict=True)]
        self._steps = [0] * len(self.params)  # how often each parameter was updated
        self._moments: dict[str, Array] = {}
        self._flat: Array = None
        self._views: list[Array] = []

    def minimize(self, loss: Tensor) -> None:
        """One step down the gradient of a scalar in exactly this optimiser's parameters; frees the loss's record."""
        gradients = grad(loss, self.params, allow_unused=True, release=True)
        self._step([None if g is None else g._data for g in gradients])

    def step(self) -> None:
        """One step with the gradients that ``backward`` left in ``.grad``."""
        self._step([None if p.grad is None else p.grad._data for p in self.params])

    def zero_grad(self) -> None:
        """Forget the gradients in ``.grad``."""
        for parameter in self.params:
            parameter.grad = None

    def _step(self, gradients: list[Array | None]) -> None:
        flat = self._gathered()
        xp = namespace(flat)
        updated = flat.copy()
        for first, last in self._runs(gradients):
            where = slice(self._slices[first].start, self._slices[last].stop)
            gradient = xp.concatenate([g.ravel() for g in gradients[first : last + 1]])  # type: ignore[union-attr]
            self._steps[first : last + 1] = [self._steps[first] + 1] * (last + 1 - first)
            updated[where] = self._update(flat[where], gradient, where, self._steps[first])
        self._flat = updated
        self._views = [updated[s].reshape(p.shape) for s, p in zip(self._slices, self.params, strict=True)]
        for parameter, view in zip(self.params, self._views, strict=True):
            parameter._data = view

    def _gathered(self) -> Array:
        """The flat array of all parameters, gathered anew if someone rebound one (load_state_dict, assign, to)."""
        if self._flat is None or any(p._data is not view for p, view in zip(self.params, self._views, strict=True)):
            arrays = [p._data for p in self.params]
            if len({(a.dtype, device_of(a)) for a in arrays}) > 1:
                raise ValueError(f"{type(self).__name__}: parameters must share one dtype and one device")
            self._flat = namespace(arrays[0]).concatenate([a.ravel() for a in arrays])
            for name, moment in self._moments.items():
                if device_of(moment) != device_of(self._flat) or moment.dtype != self._flat.dtype:
                    raise ValueError(
                        f"{type(self).__name__}: parameters are now {self._flat.dtype} on {device_of(self._flat)}, the "
                        f"moment {name!r} is {moment.dtype} on {device_of(moment)}; move the module before the first step"
                    )
        return self._flat

    def _runs(self, gradients: list[Array | None]) -> list[tuple[int, int]]:
        """First and last parameter of each run of neighbours that have a gradient and the same number of steps."""
        runs: list[tuple[int, int]] = []
        for i, gradient in enumerate(gradients):
            if gradient is None:
                continue
            if runs and runs[-1][1] == i - 1 and self._steps[i] == self._steps[runs[-1][0]]:
                runs[-1] = (runs[-1][0], i)
            else:
                runs.append((i, i))
        return runs

    def _moment(self, name: str, where: slice) -> Array:
        """Part of a moment that this optimiser owns and writes; zeros at first."""
        if name not in self._moments:
            self._moments[name] = namespace(self._flat).zeros_like(self._flat)
        return self._moments[name][where]

    def _update(self, parameters: Array, gradient: Array, where: slice, step: int) -> Array:
        """The new values of a stretch of the flat array; ``gradient`` is this step's own and may be written."""
        raise TypeError(f"{type(self).__name__} defines no _update()")

    def state_dict(self) -> dict[str, Any]:
        """Moments (copies), step counts and the learning rate."""
        moments = {f"moment.{name}": moment.copy() for name, moment in self._moments.items()}
        return {"lr": self.lr, "steps": list(self._steps), **moments}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        moments = {name.removeprefix("moment."): m for name, m in state.items() if name.startswith("moment.")}
        size = self._slices[-1].stop
        if len(state["steps"]) != len(self.params) or any(tuple(m.shape) != (size,) for m in moments.values()):
            raise ValueError(f"{type(self).__name__}: the saved state belongs to other parameters")
        self.lr, self._steps = float(state["lr"]), [int(step) for step in state["steps"]]
        here = self.params[0]
        self._moments = {name: to_device(m, here.device).astype(here.dtype) for name, m in moments.items()}


class SGD(Optimizer):
    """Gradient descent, with momentum: v ← μ v + g, p ← p − lr · v."""

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.0) -> None:
        super().__init__(params, lr)
        self.momentum = momentum

    def _update(self, parameters: Array, gradient: Array, where: slice, step: int) -> Array:
        if self.momentum:
            velocity = self._moment("velocity", where)
            velocity *= self.momentum
            velocity += gradient
            gradient = velocity
        return parameters - self.lr * gradient


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015): steps of the mean gradient over the root of the mean squared gradient."""

    def __init__(
        self, params: Iterable[Tensor], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(params, lr)
        self.betas, self.eps = betas, eps

    def _update(self, parameters: Array, gradient: Array, where: slice, step: int) -> Array:
        beta1, beta2 = self.betas
        mean, square = self._moment("mean", where), self._moment("square", where)
        mean *= beta1
        mean += (1.0 - beta1) * gradient
        square *= beta2
        gradient *= gradient
        gradient *= 1.0 - beta2
        square += gradient
        scale = namespace(square).sqrt(square)
        scale /= (1.0 - beta2**step) ** 0.5  # the bias corrections: both means start from zero
        scale += self.eps
        return parameters - (self.lr / (1.0 - beta1**step)) * (mean / scale)
