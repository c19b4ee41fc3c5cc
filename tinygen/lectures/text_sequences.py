"""Chapter 13, second part. Texts as sequences: convolution and averages over time, recurrent networks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen.lectures.claim import ALG, EXACT, LIN, Check, Claim, at_least, holds, same
from tinygen.lectures.numerics import correlate2d
from tinygen.testing.strategies import arrays, floats, normals, orthogonal, sizes

Array = np.ndarray

# --- TXT-9 -------------------------------------------------------------------------------------------------------

TXT_9 = Claim(
    "TXT-9",
    "One-dimensional convolutional text encoder",
    r"t'=t_1-\sum_l(k_l-1)\ \text{(stride 1, no padding)},\qquad\bar h=\tfrac1{t'}\sum_th_t",
    sources="000",
)


class Encoder(NamedTuple):
    """Embedded texts (b, c, t) and the kernels (c, c, k) of a stack of layers."""

    x: Array
    kernels: list[Array]

    @property
    def lost(self) -> int:
        """How many positions the layers take: Σ (k − 1)."""
        return sum(kernel.shape[2] - 1 for kernel in self.kernels)


@st.composite
def encoders(draw: st.DrawFn) -> Encoder:
    b, c = draw(sizes(1, 3)), draw(sizes(1, 3))
    kernels = [draw(normals((c, c, draw(sizes(1, 3))))) for _ in range(draw(sizes(1, 3)))]
    shortest = 1 + sum(kernel.shape[2] - 1 for kernel in kernels)
    return Encoder(draw(normals((b, c, shortest + draw(sizes(1, 4))))), kernels)


def encoded(x: tg.Tensor, kernels: list[Array]) -> tg.Tensor:
    """The stack: a ReLU after each convolution."""
    for kernel in kernels:
        x = tg.relu(tg.conv1d(x, tg.tensor(kernel)))
    return x


def positions_left(length: int, widths: list[int]) -> int:
    """t′ = t₁ − Σ (k − 1)."""
    return length - sum(width - 1 for width in widths)


@TXT_9.part(net=encoders())
def positions(net: Encoder, *, left: Any = positions_left) -> Iterator[Check]:
    """The stack equals images of height 1 by plain loops; its length is the formula; a word less shifts it by one."""
    h = encoded(tg.tensor(net.x), net.kernels)
    image = net.x[:, :, None]
    for kernel in net.kernels:
        image = np.maximum(correlate2d(image, kernel[:, :, None]), 0.0)
    yield same("height 1", h, image[:, :, 0])
    yield same("t′", h.shape[2], left(net.x.shape[2], [kernel.shape[2] for kernel in net.kernels]), EXACT)
    yield same("shifted", encoded(tg.tensor(net.x[:, :, 1:]), net.kernels), h[:, :, 1:])


@positions.falsification("k instead of k − 1 a layer")
def whole_kernels(length: int, widths: list[int]) -> int:
    return length - sum(widths)


def masked_average(h: tg.Tensor, lengths: Array) -> tg.Tensor:
    """Means (b, c) over the first ``lengths`` positions of each row."""
    valid = 1.0 * (np.arange(h.shape[2]) < lengths[:, None])
    return tg.sum(h * tg.tensor(valid[:, None]), axis=2) / tg.tensor(1.0 * lengths[:, None])


@TXT_9.part(net=encoders(), cut=st.lists(st.integers(0, 3), min_size=3, max_size=3), filler=floats(-5.0, 5.0))
def padding_tokens(net: Encoder, cut: list[int], filler: float, *, average: Any = masked_average) -> Iterator[Check]:
    """The vector of a text padded to the length of a batch equals that of the text alone."""
    lengths = np.maximum(net.x.shape[2] - np.array(cut[: len(net.x)]), net.lost + 1)
    padded = np.where(np.arange(net.x.shape[2]) < lengths[:, None, None], net.x, filler)
    batch = average(encoded(tg.tensor(padded), net.kernels), lengths - net.lost)
    alone = [encoded(tg.tensor(text[None, :, :n]), net.kernels) for text, n in zip(net.x, lengths, strict=True)]
    yield same("padded = alone", batch, np.stack([h.numpy()[0].mean(axis=1) for h in alone]))


@padding_tokens.falsification("mean over the padding too")
def unmasked_average(h: tg.Tensor, lengths: Array) -> tg.Tensor:
    return tg.mean(h, axis=2)


# --- TXT-10 ------------------------------------------------------------------------------------------------------

TXT_10 = Claim(
    "TXT-10",
    "Average pooling over time",
    r"\bar h=\tfrac1{t'}\sum_th_t,\qquad\frac{\partial L}{\partial h_t}=\tfrac1{t'}\frac{\partial L}{\partial\bar h}",
    sources="000",
)


def time_average(h: tg.Tensor) -> tg.Tensor:
    """Mean over the last axis; without positions there is none."""
    if h.shape[-1] == 0:
        raise ValueError(f"time_average: no position is left of {h.shape}; the text is shorter than the kernels reach")
    return tg.mean(h, axis=-1)


@TXT_10.part(h=normals((2, 3, 5)), constant=arrays((2, 3)), length=sizes(1, 9))
def fixed_size(h: Array, constant: Array, length: int, *, average: Any = time_average) -> Iterator[Check]:
    """Each position gets 1/t′ of the gradient; a constant text gives the same vector at any length; none raises."""
    x = tg.tensor(h, requires_grad=True)
    (slope,) = tg.grad(average(x), x, tg.tensor(constant))
    yield same("∂h_t", slope, np.repeat(constant[:, :, None], 5, axis=2) / 5.0)
    yield same("constant text", average(tg.tensor(np.repeat(constant[:, :, None], length, axis=2))), constant)
    try:
        average(tg.zeros((2, 3, 0)))
        refused = False
    except ValueError:
        refused = True
    yield holds("t′ = 0 raises ValueError", refused)


@fixed_size.falsification("sum over time")
def time_sum(h: tg.Tensor) -> tg.Tensor:
    return tg.sum(h, axis=-1)


@fixed_size.falsification("a text without positions becomes zeros")
def quiet_average(h: tg.Tensor) -> tg.Tensor:
    return tg.sum(h, axis=-1) / max(h.shape[-1], 1)


def pointwise(x: tg.Tensor, kernel: tg.Tensor) -> tg.Tensor:
    """tanh of a convolution with the middle column of a kernel: each word by itself."""
    return tg.tanh(tg.conv1d(x, kernel[:, :, 1:2]))


@TXT_10.part(x=normals((1, 2, 6)), kernel=normals((3, 2, 3)), order=st.permutations(range(6)))
def word_order(x: Array, kernel: Array, order: list[int], *, layer: Any = pointwise) -> Iterator[Check]:
    """After layers of kernel size 1 the average forgets the order of the words: a mean of words' vectors."""
    averages = [time_average(layer(tg.tensor(x[:, :, o]), tg.tensor(kernel))) for o in (list(range(6)), order)]
    yield same("any order", averages[1], averages[0])
    yield same("word by word", averages[0][0], np.tanh(kernel[:, :, 1] @ x[0]).mean(axis=1))


@word_order.falsification("kernel size 3 sees the order")
def three_words(x: tg.Tensor, kernel: tg.Tensor) -> tg.Tensor:
    return tg.tanh(tg.conv1d(x, kernel))


# --- TXT-11 ------------------------------------------------------------------------------------------------------

TXT_11 = Claim(
    "TXT-11",
    "Recurrent network and backpropagation through time",
    r"h_t=\tanh(W_xx_t+W_hh_{t-1}+b);\quad\frac{\partial L}{\partial h_0}=\prod_t"
    r"\big(\mathrm{diag}(1-h_t^2)W_h\big)^\top\frac{\partial L}{\partial h_T},\ \text{norm}\le\|W_h\|_2^T",
    sources="000",
)


class Recurrent(NamedTuple):
    """A text (T, 1, d), a first state (n,), weights in blocks of n rows, and a cotangent (n,) of the last state."""

    x: Array
    h0: Array
    w_x: Array
    w_h: Array
    b: Array
    cotangent: Array


@st.composite
def recurrent(draw: st.DrawFn, blocks: int = 1) -> Recurrent:
    t, d, n = draw(sizes(1, 10)), draw(sizes(1, 3)), draw(sizes(1, 3))
    shapes = ((t, 1, d), (n,), (blocks * n, d), (blocks * n, n), (blocks * n,), (n,))
    return Recurrent(*(draw(normals(shape)) for shape in shapes))


def loaded(module: Any, net: Recurrent) -> Any:
    """The module with these weights and one bias."""
    module.load_state_dict(
        {"weight_ih_l0": net.w_x, "weight_hh_l0": net.w_h, "bias_ih_l0": net.b, "bias_hh_l0": 0.0 * net.b}
    )
    return module


def rnn(net: Recurrent) -> Any:
    """The engine's recurrent network with these weights."""
    return loaded(tg.nn.RNN(net.w_x.shape[1], len(net.h0), rng=tg.random.Generator(0)), net)


def states(net: Recurrent) -> list[Array]:
    """h₀, …, h_T by plain loops."""
    h = [net.h0]
    for x in net.x[:, 0]:
        h.append(np.tanh(net.w_x @ x + net.w_h @ h[-1] + net.b))
    return h


class Slopes(NamedTuple):
    """Gradients of ⟨cotangent, h_T⟩."""

    h0: Array
    w_x: Array
    w_h: Array
    b: Array


def through_time(net: Recurrent, h: list[Array]) -> Slopes:
    """Backpropagation through time by hand; gradients of the weights are sums over time."""
    g, in_x, in_h, in_b = net.cotangent, np.zeros(net.w_x.shape), np.zeros(net.w_h.shape), np.zeros(net.b.shape)
    for t in range(len(net.x), 0, -1):
        local = (1.0 - h[t] ** 2) * g
        in_x, in_h, in_b = in_x + np.outer(local, net.x[t - 1, 0]), in_h + np.outer(local, h[t - 1]), in_b + local
        g = net.w_h.T @ local
    return Slopes(g, in_x, in_h, in_b)


@TXT_11.part(net=recurrent())
def recurrent_backward(net: Recurrent, *, backward: Any = through_time) -> Iterator[Check]:
    """Autodiff through the recorded steps equals backpropagation through time by hand, within ‖W_h‖₂^T."""
    h0, module, h = tg.tensor(net.h0, requires_grad=True), rnn(net), states(net)
    _, last = module(tg.tensor(net.x), tg.reshape(h0, (1, 1, -1)))
    yield same("h_T", last[0, 0], h[-1])
    weights = (module.weight_ih_l0, module.weight_hh_l0, module.bias_ih_l0)
    found = tg.grad(last[0, 0], (h0, *weights), tg.tensor(net.cotangent))
    for name, slope, expected in zip(Slopes._fields, found, backward(net, h), strict=True):
        yield same(f"∂{name}", slope, expected)
    bound = np.linalg.norm(net.w_h, 2) ** len(net.x) * np.linalg.norm(net.cotangent)
    yield at_least("‖W_h‖₂^T", bound, np.linalg.norm(found[0].numpy()))


@recurrent_backward.falsification("without the slope 1 − h² of tanh")
def without_tanh(net: Recurrent, h: list[Array]) -> Slopes:
    return through_time(net, [0.0 * state for state in h])


@recurrent_backward.falsification("cut after one step: no gradient from earlier times")
def truncated(net: Recurrent, h: list[Array]) -> Slopes:
    last = net._replace(x=net.x[-1:])
    return through_time(last, h[-2:])


@recurrent_backward.falsification("W_h instead of its transpose")
def not_transposed(net: Recurrent, h: list[Array]) -> Slopes:
    return through_time(net._replace(w_h=net.w_h.T), h)


def vanish_or_explode(factor: float, steps: int) -> float:
    """c^T."""
    return factor**steps


@TXT_11.part(q=orthogonal(sizes(1, 4)), factor=floats(0.1, 3.0), steps=st.integers(0, 10), direction=normals(4))
def linear_cell(
    q: Array, factor: float, steps: int, direction: Array, *, norm: Any = vanish_or_explode
) -> Iterator[Check]:
    """In a linear cell with W_h = cQ the gradient's norm is c^T exactly: it vanishes or explodes; T = 0 keeps it."""
    cotangent = direction[: len(q)]
    h0 = tg.zeros(len(q), requires_grad=True)
    h = h0 + 0.0
    for _ in range(steps):
        h = factor * tg.matmul(tg.tensor(q), h)
    (slope,) = tg.grad(h, h0, tg.tensor(cotangent / np.linalg.norm(cotangent)))
    yield same("‖∂h₀‖", np.linalg.norm(slope.numpy()), norm(factor, steps), LIN)


@linear_cell.falsification("c · T")
def proportional(factor: float, steps: int) -> float:
    return factor * steps


def state_at_the_end(module: Any, x: tg.Tensor, h0: tg.Tensor, lengths: Array) -> tg.Tensor:
    """The state of each text after its own last word: (N, n)."""
    state: tg.Tensor = module(x, h0, lengths=tg.tensor(lengths))[1][0]
    return state


@TXT_11.part(net=recurrent(), cut=st.lists(st.integers(0, 10), min_size=2, max_size=2))
def batches(net: Recurrent, cut: list[int], *, last: Any = state_at_the_end) -> Iterator[Check]:
    """In a padded batch each text ends in the state that it has alone; a text without words keeps h₀."""
    steps = len(net.x)
    lengths = np.array([min(n, steps) for n in (*cut, 0)])
    x = np.repeat(net.x, 3, axis=1)
    h = states(net)
    ends = last(rnn(net), tg.tensor(x), tg.tensor(np.tile(net.h0, (1, 3, 1))), lengths)
    yield same("each at its end", ends, np.stack([h[n] for n in lengths]))


@batches.falsification("state after the padding")
def after_the_padding(module: Any, x: tg.Tensor, h0: tg.Tensor, lengths: Array) -> tg.Tensor:
    state: tg.Tensor = module(x, h0)[1][0]
    return state


# --- TXT-12 ------------------------------------------------------------------------------------------------------

TXT_12 = Claim(
    "TXT-12",
    "Long short-term memory",
    r"i,f,o=\sigma(\cdot),\ g=\tanh(\cdot)\text{ of }W[x_t;h_{t-1}]+b;\quad c_t=f\odot c_{t-1}+i\odot g,\ "
    r"h_t=o\odot\tanh c_t",
    sources="000",
    assumptions=r"\text{rows of the weights in the order }i,f,g,o",
)


def logistic(s: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-s)))


def lstm(net: Recurrent) -> Any:
    """The engine's LSTM with these weights."""
    return loaded(tg.nn.LSTM(net.w_x.shape[1], len(net.h0), rng=tg.random.Generator(0)), net)


class Step(NamedTuple):
    """What one step of an LSTM leaves for its backward pass."""

    gates: tuple[Array, Array, Array, Array]  # i, f, g, o
    h: Array
    c: Array


def memory(net: Recurrent, c0: Array) -> list[Step]:
    """The steps by plain loops; the first entry holds h₀ and c₀."""
    steps = [Step((net.h0,) * 4, net.h0, c0)]
    for x in net.x[:, 0]:
        i, f, g, o = np.split(net.w_x @ x + net.w_h @ steps[-1].h + net.b, 4)
        i, f, g, o = logistic(i), logistic(f), np.tanh(g), logistic(o)
        c = f * steps[-1].c + i * g
        steps.append(Step((i, f, g, o), o * np.tanh(c), c))
    return steps


def memory_backward(net: Recurrent, steps: list[Step]) -> tuple[Array, ...]:
    """Gradients of ⟨cotangent, h_T⟩ in h₀, c₀, W_x, W_h, b, by hand."""
    in_h, in_c = net.cotangent, np.zeros(len(net.h0))
    in_wx, in_wh, in_b = np.zeros(net.w_x.shape), np.zeros(net.w_h.shape), np.zeros(net.b.shape)
    for t in range(len(net.x), 0, -1):
        (i, f, g, o), c, before = steps[t].gates, np.tanh(steps[t].c), steps[t - 1]
        in_c = in_c + in_h * o * (1.0 - c**2)
        local = np.concatenate(
            [
                in_c * g * i * (1.0 - i),
                in_c * before.c * f * (1.0 - f),
                in_c * i * (1.0 - g**2),
                in_h * c * o * (1.0 - o),
            ]
        )
        in_wx, in_wh, in_b = in_wx + np.outer(local, net.x[t - 1, 0]), in_wh + np.outer(local, before.h), in_b + local
        in_h, in_c = net.w_h.T @ local, in_c * f
    return in_h, in_c, in_wx, in_wh, in_b


@TXT_12.part(net=recurrent(blocks=4), c=normals(3), most=100)
def memory_gradients(net: Recurrent, c: Array, *, backward: Any = memory_backward) -> Iterator[Check]:
    """The engine's LSTM and its autodiff equal the steps and the backward pass written out by hand."""
    n, module = len(net.h0), lstm(net)
    first = [tg.tensor(value, requires_grad=True) for value in (net.h0, c[:n])]
    _, (h, memory_cell) = module(tg.tensor(net.x), [tg.reshape(state, (1, 1, n)) for state in first])
    steps = memory(net, c[:n])
    yield same("h_T", h[0, 0], steps[-1].h)
    yield same("c_T", memory_cell[0, 0], steps[-1].c)
    free = (*first, module.weight_ih_l0, module.weight_hh_l0, module.bias_ih_l0)
    found = tg.grad(h[0, 0], free, tg.tensor(net.cotangent))
    for name, slope, expected in zip(("h₀", "c₀", "W_x", "W_h", "b"), found, backward(net, steps), strict=True):
        yield same(f"∂{name}", slope, expected)


@memory_gradients.falsification("nothing flows from c_t to c_t−1")
def forgotten_memory(net: Recurrent, steps: list[Step]) -> tuple[Array, ...]:
    cut = [step._replace(gates=(step.gates[0], 0.0 * step.gates[1], *step.gates[2:])) for step in steps]
    return memory_backward(net, cut)


@memory_gradients.falsification("gates in the order i, g, f, o")
def other_order(net: Recurrent, steps: list[Step]) -> tuple[Array, ...]:
    *states_in, w_x, w_h, b = memory_backward(net, steps)
    swapped = [np.concatenate([np.split(value, 4)[n] for n in (0, 2, 1, 3)]) for value in (w_x, w_h, b)]
    return (*states_in, *swapped)


def direct_path(forget: list[Array]) -> Array:
    """∂c_T/∂c₀ along the direct path: the diagonal of the product of all forget gates."""
    return np.diag(np.prod(forget, axis=0))


@TXT_12.part(net=recurrent(blocks=4), c=normals(3), most=100)
def memory_path(net: Recurrent, c: Array, *, path: Any = direct_path) -> Iterator[Check]:
    """Without W_h only the direct path is left: autodiff's Jacobian ∂c_T/∂c₀ is Π diag(f_t)."""
    alone = net._replace(w_h=0.0 * net.w_h)
    module, n = lstm(alone), len(net.h0)
    h0 = tg.tensor(net.h0[None, None])
    jacobian = tg.jacobian(
        lambda start: module(tg.tensor(net.x), (h0, tg.reshape(start, (1, 1, n))))[1][1][0, 0], tg.tensor(c[:n])
    )
    yield same("Π diag(f)", jacobian, path([step.gates[1] for step in memory(alone, c[:n])[1:]]))


@memory_path.falsification("input gates instead of forget gates: 1 − f")
def complement(forget: list[Array]) -> Array:
    return direct_path([1.0 - f for f in forget])


def open_memory(n: int) -> Array:
    """Biases i, f, g, o: input gate shut, forget gate open."""
    return np.repeat([-100.0, 100.0, 0.0, 0.0], n)


@TXT_12.part(net=recurrent(blocks=4), c=normals(3))
def saturated(net: Recurrent, c: Array, *, biases: Any = open_memory) -> Iterator[Check]:
    """With f = 1 and i = 0 the memory stays for all T and its gradient does not vanish."""
    n = len(net.h0)
    module, start = lstm(net._replace(b=biases(n))), tg.tensor(c[:n], requires_grad=True)
    _, (_, kept) = module(tg.tensor(net.x), (tg.tensor(net.h0[None, None]), tg.reshape(start, (1, 1, n))))
    (slope,) = tg.grad(kept[0, 0], start, tg.tensor(net.cotangent))
    yield same("c_T = c₀", kept[0, 0], c[:n], ALG)
    yield same("∂c₀", slope, net.cotangent, ALG)


@saturated.falsification("biases in the order i, g, f, o")
def other_bias_order(n: int) -> Array:
    return np.repeat([-100.0, 0.0, 100.0, 0.0], n)
