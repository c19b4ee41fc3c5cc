"""Floor 3. The run of an LSTM over time as one primitive, and backpropagation through time as its rule (TXT-12).

A step is a small product and a dozen small elementwise operations: recorded one by one, they cost several times what
they compute.  Here a sequence is one entry of the record, and going back is one loop.  That loop yields the cotangents
of all arguments together, while the walk asks a rule for one argument: so the arguments are laid end to end in one
array.  The weight's cotangent is one product over all steps.
"""

from __future__ import annotations

from typing import Any

from tinygen.backend import Array, namespace
from tinygen.operands import operation
from tinygen.ops.arrange import concatenate, unstack
from tinygen.ops.compare import sigmoid
from tinygen.ops.elementwise import square, tanh
from tinygen.ops.matmul import _left, matmul
from tinygen.ops.shape import _reshape, expand_dims, reshape
from tinygen.primitive import primitive
from tinygen.tensor import Tensor


@operation
def lstm(inputs: Any, weight: Any, h: Any, c: Any) -> tuple[Tensor, Tensor]:
    """h and c after each step, both (T, N, H), of an LSTM that starts with h and c (N, H); T is at least 1.

    ``inputs`` (T, N, 4H) is what the input adds to the gates i, f, g, o, the biases too; ``weight`` (4H, H) is W_hh.
    """
    shapes = [tuple(x.shape) for x in (inputs, weight, h, c)]
    steps, batch = shapes[0][:2]
    size = shapes[2][-1]
    if shapes != [(steps, batch, 4 * size), (4 * size, size), (batch, size), (batch, size)] or steps == 0:
        raise ValueError(f"lstm: needs shapes (T, N, 4H), (4H, H), (N, H), (N, H) and T ≥ 1, got {shapes}")
    y = _lstm(_packed(inputs, weight, h, c), steps=steps, batch=batch, size=size)
    return y[:, 5], y[:, 4]


@primitive()
def _lstm(packed: Array, *, steps: int, batch: int, size: int) -> Array:
    """σ(i), σ(f), tanh(g), σ(o), and the new c and h, of each step: (T, 6, N, H)."""
    xp = namespace(packed)
    inputs, weight, h, c = _unpacked(packed, steps, batch, size)
    transposed = xp.ascontiguousarray(weight.T)  # BLAS takes twice as long for few rows by a transposed view
    y = xp.empty((steps, 6, batch, size), dtype=packed.dtype)
    for t in range(steps):
        gates = h @ transposed
        gates += inputs[t]
        y[t, :4] = sigmoid(gates).reshape(batch, 4, size).swapaxes(0, 1)  # g's too: one call costs less than two
        y[t, 2] = xp.tanh(gates[:, 2 * size : 3 * size])
        i, f, g, o, c_next, h_next = y[t]
        c_next[...] = f * c + i * g
        h_next[...] = o * xp.tanh(c_next)
        h, c = h_next, c_next
    return y


def _lstm_rule(g: Any, y: Any, packed: Any, steps: int, batch: int, size: int) -> Any:
    """Backpropagation through time: from the last step to the first."""
    _, weight, h, c = _unpacked(packed, steps, batch, size)
    rows, cotangents = unstack(y), unstack(g)
    cells = [c, *(row[4] for row in rows)]
    g_gates = []
    g_h: Any = 0.0
    g_c: Any = 0.0
    for t in reversed(range(steps)):
        gates, g_c = _step_rule(cotangents[t], rows[t], cells[t], g_h, g_c)
        g_h = matmul(gates, weight)
        g_gates.append(gates)
    g_inputs = concatenate(g_gates[::-1])
    before = concatenate([expand_dims(h, 0), y[:-1, 5]])  # h before each step
    return _packed(g_inputs, _left(g_inputs, before), g_h, g_c)


def _step_rule(g: Any, y: Any, c_before: Any, later_h: Any, later_c: Any) -> Any:
    """The cotangents of a step's gates (N, 4H), before σ and tanh, and of c before the step.

    ``later_h`` and ``later_c`` are what the next step sends back to h and c; ``new`` is tanh(g).
    """
    i, f, new, o, c, _ = y
    g_i, g_f, g_new, g_o, g_c, g_h = g
    g_h = g_h + later_h
    tanh_c = tanh(c)
    g_c = g_c + later_c + g_h * o * (1.0 - square(tanh_c))
    g_i = (g_i + g_c * new) * i * (1.0 - i)
    g_f = (g_f + g_c * c_before) * f * (1.0 - f)
    g_new = (g_new + g_c * i) * (1.0 - square(new))
    g_o = (g_o + g_h * tanh_c) * o * (1.0 - o)
    return concatenate([g_i, g_f, g_new, g_o], 1), g_c * f


_lstm.derivatives(_lstm_rule)


def _packed(inputs: Any, weight: Any, h: Any, c: Any) -> Any:
    """The arguments end to end."""
    return concatenate([reshape(x, -1) for x in (inputs, weight, h, c)])


def _unpacked(packed: Any, steps: int, batch: int, size: int) -> Any:
    """The arguments again: inputs (T, N, 4H), weight (4H, H), h and c (N, H)."""
    first = steps * batch * 4 * size
    second, state = first + 4 * size * size, batch * size
    return (
        _reshape(packed[:first], shape=(steps, batch, 4 * size)),
        _reshape(packed[first:second], shape=(4 * size, size)),
        _reshape(packed[second : second + state], shape=(batch, size)),
        _reshape(packed[second + state :], shape=(batch, size)),
    )
