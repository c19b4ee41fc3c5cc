"""Every module of ``tinygen.nn`` with settings that bite, an input for it, and PyTorch's module of the same meaning."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygen as tg
from tinygen import nn
from tinygen.random import Generator

KEY = 11


@dataclass(frozen=True, eq=False)
class Network:
    """How to build a module, the shape of its input, and its peer made from ``torch.nn`` (None: it has none)."""

    name: str
    build: Callable[[Generator], nn.Module]
    shape: tuple[int, ...]
    peer: Callable[[Any], Any] | None = None
    indices: int = 0  # the input is whole numbers below this
    smooth: bool = True  # derivatives of every order exist around the input

    def __repr__(self) -> str:
        return self.name

    def module(self, dtype: Any = np.float64) -> nn.Module:
        """The same weights at every call, away from the zeros and ones that some parameters and buffers start with."""
        module = self.build(Generator(KEY)).astype(dtype)
        rng = self.numbers("weights")
        for _, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.dtype.kind == "f" and not isinstance(tensor, nn.Constant):
                noise = rng.uniform(0.1, 0.3, tensor.shape)
                tensor.assign(tg.tensor((tensor.numpy() + noise).astype(dtype), device=tensor.device))
        return module

    def x(self) -> np.ndarray:
        """An input, the same at every call; no two of its numbers are nearly equal, none is near 0."""
        rng = self.numbers("input")
        if self.indices:
            return rng.integers(0, self.indices, self.shape)
        count = int(np.prod(self.shape))
        spread = (rng.permutation(count) + 0.5) / count * 4.0 - 2.0
        return spread.reshape(self.shape)

    def numbers(self, what: str) -> np.random.Generator:
        """A NumPy generator for this case and purpose."""
        return np.random.default_rng(zlib.crc32(f"{self.name} {what}".encode()))


def outputs(found: Any) -> Iterator[Any]:
    """The tensors of an output that may be nested tuples."""
    if isinstance(found, (tuple, list)):
        for part in found:
            yield from outputs(part)
    else:
        yield found


def joined(found: Any) -> tg.Tensor:
    """All outputs as one flat tensor."""
    return tg.concatenate([tg.reshape(part, -1) for part in outputs(found)])


def pair(name: str, shape: tuple[int, ...], *args: Any, case: str = "", smooth: bool = True, **options: Any) -> Network:
    """A module that PyTorch has under the same name and with the same arguments; those that draw get a generator."""
    kind = getattr(nn, name)
    draws = issubclass(kind, (nn.Linear, nn.Embedding, nn.RNN, nn.LSTM)) or "Conv" in name

    def build(rng: Generator) -> nn.Module:
        return kind(*args, **options, **({"rng": rng} if draws else {}))  # type: ignore[no-any-return]

    return Network(f"{name} {case}".strip(), build, shape, lambda t: getattr(t, name)(*args, **options), smooth=smooth)


NETWORKS = [
    pair("Linear", (4, 5), 5, 3),
    pair("Linear", (2, 3, 5), 5, 4, bias=False, case="of a stack, no bias"),
    Network("Embedding", lambda r: nn.Embedding(7, 3, rng=r), (4, 5), lambda t: t.Embedding(7, 3), indices=7),
    pair("Conv1d", (2, 4, 9), 4, 6, 3, stride=2, padding=1, dilation=2, groups=2),
    pair("Conv1d", (2, 3, 5), 3, 2, 1, bias=False, case="of one tap"),
    pair("Conv2d", (2, 3, 6, 5), 3, 4, (3, 2), padding=(1, 0)),
    pair("Conv2d", (2, 4, 7, 6), 4, 6, 3, stride=(2, 3), padding=2, dilation=(1, 2), groups=2, case="strided, grouped"),
    pair("ConvTranspose1d", (2, 4, 5), 4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
    pair("ConvTranspose2d", (2, 3, 4, 3), 3, 4, (3, 4), stride=2, padding=1, output_padding=(1, 0), dilation=(1, 2)),
    pair("ConvTranspose2d", (2, 4, 3, 3), 4, 2, 2, groups=2, bias=False, case="grouped"),
    pair("BatchNorm1d", (6, 3), 3),
    pair("BatchNorm1d", (4, 3, 5), 3, eps=0.1, momentum=None, case="of sequences, mean of all batches"),
    pair("BatchNorm2d", (3, 4, 3, 2), 4, momentum=0.3),
    pair("BatchNorm2d", (3, 4, 3, 2), 4, affine=False, case="not affine"),
    pair("BatchNorm2d", (3, 4, 3, 2), 4, track_running_stats=False, case="without running statistics"),
    pair("InstanceNorm2d", (2, 3, 4, 3), 3),
    pair("InstanceNorm2d", (2, 3, 4, 3), 3, eps=0.01, affine=True, case="affine"),
    pair("LayerNorm", (3, 4, 6), 6),
    pair("LayerNorm", (3, 4, 6), (4, 6), eps=0.1, bias=False, case="of two axes, no bias"),
    pair("LayerNorm", (3, 4, 6), (6,), elementwise_affine=False, case="not affine"),
    pair("RNN", (5, 2, 3), 3, 4, num_layers=2),
    pair("RNN", (2, 4, 3), 3, 4, nonlinearity="relu", batch_first=True, bias=False, case="relu", smooth=False),
    pair("LSTM", (5, 2, 3), 3, 4),
    pair("LSTM", (2, 4, 3), 3, 2, num_layers=3, batch_first=True, case="of three layers"),
    pair("LSTM", (4, 2, 3), 3, 2, bias=False, case="no bias"),
    pair("ReLU", (3, 4), smooth=False),
    pair("LeakyReLU", (3, 4), 0.2, smooth=False),
    pair("ELU", (3, 4), 0.7, smooth=False),
    pair("SiLU", (3, 4)),
    pair("Tanh", (3, 4)),
    pair("Sigmoid", (3, 4)),
    pair("Softplus", (3, 4)),
    pair("Softmax", (3, 4), dim=1),
    pair("LogSoftmax", (3, 4, 2), dim=1),
    pair("Identity", (3, 4)),
    pair("AvgPool1d", (2, 3, 8), 3, stride=2, padding=1),
    pair("AvgPool2d", (2, 3, 6, 5), (3, 2), stride=(2, 1)),
    pair("MaxPool1d", (2, 3, 8), 3, stride=2, padding=1, smooth=False),
    pair("MaxPool2d", (2, 3, 6, 6), 2, smooth=False),
    pair("Upsample", (2, 3, 4, 3), scale_factor=2, mode="nearest"),
    pair("Upsample", (2, 3, 4, 3), scale_factor=2, mode="bilinear", case="bilinear"),
    pair("Flatten", (2, 3, 4)),
    pair("Unflatten", (2, 12, 3), 1, (2, 3, 2)),
    Network(
        "CausalConv1d", lambda r: nn.CausalConv1d(3, 4, 2, dilation=2, strict=True, rng=r), (2, 3, 7), None
    ),
    Network("MaskedConv2d", lambda r: nn.MaskedConv2d("A", 2, 4, 3, colours=2, rng=r), (2, 2, 4, 3), None),
    Network(
        "MaskedLinear",
        lambda r: nn.MaskedLinear(nn.autoregressive_mask([1, 2, 3], [1, 2, 3, 3], strict=True), rng=r),
        (4, 3),
        None,
    ),
    Network(
        "spectral_norm",
        lambda r: nn.spectral_norm(nn.Linear(5, 4, rng=r), rng=r),
        (3, 5),
        lambda t: t.utils.spectral_norm(t.Linear(5, 4)),
    ),
    Network(
        "spectral_norm of a convolution",
        lambda r: nn.spectral_norm(nn.Conv2d(2, 4, 3, padding=1, rng=r), rng=r),
        (2, 2, 4, 3),
        lambda t: t.utils.spectral_norm(t.Conv2d(2, 4, 3, padding=1)),
    ),
    Network(
        "spectral_norm of a transposed convolution",
        lambda r: nn.spectral_norm(nn.ConvTranspose2d(4, 2, (3, 2), rng=r), rng=r),
        (2, 4, 3, 3),
        lambda t: t.utils.spectral_norm(t.ConvTranspose2d(4, 2, (3, 2))),
    ),
    Network(
        "Sequential",
        lambda r: nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False, rng=r), nn.BatchNorm2d(4), nn.LeakyReLU(0.2),
            nn.Flatten(), nn.Linear(16, 3, rng=r), nn.Tanh(),
        ),
        (3, 2, 4, 4),
        lambda t: t.Sequential(
            t.Conv2d(2, 4, 3, stride=2, padding=1, bias=False), t.BatchNorm2d(4), t.LeakyReLU(0.2),
            t.Flatten(), t.Linear(16, 3), t.Tanh(),
        ),
        smooth=False,
    ),
]  # fmt: skip
