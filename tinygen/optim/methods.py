"""Floor 5. The optimisers: how parameters p, their gradient g and running moments of it give new parameters.

Names, defaults and results are PyTorch's.  ``weight_decay`` adds weight_decay · p to g, the gradient of
½ weight_decay ‖p‖²; only AdamW shrinks the parameters by themselves.  Each ``_update`` uses ``out`` as its scratch
memory: on large arrays, reading and writing them is what a step costs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from tinygen.backend import Array, namespace
from tinygen.optim.optimizer import Optimizer
from tinygen.optim.schedules import Schedule
from tinygen.tensor import Tensor


class SGD(Optimizer):
    """Gradient descent: p ← p − lr · v with the velocity v ← momentum · v + (1 − dampening) · g, at first g.

    ``nesterov`` looks ahead: p ← p − lr · (g + momentum · v).
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float | Schedule = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        lazy: Iterable[Tensor] = (),
    ) -> None:
        super().__init__(params, lr, moments=("velocity",) if momentum else (), lazy=lazy)
        self._not_negative(momentum=momentum, weight_decay=weight_decay)
        if nesterov and (not momentum or dampening):
            raise ValueError("SGD: nesterov=True needs a momentum above 0 and no dampening")
        self.momentum, self.dampening, self.weight_decay, self.nesterov = momentum, dampening, weight_decay, nesterov

    def _update(
        self, out: Array, parameters: Array, gradient: Array, moments: list[Array], step: int, rate: float
    ) -> None:
        xp = namespace(out)
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameters
        if self.momentum:
            (velocity,) = moments
            velocity *= self.momentum
            velocity += gradient if step == 1 or not self.dampening else (1.0 - self.dampening) * gradient
            gradient = gradient + self.momentum * velocity if self.nesterov else velocity
        xp.multiply(gradient, rate, out=out)
        xp.subtract(parameters, out, out=out)


class Adam(Optimizer):
    """p ← p − lr · m̂ / (√ŝ + eps): steps of the mean gradient over the root of the mean squared gradient.

    m ← β₁ m + (1 − β₁) g and s ← β₂ s + (1 − β₂) g² start at 0; m̂ = m / (1 − β₁ᵗ) and ŝ = s / (1 − β₂ᵗ) correct that
    in update t.  Source: Kingma & Ba 2015.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        lazy: Iterable[Tensor] = (),
    ) -> None:
        super().__init__(params, lr, moments=("mean", "square"), lazy=lazy)
        self._not_negative(eps=eps, weight_decay=weight_decay)
        if not (0.0 <= betas[0] < 1.0 and 0.0 <= betas[1] < 1.0):
            raise ValueError(f"{type(self).__name__}: betas must lie from 0 to below 1, got {betas}")
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay

    def _update(
        self, out: Array, parameters: Array, gradient: Array, moments: list[Array], step: int, rate: float
    ) -> None:
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameters
        self._direction(out, gradient, moments, step, rate)
        namespace(out).subtract(parameters, out, out=out)

    def _direction(self, out: Array, gradient: Array, moments: list[Array], step: int, rate: float) -> None:
        """Write lr · m̂ / (√ŝ + eps) to ``out``.

        The moments kept are m / (1 − β₁) and s / (1 − β₂): the factors go into the numbers ``eps`` and ``rate``, which
        saves three passes over the arrays.
        """
        xp, (mean, square), (beta1, beta2) = namespace(out), moments, self.betas
        mean *= beta1
        mean += gradient
        square *= beta2
        xp.multiply(gradient, gradient, out=out)
        square += out
        root_scale = math.sqrt((1.0 - beta2) / (1.0 - beta2**step))  # √ŝ = root_scale · √square
        xp.sqrt(square, out=out)
        out += self.eps / root_scale
        xp.divide(mean, out, out=out)
        out *= rate * (1.0 - beta1) / (1.0 - beta1**step) / root_scale


class AdamW(Adam):
    """Adam, with decay that does not pass through the moments: p ← (1 − lr · weight_decay) p − lr · m̂ / (√ŝ + eps).

    Source: Loshchilov & Hutter 2019.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        lazy: Iterable[Tensor] = (),
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, lazy=lazy)

    def _update(
        self, out: Array, parameters: Array, gradient: Array, moments: list[Array], step: int, rate: float
    ) -> None:
        self._direction(out, gradient, moments, step, rate)
        namespace(out).subtract(parameters * (1.0 - rate * self.weight_decay), out, out=out)


class RMSprop(Optimizer):
    """p ← p − lr · g / (√s + eps) with the mean squared gradient s ← α s + (1 − α) g².

    ``centered`` takes the variance s − m² instead, with m ← α m + (1 − α) g.  ``momentum`` collects the steps
    v ← momentum · v + g / (√s + eps) and takes p ← p − lr · v.  Source: Tieleman & Hinton 2012; Graves 2013.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float | Schedule = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        lazy: Iterable[Tensor] = (),
    ) -> None:
        names = ["square"] + ["mean"] * bool(centered) + ["velocity"] * bool(momentum)
        super().__init__(params, lr, moments=names, lazy=lazy)
        self._not_negative(alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum)
        self.alpha, self.eps, self.weight_decay = alpha, eps, weight_decay
        self.momentum, self.centered = momentum, centered

    def _update(
        self, out: Array, parameters: Array, gradient: Array, moments: list[Array], step: int, rate: float
    ) -> None:
        xp, square = namespace(out), moments[0]
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameters
        square *= self.alpha
        xp.multiply(gradient, gradient, out=out)
        out *= 1.0 - self.alpha
        square += out
        if self.centered:
            mean = moments[1]
            mean *= self.alpha
            mean += (1.0 - self.alpha) * gradient
            xp.multiply(mean, mean, out=out)
            xp.subtract(square, out, out=out)
            xp.maximum(out, 0.0, out=out)  # rounding may leave less than 0 of a gradient that stays the same
            xp.sqrt(out, out=out)
        else:
            xp.sqrt(square, out=out)
        out += self.eps
        xp.divide(gradient, out, out=out)
        if self.momentum:
            velocity = moments[-1]
            velocity *= self.momentum
            velocity += out
            xp.multiply(velocity, rate, out=out)
        else:
            out *= rate
        xp.subtract(parameters, out, out=out)


class Adagrad(Optimizer):
    """p ← p − lr / (1 + (t − 1) · lr_decay) · g / (√s + eps) with the sum of squared gradients s ← s + g², in update t.

    Source: Duchi, Hazan & Singer 2011.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float | Schedule = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        lazy: Iterable[Tensor] = (),
    ) -> None:
        super().__init__(params, lr, moments=("sum",), lazy=lazy)
        self._not_negative(
            lr_decay=lr_decay, weight_decay=weight_decay, initial_accumulator_value=initial_accumulator_value, eps=eps
        )
        self.lr_decay, self.weight_decay, self.eps = lr_decay, weight_decay, eps
        self._initial_moment = initial_accumulator_value

    def _update(
        self, out: Array, parameters: Array, gradient: Array, moments: list[Array], step: int, rate: float
    ) -> None:
        xp, (total,) = namespace(out), moments
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameters
        xp.multiply(gradient, gradient, out=out)
        total += out
        xp.sqrt(total, out=out)
        out += self.eps
        xp.divide(gradient, out, out=out)
        out *= rate / (1.0 + (step - 1) * self.lr_decay)
        xp.subtract(parameters, out, out=out)
