"""Convolutions: values against seven nested loops, and against scipy.signal.correlate on larger images."""

from __future__ import annotations

import inspect
import itertools
import tracemalloc
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.signal
from arrays import agree, close, host, layouts, on
from double import no_sync
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinygen as tg


@dataclass(frozen=True)
class Setting:
    """One convolution: sizes of the operands and its options, all (height, width)."""

    batch: int
    groups: int
    channels: int  # of the input, per group
    outputs: int  # per group
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    seed: int

    @property
    def options(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}

    @property
    def output_size(self) -> tuple[int, int]:
        sizes = zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        h, w = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes)
        return h, w

    def numbers(self, *shape: int) -> np.ndarray:
        return np.random.default_rng([self.seed, *shape]).normal(size=shape)

    @property
    def weight(self) -> np.ndarray:
        return self.numbers(self.groups * self.outputs, self.channels, *self.kernel)

    @property
    def image(self) -> np.ndarray:
        return self.numbers(self.batch, self.groups * self.channels, *self.size)

    @property
    def output(self) -> np.ndarray:
        return self.numbers(self.batch, self.groups * self.outputs, *self.output_size)


def pairs(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high))


drawn_settings = st.builds(
    Setting,
    batch=st.integers(0, 2),
    groups=st.integers(1, 2),
    channels=st.integers(1, 2),
    outputs=st.integers(1, 2),
    size=pairs(1, 5),
    kernel=pairs(1, 3),
    stride=pairs(1, 3),
    padding=pairs(0, 2),
    dilation=pairs(1, 2),
    seed=st.integers(0, 99),
).filter(lambda setting: min(setting.output_size) >= 1)


def seven_loops(x: np.ndarray, w: np.ndarray, setting: Setting) -> np.ndarray:
    """y[n, o, i, j] = Σ x[n, c, s·i + d·k − p] · w[o, c, k], as it is written."""
    (sh, sw), (ph, pw), (dh, dw) = setting.stride, setting.padding, setting.dilation
    y = np.zeros((x.shape[0], w.shape[0], *setting.output_size))
    loops = [range(size) for size in (*y.shape, *w.shape[1:])]
    for n, o, i, j, c, k, m in itertools.product(*loops):
        row, column = sh * i + dh * k - ph, sw * j + dw * m - pw
        if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
            y[n, o, i, j] += x[n, c + o // setting.outputs * setting.channels, row, column] * w[o, c, k, m]
    return y


def seven_loops_transposed(g: np.ndarray, w: np.ndarray, setting: Setting, size: tuple[int, int]) -> np.ndarray:
    """The adjoint: every product of the convolution goes back to the place its image element came from."""
    (sh, sw), (ph, pw), (dh, dw) = setting.stride, setting.padding, setting.dilation
    x = np.zeros((g.shape[0], setting.groups * setting.channels, *size))
    loops = [range(length) for length in (*g.shape, *w.shape[1:])]
    for n, o, i, j, c, k, m in itertools.product(*loops):
        row, column = sh * i + dh * k - ph, sw * j + dw * m - pw
        if 0 <= row < size[0] and 0 <= column < size[1]:
            x[n, c + o // setting.outputs * setting.channels, row, column] += g[n, o, i, j] * w[o, c, k, m]
    return x


@given(setting=drawn_settings, layout=layouts)
def test_conv2d_is_seven_loops(setting: Setting, layout: str, device: str) -> None:
    agree(
        device,
        lambda x, w: tg.conv2d(x, w, **setting.options),
        lambda x, w: seven_loops(x, w, setting),
        setting.image,
        setting.weight,
        layout=layout,
    )


@given(setting=drawn_settings, extra=pairs(0, 2), layout=layouts)
def test_conv_transpose2d_is_seven_loops(setting: Setting, extra: tuple[int, int], layout: str, device: str) -> None:
    s, p, d = setting.stride, setting.padding, setting.dilation
    extra = tuple(min(extra[a], max(s[a], d[a]) - 1) for a in (0, 1))  # type: ignore[assignment]
    h, w = (
        (setting.output_size[a] - 1) * s[a] - 2 * p[a] + d[a] * (setting.kernel[a] - 1) + extra[a] + 1 for a in (0, 1)
    )
    assume(h >= 1 and w >= 1)
    agree(
        device,
        lambda g, v: tg.conv_transpose2d(g, v, output_padding=extra, **setting.options),
        lambda g, v: seven_loops_transposed(g, v, setting, (h, w)),
        setting.output,
        setting.weight,
        layout=layout,
    )


@given(setting=drawn_settings)
def test_gradients_of_conv2d_are_the_other_contractions(setting: Setting, device: str) -> None:
    """Also where the stride does not divide: the gradient of the image has the image's size."""
    x, w = on(device, setting.image, requires_grad=True), on(device, setting.weight, requires_grad=True)
    with no_sync():
        y = tg.conv2d(x, w, **setting.options)
        by_x, by_w = tg.grad(y, (x, w), on(device, setting.output))
    close(by_x, seven_loops_transposed(setting.output, setting.weight, setting, setting.size))
    expected = np.zeros(w.shape)
    for place in np.ndindex(*w.shape):  # linear in w: one element at a time
        unit = np.zeros(w.shape)
        unit[place] = 1.0
        expected[place] = np.vdot(seven_loops(setting.image, unit, setting), setting.output)
    close(by_w, expected)


@given(setting=drawn_settings, layout=layouts)
@settings(max_examples=50)
def test_conv1d_is_conv2d_of_height_one(setting: Setting, layout: str, device: str) -> None:
    x, w = setting.image[:, :, 0], setting.weight[:, :, 0]
    options = {
        "stride": setting.stride[1],
        "padding": setting.padding[1],
        "dilation": setting.dilation[1],
        "groups": setting.groups,
    }
    flat = Setting(
        setting.batch, setting.groups, setting.channels, setting.outputs, (1, setting.size[1]), (1, setting.kernel[1]),
        (1, setting.stride[1]), (0, setting.padding[1]), (1, setting.dilation[1]), setting.seed,
    )  # fmt: skip
    agree(
        device,
        lambda x, w: tg.conv1d(x, w, **options),
        lambda x, w: seven_loops(x[:, :, None], w[:, :, None], flat)[:, :, 0],
        x,
        w,
        layout=layout,
    )
    length = (
        (flat.output_size[1] - 1) * flat.stride[1] - 2 * flat.padding[1] + flat.dilation[1] * (flat.kernel[1] - 1) + 1
    )
    if length >= 1:
        agree(
            device,
            lambda g, w: tg.conv_transpose1d(g, w, **options),
            lambda g, w: seven_loops_transposed(g[:, :, None], w[:, :, None], flat, (1, length))[:, :, 0],
            flat.output[:, :, 0],
            w,
            layout=layout,
        )


@pytest.mark.parametrize("padding", [0, 1, 3])
@pytest.mark.parametrize(
    ("n", "c", "o", "size", "kernel"),
    [(2, 3, 4, (17, 23), (3, 5)), (1, 8, 16, (33, 31), (4, 4)), (3, 16, 8, (40, 40), (1, 1))],
)
def test_larger_images_are_scipys_correlation(
    n: int, c: int, o: int, size: tuple[int, int], kernel: tuple[int, int], padding: int, device: str
) -> None:
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(n, c, *size)), rng.normal(size=(o, c, *kernel)), rng.normal(size=o)

    def twin(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        maps = [[scipy.signal.correlate(image, kernel, mode="valid")[0] for kernel in w] for image in padded]
        return np.array(maps) + b[:, None, None]

    agree(device, lambda x, w, b: tg.conv2d(x, w, b, padding=padding), twin, x, w, b)


@pytest.mark.parametrize("block", [1, 100, 5000])
def test_the_size_of_a_block_does_not_matter(block: int, device: str) -> None:
    """Columns are made block by block: of samples, and of rows where one sample is too much."""
    from tinygen.ops import trilinear

    setting = Setting(3, 2, 2, 3, (7, 6), (3, 2), (2, 1), (1, 1), (1, 2), 0)
    w = setting.weight
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trilinear, "block_bytes", lambda xp: block)
        x, v = on(device, setting.image, requires_grad=True), on(device, w, requires_grad=True)
        y = tg.conv2d(x, v, **setting.options)
        close(y, seven_loops(setting.image, w, setting))
        cut = tg.grad(y, (x, v), on(device, setting.output))
    whole = tg.grad(tg.conv2d(x, v, **setting.options), (x, v), on(device, setting.output))
    for one, other in zip(cut, whole, strict=True):
        close(one, host(other))


@pytest.mark.parametrize("d", [1, 2])
def test_bias_numbers_and_keywords(d: int, device: str) -> None:
    rng = np.random.default_rng(d)
    x, w, b = rng.normal(size=(2, 4, *(6,) * d)), rng.normal(size=(6, 2, *(2,) * d)), rng.normal(size=6)
    conv, transposed = getattr(tg, f"conv{d}d"), getattr(tg, f"conv_transpose{d}d")
    plain = host(conv(on(device, x), on(device, w), stride=2, padding=1, groups=2))
    found = conv(on(device, x), weight=on(device, w), bias=on(device, b), stride=2, padding=1, groups=2)
    close(found, plain + b.reshape(-1, *(1,) * d))
    back = rng.normal(size=(4, 3, *(2,) * d))
    bias = rng.normal(size=6)
    plain = host(transposed(on(device, x), on(device, back), stride=2, groups=2))
    found = transposed(on(device, x), weight=on(device, back), bias=on(device, bias), stride=2, groups=2)
    close(found, plain + bias.reshape(-1, *(1,) * d))
    if d == 2:
        one, two = (
            conv(on(device, x), on(device, w), stride=2, groups=2),
            conv(on(device, x), on(device, w), stride=(2, 2), groups=2),
        )
        np.testing.assert_array_equal(host(one), host(two))


@given(setting=drawn_settings)
@settings(max_examples=30)
def test_transposed_convolution_is_the_adjoint(setting: Setting, device: str) -> None:
    """⟨conv(x, w), g⟩ = ⟨x, conv_transpose(g, w)⟩, if output_padding restores the image's size."""
    extra = tuple(
        setting.size[a] - ((setting.output_size[a] - 1) * setting.stride[a] - 2 * setting.padding[a]
                           + setting.dilation[a] * (setting.kernel[a] - 1) + 1)
        for a in (0, 1)
    )  # fmt: skip
    assume(all(extra[a] < max(setting.stride[a], setting.dilation[a]) for a in (0, 1)))
    w = on(device, setting.weight)
    forward = host(tg.conv2d(on(device, setting.image), w, **setting.options))
    back = host(tg.conv_transpose2d(on(device, setting.output), w, output_padding=extra, **setting.options))
    np.testing.assert_allclose(np.vdot(forward, setting.output), np.vdot(setting.image, back), rtol=1e-10, atol=1e-10)


@pytest.mark.host
def test_signatures() -> None:
    for name in ("conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d"):
        parameters = inspect.signature(getattr(tg, name)).parameters
        defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
        if "transpose" in name:
            defaults["output_padding"] = 0
        assert list(parameters)[:3] == ["x", "weight", "bias"]
        assert {p.name: p.default for p in parameters.values() if p.kind is p.KEYWORD_ONLY} == defaults


@pytest.mark.host
def test_peak_memory_of_a_convolution() -> None:
    """Forward and backward take less than twice the input, the output and the gradients: columns are not kept."""
    rng = np.random.default_rng(0)
    x, w = (
        on("cpu", rng.normal(size=shape).astype(np.float32), requires_grad=True)
        for shape in ((8, 32, 28, 28), (64, 32, 3, 3))
    )
    y = tg.conv2d(x, w, padding=1)
    g = on("cpu", np.ones(y.shape, np.float32))
    held = x._data.nbytes + w._data.nbytes + y._data.nbytes  # by inputs and output, and again by their gradients
    del y
    tracemalloc.start()
    try:
        tg.grad(tg.conv2d(x, w, padding=1), [x, w], g)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak + x._data.nbytes + w._data.nbytes + g._data.nbytes < 2 * 2 * held
