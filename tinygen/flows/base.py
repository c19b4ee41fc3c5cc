"""Floor 6. What a flow is: bijections with their log-determinants, one after the other, from a base to the data.

    z₀ ~ p₀,  z_k = f_k(z_{k−1}),  x = z_K,   log p(x) = log p₀(z₀) − Σ_k log|det ∂f_k/∂z_{k−1}|     (FLOW-4, FLOW-5)

Directions are named by where they lead: ``to_data`` generates (z to x), ``to_latent`` infers (x to z).  Each returns
its result and the log-determinant *of that map*, so that the two at corresponding points sum to 0 (FLOW-2).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import tinygen.ops as ops
from tinygen.distributions import Distribution, Independent
from tinygen.nn import Module, ModuleList
from tinygen.random import Generator, default
from tinygen.record import no_grad
from tinygen.tensor import Tensor

LOG_2PI = math.log(2.0 * math.pi)


class Layer(Module):
    """A bijection of rows (N, dim); a conditional one is another bijection for each row of ``context`` numbers.

    A layer of your own sets ``dim`` and defines ``_to_data`` and ``_to_latent``, which get checked arguments;
    ``tg.testing.check_flow`` says whether the two and their log-determinants fit together.

    >>> import tinygen as tg
    >>> class Double(tg.flows.Layer):
    ...     dim = 1
    ...     def _to_data(self, z, context):
    ...         return 2.0 * z, tg.log(tg.full_like(z[:, 0], 2.0))
    ...     def _to_latent(self, x, context):
    ...         return 0.5 * x, tg.log(tg.full_like(x[:, 0], 0.5))
    >>> Double().to_data([[3.0]])[0].numpy().tolist()
    [[6.0]]
    """

    dim: int
    context: int = 0

    def to_data(self, z: Any, context: Any = None) -> tuple[Tensor, Tensor]:
        """x (N, dim) and log|det ∂x/∂z| (N,), for z (N, dim) and context (N, self.context); else ValueError."""
        rows, given = self._checked("to_data", z, context)
        return self._answer("_to_data", rows, *self._to_data(rows, given))

    def to_latent(self, x: Any, context: Any = None) -> tuple[Tensor, Tensor]:
        """z (N, dim) and log|det ∂z/∂x| (N,), for x (N, dim) and context (N, self.context); else ValueError."""
        rows, given = self._checked("to_latent", x, context)
        return self._answer("_to_latent", rows, *self._to_latent(rows, given))

    def _to_data(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} defines no _to_data()")

    def _to_latent(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} defines no _to_latent()")

    def _checked(self, direction: str, value: Any, context: Any) -> tuple[Tensor, Tensor | None]:
        where = f"{type(self).__name__}.{direction}"
        rows = _floating(where, value)
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise ValueError(f"{where}: needs rows of shape (N, {self.dim}), got {rows.shape}")
        if not self.context:
            if context is not None:
                raise ValueError(f"{where}: takes no context, but one was given; layers made with context=… do")
            return rows, None
        if context is None:
            raise ValueError(f"{where}: is conditional, give context=(N, {self.context})")
        given = _floating(where, context)
        if given.shape != (rows.shape[0], self.context):
            raise ValueError(f"{where}: context must have shape {(rows.shape[0], self.context)}, got {given.shape}")
        return rows, given

    def _answer(self, method: str, rows: Tensor, image: Tensor, log_det: Tensor) -> tuple[Tensor, Tensor]:
        """What a map of ``rows`` gave, if its shapes are right: others would be broadcast, and no sum would be true."""
        if image.shape != rows.shape or log_det.shape != rows.shape[:1]:
            raise ValueError(
                f"{type(self).__name__}.{method}: must return rows {rows.shape} and log-determinants {rows.shape[:1]}, "
                f"got {image.shape} and {log_det.shape}"
            )
        return image, log_det


def _floating(where: str, value: Any) -> Tensor:
    tensor = value if isinstance(value, Tensor) else ops.tensor(value)
    if tensor.dtype.kind != "f":
        raise TypeError(f"{where}: needs floating numbers, got {tensor.dtype}; use .astype(float)")
    return tensor


class Inverse(Layer):
    """A layer the other way round: what it did to latents is done to data.

    A planar layer so turned is trained by maximum likelihood without solving for its inverse, and sampled with it.
    """

    def __init__(self, layer: Layer) -> None:
        self.layer, self.dim, self.context = layer, layer.dim, layer.context

    def _to_data(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.layer.to_latent(z, context)

    def _to_latent(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.layer.to_data(x, context)


class Flow(Layer):
    """Layers in the order of generation, f₁ first, over a base distribution of z₀: a density that can be sampled.

    ``base`` is a distribution of rows, or of dim numbers; by default N(0, I).  A given one keeps its own device, and
    its parameters are not among the flow's.  A Flow is a layer too, so flows nest (an inner one's base plays no part).
    The context of a flow goes to those of its layers that take one.

    With :class:`BatchNorm` among the layers, ``log_prob`` in training mode is the objective of a batch, not a density:
    a row's value depends on the others, and a call moves the running statistics.  Evaluate after ``eval()``.

    >>> import tinygen as tg
    >>> flow = tg.flows.Flow([tg.flows.Affine(2)])  # starts as the identity
    >>> flow.sample(tg.random.Generator(0), 5).shape, round(flow.log_prob([[0.0, 0.0]]).item(), 4)
    ((5, 2), -1.8379)
    """

    def __init__(self, layers: Iterable[Layer], base: Distribution | None = None) -> None:
        self.layers = ModuleList(layers)
        kinds = [type(layer).__name__ for layer in self.layers if not isinstance(layer, Layer)]
        if kinds or not len(self.layers):
            raise TypeError(f"Flow: needs one or more flows.Layer, got {', '.join(kinds) or 'none'}")
        dims = {layer.dim for layer in self._steps()}
        contexts = {layer.context for layer in self._steps() if layer.context}
        if len(dims) > 1 or len(contexts) > 1:
            raise ValueError(f"Flow: layers differ in dim {sorted(dims)} or in context {sorted(contexts)}")
        self.dim, self.context = dims.pop(), contexts.pop() if contexts else 0
        self.base = _of_rows(base, self.dim)

    def _steps(self) -> list[Layer]:
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def _to_data(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        log_dets = []
        for layer in self._steps():
            z, log_det = layer.to_data(z, _for(layer, context))
            log_dets.append(log_det)
        return z, _total(log_dets)

    def _to_latent(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        log_dets = []
        for layer in reversed(self._steps()):
            x, log_det = layer.to_latent(x, _for(layer, context))
            log_dets.append(log_det)
        return x, _total(log_dets)

    def stages(self, z: Any, context: Any = None) -> list[Tensor]:
        """z₀ = z, z₁, …, z_K = x: rows (N, dim) on their way to the data, after each layer (FLOW-4)."""
        rows, given = self._checked("stages", z, context)
        found = [rows]
        for layer in self._steps():
            found.append(layer.to_data(found[-1], _for(layer, given))[0])
        return found

    def log_prob(self, x: Any, context: Any = None) -> Tensor:
        """log p(x) (N,) in nats (FLOW-1), differentiable in x and the parameters.  Its mean is what FLOW-6 ascends."""
        z, log_det = self.to_latent(x, context)
        return self._base_log_prob(z) + log_det

    def sample(self, rng: Generator | None, n: int, context: Any = None) -> Tensor:
        """n draws (n, dim), without gradient; context is (n, self.context)."""
        with no_grad():
            return self.to_data(self._draw(rng, n), context)[0]

    def rsample_and_log_prob(self, rng: Generator | None, n: int, context: Any = None) -> tuple[Tensor, Tensor]:
        """n draws x and log p(x), both differentiable in the parameters and without an inverse (PROB-7).

        E[log p(x) + U(x)] over them is the reverse KL divergence to exp(−U)/Z, up to log Z.
        """
        trained = self.base is not None and any(tensor.requires_grad for tensor in self.base._tensors())
        z = self.base.rsample(rng, (n,)) if self.base is not None and trained else self._draw(rng, n)
        x, log_det = self.to_data(z, context)
        return x, self._base_log_prob(z) - log_det

    def _base_log_prob(self, z: Tensor) -> Tensor:
        if self.base is not None:
            return self.base.log_prob(z)
        return -0.5 * ops.sum(ops.square(z), axis=1) - 0.5 * self.dim * LOG_2PI

    def _draw(self, rng: Generator | None, n: int) -> Tensor:
        rng = rng or default()
        if self.base is not None:
            return self.base.sample(rng, (n,))
        like = next((tensor for _, tensor in self._named_tensors() if tensor.dtype.kind == "f"), None)
        if like is None:
            return rng.normal((n, self.dim))
        return rng.normal((n, self.dim), dtype=like.dtype, device=like.device)


def _for(layer: Layer, context: Tensor | None) -> Tensor | None:
    """The flow's context, if the layer takes one."""
    return context if layer.context else None


def _total(log_dets: list[Tensor]) -> Tensor:
    """Their sum, starting with the first."""
    total = log_dets[0]
    for log_det in log_dets[1:]:
        total = total + log_det
    return total


def _of_rows(base: Distribution | None, dim: int) -> Distribution | None:
    """A distribution whose event is a row; dim independent numbers become one."""
    if base is None or (base.event_shape == (dim,) and base.batch_shape == ()):
        return base
    if base.event_shape == () and base.batch_shape == (dim,):
        return Independent(base)
    raise ValueError(
        f"Flow: base must be a distribution of rows ({dim},), got batch {base.batch_shape} and event {base.event_shape}"
    )
