"""Floor 6. Networks that give layers their shift and log-scale; none of them is ever inverted.

Each maps rows (N, dim) and an optional context (N, context) to (N, 2 · dim): first all shifts, then all raw
log-scales.  Their last layers start at zero, so that a flow starts as the identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

import tinygen.ops as ops
from tinygen import nn, random
from tinygen.tensor import Tensor


def perceptron(
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    activation: type[nn.Module] = nn.ReLU,
    spread: float = 3.0,
    *,
    rng: random.Generator | None = None,
) -> nn.Sequential:
    """Linear layers of the given widths with activations between them, the last with zero weights and biases.

    Weights of the others are normal after He et al. 2015, and their biases uniform in ±spread: that puts the kinks of
    rectifiers where latents and standardised data are.  From PyTorch's start, with smaller weights and biases, the
    same networks cut a density into separate modes far more slowly.
    """
    rng = rng or random.default()
    modules: list[nn.Module] = []
    for fan_in, width in pairwise([inputs, *hidden]):
        linear = nn.Linear(fan_in, width, rng=rng)
        assert linear.bias is not None
        nn.init.kaiming_normal_(rng, linear.weight)
        nn.init.uniform_(rng, linear.bias, -spread, spread)
        modules += [linear, activation()]
    last = nn.Linear(hidden[-1] if hidden else inputs, outputs, rng=rng)
    _start_at_zero(last)
    return nn.Sequential(*modules, last)


def _start_at_zero(layer: Any) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def shift_and_raw_log_scale(network: nn.Module, rows: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
    """The halves (N, dim) of what ``network`` gave for rows (N, dim).

    Raises ValueError if that is not (N, 2 · dim).  A half with one column would be broadcast to all coordinates, but
    the log-determinant would count it once.
    """
    wanted = rows.shape[0], 2 * rows.shape[-1]
    if output.shape != wanted:
        name = type(network).__name__
        raise ValueError(f"{name}: must give shifts and log-scales {wanted} for rows {rows.shape}, got {output.shape}")
    shift, raw_log_scale = ops.split(output, 2, axis=1)
    return shift, raw_log_scale


def of_context(network: Any, rows: Tensor, context: Tensor | None) -> Tensor | None:
    """``network.from_context`` of the context (N, numbers), None without either; ValueError if one is missing."""
    linear, name = network.from_context, type(network).__name__
    if linear is None:
        if context is not None:
            raise ValueError(f"{name}: takes no context, but one was given; make it with context={context.shape[-1]}")
        return None
    wanted = rows.shape[0], linear.in_features
    if context is None or context.shape != wanted:
        given = "none" if context is None else context.shape
        raise ValueError(f"{name}: is conditional, its context must have shape {wanted}, got {given}")
    return linear(context)  # type: ignore[no-any-return]


class MaskedPerceptron(nn.Module):
    """A perceptron whose outputs t, shift and log-scale, see the inputs before t alone (MADE, Germain et al. 2015).

    Degrees of hidden units are spread evenly from 1 to dim − 1.  ``skip`` adds a masked linear map from input to
    output, with which a linear dependence needs no hidden unit.  The context is seen by every unit of the first hidden
    layer; units of degree 0 then see nothing else, and serve the first coordinate.
    """

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] = (64, 64),
        activation: type[nn.Module] = nn.ReLU,
        skip: bool = True,
        context: int = 0,
        *,
        rng: random.Generator | None = None,
    ) -> None:
        if not hidden:
            raise ValueError("MaskedPerceptron: hidden needs at least one width")
        positions = np.arange(1, dim + 1)
        lowest = 0 if context or dim == 1 else 1
        degrees = [positions, *(np.linspace(lowest, dim - 1, width).round() for width in hidden)]
        self.layers = nn.ModuleList(
            nn.MaskedLinear(nn.autoregressive_mask(seen, unit, strict=False), rng=rng)
            for seen, unit in pairwise(degrees)
        )
        self.activation = activation()
        twice = np.tile(positions, 2)
        self.last = nn.MaskedLinear(nn.autoregressive_mask(degrees[-1], twice, strict=True), rng=rng)
        _start_at_zero(self.last)
        self.skip = None
        if skip:
            self.skip = nn.MaskedLinear(nn.autoregressive_mask(positions, twice, strict=True), bias=False, rng=rng)
            _start_at_zero(self.skip)
        self.from_context = nn.Linear(context, hidden[0], bias=False, rng=rng) if context else None

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        h, given = x, of_context(self, x, context)
        for number, layer in enumerate(self.layers):
            h = layer(h)
            if number == 0 and given is not None:
                h = h + given
            h = self.activation(h)
        y: Tensor = self.last(h)
        return y if self.skip is None else y + self.skip(x)


class CausalNetwork(nn.Module):
    """Gated causal convolutions over a sequence (N, T) of any length: outputs at t see what came before t (AR-4).

    A strict first convolution, then one block for each dilation, h + W (tanh(·) ⊙ σ(·)) as in WaveNet (van den Oord et
    al. 2016), and a strict linear map of the last ``taps`` values beside them.  With kernel 2 and dilations 1, 2, …,
    2^(k−1) it sees 2ᵏ + 1 values back, and ``taps`` values by the linear map.  ``marked`` adds a channel of ones: it
    tells values from the zeros before the beginning, and so the first values may have laws of their own.
    """

    def __init__(
        self,
        channels: int = 24,
        dilations: Sequence[int] = (1, 2, 4),
        taps: int = 8,
        context: int = 0,
        marked: bool = False,
        *,
        rng: random.Generator | None = None,
    ) -> None:
        self.marked = marked
        self.first = nn.CausalConv1d(1 + marked, channels, 2, strict=True, rng=rng)
        self.gates = nn.ModuleList(nn.CausalConv1d(channels, 2 * channels, 2, d, rng=rng) for d in dilations)
        self.mixes = nn.ModuleList(nn.Conv1d(channels, channels, 1, rng=rng) for _ in dilations)
        self.last = nn.Conv1d(channels, 2, 1, rng=rng)
        self.skip = nn.CausalConv1d(1 + marked, 2, taps, bias=False, strict=True, rng=rng)
        for layer in (self.last, self.skip):
            _start_at_zero(layer)
        self.from_context = nn.Linear(context, channels, bias=False, rng=rng) if context else None

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        sequence = ops.stack([x, ops.ones_like(x)], axis=1) if self.marked else ops.expand_dims(x, 1)
        h, given = self.first(sequence), of_context(self, x, context)
        if given is not None:
            h = h + ops.expand_dims(given, 2)
        for gate, mix in zip(self.gates, self.mixes, strict=True):
            signal, door = ops.split(gate(h), 2, axis=1)
            h = h + mix(ops.tanh(signal) * ops.sigmoid(door))
        y = self.last(h) + self.skip(sequence)
        return ops.reshape(y, (x.shape[0], 2 * x.shape[1]))
