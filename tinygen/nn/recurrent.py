"""Floor 5. Recurrent networks over sequences (TXT-11, TXT-12).

Weights, their names and shapes are PyTorch's, with its two biases.  What the input adds to all steps of a layer is
one matrix product before the loop over time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygen.ops as ops
from tinygen import random
from tinygen.backend import checks_values, upload_like
from tinygen.nn import init
from tinygen.nn.dropout import drop, own_stream
from tinygen.nn.module import Module, Parameter
from tinygen.ops.arrange import unstack
from tinygen.ops.lstm import lstm
from tinygen.tensor import Tensor

State = tuple[Tensor, ...]  # of one layer, each (N, hidden): (h,) or (h, c)


class _Recurrent(Module):
    """Layers, initial states, lengths and dropout; subclasses say how a state takes one step."""

    gates: int  # how many blocks of ``hidden_size`` rows the weights have
    states: int  # how many arrays a state consists of

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        *,
        rng: random.Generator | None = None,
    ) -> None:
        if num_layers < 1 or not 0.0 <= dropout <= 1.0:
            raise ValueError(
                f"{type(self).__name__}: needs num_layers ≥ 1 and 0 ≤ dropout ≤ 1, got {num_layers}, {dropout}"
            )
        rng = rng or random.default()
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.batch_first, self.dropout = batch_first, dropout
        rows = self.gates * hidden_size
        for layer in range(num_layers):
            shapes: dict[str, tuple[int, ...]] = {
                "weight_ih": (rows, input_size if layer == 0 else hidden_size),
                "weight_hh": (rows, hidden_size),
            }
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            for name, shape in shapes.items():
                setattr(self, f"{name}_l{layer}", Parameter(init.around_zero(rng, shape, hidden_size)))
        self.bias = bias
        self.stream = own_stream(rng, "dropout") if dropout else None

    def parameter(self, name: str, layer: int) -> Any:
        """The parameter ``name`` of a layer."""
        return getattr(self, f"{name}_l{layer}")

    def advance(self, from_input: Tensor, state: State, weight: Tensor) -> State:
        """A layer's states after each step, each (T, N, hidden), from the input's part (T, N, gates · hidden)."""
        raise TypeError(f"{type(self).__name__} defines no advance()")

    def run(self, x: Any, initial: Any, lengths: Any) -> tuple[Tensor, State]:
        """Outputs (T, N, hidden) and last states, each (layers, N, hidden), for x (T, N, input)."""
        if x.shape[2] != self.input_size:
            raise ValueError(f"{type(self).__name__}: input_size is {self.input_size}, got x of shape {tuple(x.shape)}")
        states = self._initial(initial, x.shape[1])
        ends = None if lengths is None else _ends(lengths, x, self.parameter("weight_hh", 0))
        if ends is not None:
            x = ops.where(_running(ends, x), x, 0.0)  # padding may hold anything, and 0 · NaN would enter the gradients
        last: list[State] = []
        for layer in range(self.num_layers):
            if layer and self.stream is not None and self.training:
                x = drop(self.stream, x, self.dropout)
            x, state = self._layer(layer, x, tuple(part[layer] for part in states), ends)
            last.append(state)
        return x, tuple(ops.stack(parts) for parts in zip(*last, strict=True))

    def _layer(self, layer: int, x: Any, state: State, ends: Tensor | None) -> tuple[Tensor, State]:
        bias = self.parameter("bias_ih", layer) + self.parameter("bias_hh", layer) if self.bias else None
        from_input = ops.linear(x, self.parameter("weight_ih", layer), bias)
        weight = self.parameter("weight_hh", layer)
        if ends is None:
            after = self.advance(from_input, state, weight)
            return after[0], tuple(part[-1] for part in after)
        running, batch = _running(ends, x), ops.arange(len(ends), device=ends.device)
        lowest = float(np.finfo(from_input.dtype).min)  # closes all gates and ReLUs: after its end nothing can grow
        after = self.advance(ops.where(running, from_input, lowest), state, weight)
        every = [ops.concatenate([ops.expand_dims(start, 0), part]) for start, part in zip(state, after, strict=True)]
        return ops.where(running, after[0], 0.0), tuple(part[ends, batch] for part in every)

    def _initial(self, given: Any, batch: int) -> State:
        """Zeros, or the given states after a look at their shapes."""
        shape = (self.num_layers, batch, self.hidden_size)
        if given is None:
            like = self.parameter("weight_hh", 0)
            return (ops.zeros(shape, dtype=like.dtype, device=like.device),) * self.states
        states = tuple(given) if self.states > 1 else (given,)
        if len(states) != self.states or any(tuple(part.shape) != shape for part in states):
            shapes = [tuple(part.shape) for part in states]
            raise ValueError(f"{type(self).__name__}: needs {self.states} initial state(s) {shape}, got {shapes}")
        return states

    def _time_first(self, x: Any) -> Any:
        if x.ndim != 3 or 0 in x.shape[:2]:
            axes = "(N, T, input)" if self.batch_first else "(T, N, input)"
            raise ValueError(f"{type(self).__name__}: x must be {axes}, none of them empty, got shape {tuple(x.shape)}")
        return ops.swapaxes(x, 0, 1) if self.batch_first else x

    def describe(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + (f", num_layers={self.num_layers}" * (self.num_layers > 1))


class RNN(_Recurrent):
    """h ← tanh(W_ih x + b_ih + W_hh h + b_hh), or relu: x (T, N, input) to y (T, N, hidden) and h (layers, N, hidden).

    ``batch_first``: x and y are (N, T, …).  ``lengths`` (N,): from there on a sequence puts out zeros, and its last
    state is that at its end.  (Elman 1990; TXT-11.)
    """

    gates, states = 1, 1

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", **options: Any
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: unknown nonlinearity {nonlinearity!r}; use 'tanh' or 'relu'")
        super().__init__(input_size, hidden_size, num_layers, **options)
        self.nonlinearity = nonlinearity

    def advance(self, from_input: Tensor, state: State, weight: Tensor) -> State:
        function = ops.tanh if self.nonlinearity == "tanh" else ops.relu
        (h,), transposed, after = state, ops.swapaxes(weight, 0, 1), []
        for part in unstack(from_input):
            h = function(part + ops.matmul(h, transposed))
            after.append(h)
        return (ops.stack(after),)

    def forward(self, x: Any, h0: Any = None, *, lengths: Any = None) -> tuple[Tensor, Tensor]:
        y, (h,) = self.run(self._time_first(x), h0, lengths)
        return (ops.swapaxes(y, 0, 1) if self.batch_first else y), h


class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; Gers et al. 2000; TXT-12).

        i, f, o = σ(…), g = tanh(…) of W_ih x + b_ih + W_hh h + b_hh,    c ← f c + i g,    h ← o tanh c

    x (T, N, input) to y (T, N, hidden) and (h, c), each (layers, N, hidden); rows of the weights in the order i, f, g,
    o.  ``batch_first``: x and y are (N, T, …).  ``lengths`` (N,): from there on a sequence puts out zeros, and its
    last state is that at its end.  ``forget_bias`` is what the two biases of f start with together: with 0 half of
    the memory is lost at each step at first, with 1 a quarter.  None starts them as PyTorch does.
    """

    gates, states = 4, 2

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        *,
        forget_bias: float | None = 1.0,
        rng: random.Generator | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, rng=rng)
        if bias and forget_bias is not None:
            for layer in range(num_layers):
                for name, value in (("bias_ih", forget_bias), ("bias_hh", 0.0)):
                    i, f, g, o = ops.split(self.parameter(name, layer).detach(), 4)
                    self.parameter(name, layer).assign(ops.concatenate([i, ops.full_like(f, value), g, o]))

    def advance(self, from_input: Tensor, state: State, weight: Tensor) -> State:
        return lstm(from_input, weight, *state)

    def forward(self, x: Any, initial: Any = None, *, lengths: Any = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y, (h, c) = self.run(self._time_first(x), initial, lengths)
        return (ops.swapaxes(y, 0, 1) if self.batch_first else y), (h, c)


def _ends(lengths: Any, x: Any, like: Tensor) -> Tensor:
    """How many steps each sequence has, as a tensor of integers."""
    steps, batch = x.shape[:2]
    ends = lengths._data if isinstance(lengths, Tensor) else lengths
    if isinstance(ends, (np.ndarray, list, tuple)):
        ends = np.asarray(ends)
    if ends.dtype.kind not in "iu" or tuple(ends.shape) != (batch,):
        raise ValueError(f"lengths: needs {batch} whole numbers, one a sequence, got {ends.dtype} {tuple(ends.shape)}")
    if checks_values(ends) and (ends.min() < 0 or ends.max() > steps):
        raise ValueError(f"lengths: must lie between 0 and the {steps} steps of x, got {ends.min()} to {ends.max()}")
    return Tensor(upload_like(ends, like._data) if isinstance(ends, np.ndarray) else ends)


def _running(ends: Tensor, x: Any) -> Tensor:
    """Where a sequence has not ended: booleans (T, N, 1)."""
    steps, batch = x.shape[:2]
    return ops.reshape(ops.arange(steps, device=ends.device), (steps, 1, 1)) < ops.reshape(ends, (1, batch, 1))
