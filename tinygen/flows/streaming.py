"""Floor 6. A causal network fed piece by piece, without gradient: what sampling needs (AR-3).

Whoever draws a series value by value asks the network T times, each time with one value more.  What was computed for
the values before need not be computed again: of each convolution, the last inputs that its kernel reaches back to are
kept, and a new value costs one position of the network, however long the series is.

The pieces may have any length.  A teacher feeds one value at a time, because it must draw the next one first; a
student knows all its noise beforehand and feeds it in one piece.  Both run the same lines, on raw arrays.
"""

from __future__ import annotations

from typing import Any

from tinygen.backend import Array, namespace
from tinygen.flows.networks import CausalNetwork
from tinygen.nn import CausalConv1d, Conv1d, Module
from tinygen.ops import tensor
from tinygen.tensor import Tensor, raw


def noise_for(model: Module, noise: Any) -> Tensor:
    """Noise (N, T) that ``model`` makes series of, T > 0; TypeError unless it has the model's dtype and device."""
    like, name = model.parameters()[0], type(model).__name__
    found: Tensor = noise if isinstance(noise, Tensor) else tensor(noise)
    if found.ndim != 2 or found.shape[1] == 0:
        raise ValueError(f"{name}: noise must have shape (N, T) with T > 0, got {found.shape}")
    if (found.dtype, found.device) != (like.dtype, like.device):
        raise TypeError(
            f"{name}: noise must be {like.dtype} on {like.device} like the model, got {found.dtype} on {found.device}; "
            f"use .astype(…) or .to(…) on one of them"
        )
    return found


class ConvolutionStream:
    """A convolution over the past and the present, fed the next inputs (L, n, in): outputs (L, n, out) at the same L.

    Before the first there are zeros.  Of a strict layer, which does not see the present, feed what came one before.
    """

    def __init__(self, layer: Module, n: int) -> None:
        causal = isinstance(layer, CausalConv1d) or (isinstance(layer, Conv1d) and layer.kernel_size == (1,))
        if not isinstance(layer, Conv1d) or not causal or layer.settings["groups"] != 1:
            raise ValueError(f"ConvolutionStream: needs a causal convolution without groups, got {layer!r}")
        weight = raw(layer.weight)  # (out, in, K), the oldest input first
        outputs, inputs, taps = weight.shape
        self.matrix = weight.transpose(2, 1, 0).reshape(taps * inputs, outputs)
        self.bias = None if layer.bias is None else raw(layer.bias)
        self.dilation = layer.settings["dilation"]
        self.past = namespace(weight).zeros((self.dilation * (taps - 1), n, inputs), dtype=weight.dtype)

    def __call__(self, x: Array) -> Array:
        if x.dtype != self.past.dtype or x.shape[1:] != self.past.shape[1:]:
            wanted = f"(L, {self.past.shape[1]}, {self.past.shape[2]}) of {self.past.dtype}"
            raise ValueError(f"ConvolutionStream: needs inputs {wanted}, got {x.shape} of {x.dtype}")
        xp, length = namespace(x), len(x)
        back = len(self.past)
        window = x
        if back:
            reached = xp.concatenate([self.past, x])
            self.past = reached[length:]
            window = xp.concatenate([reached[k : k + length] for k in range(0, back + 1, self.dilation)], axis=2)
        y = window.reshape(-1, window.shape[2]) @ self.matrix  # one product of two matrices, whatever n and L
        if self.bias is not None:
            y = y + self.bias
        return y.reshape(length, x.shape[1], y.shape[1])


class NetworkStream:
    """A :class:`CausalNetwork` fed the next values (L, n) of n series: the outputs (L, n, 2) that *follow* each.

    ``first`` (1, n, 2) are those before any value.  Weights are those of the time when the stream was made.

    >>> import numpy as np, tinygen as tg
    >>> network = tg.flows.CausalNetwork(4, rng=tg.random.Generator(0))
    >>> stream = NetworkStream(network, 1)
    >>> stream.first.shape, stream(np.zeros((10, 1), np.float32)).shape
    ((1, 1, 2), (10, 1, 2))
    """

    def __init__(self, network: CausalNetwork, n: int) -> None:
        if network.from_context is not None:
            raise ValueError("NetworkStream: the network is conditional; streams have no context")
        self.channels, self.marked = network.last.in_channels, network.marked
        self.opening, self.skip, self.last = (
            ConvolutionStream(layer, n) for layer in (network.first, network.skip, network.last)
        )
        self.blocks = [
            (ConvolutionStream(gate, n), ConvolutionStream(mix, n))
            for gate, mix in zip(network.gates, network.mixes, strict=True)
        ]
        nothing = namespace(self.last.matrix).zeros((1, n, 1 + self.marked), dtype=self.last.matrix.dtype)
        self.first = self._outputs(nothing)

    def __call__(self, x: Array) -> Array:
        xp = namespace(x)
        return self._outputs(xp.stack([x, xp.ones_like(x)], axis=2) if self.marked else x[:, :, None])

    def _outputs(self, sequence: Array) -> Array:
        xp, c = namespace(sequence), self.channels
        h = self.opening(sequence)
        for gate, mix in self.blocks:
            y = gate(h)
            door = 0.5 + 0.5 * xp.tanh(0.5 * y[:, :, c:])  # σ, which cannot overflow so
            h = h + mix(xp.tanh(y[:, :, :c]) * door)
        return self.last(h) + self.skip(sequence)
