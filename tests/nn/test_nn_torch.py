"""Every module against PyTorch's with the same ``state_dict``: names, outputs, gradients, buffers, both directions.

PyTorch comes with the extra ``bench``; without it this file is skipped, and no other file compares with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from network_cases import NETWORKS, Network, outputs

import tinygen as tg
from tinygen import nn
from tinygen.random import Generator

torch = pytest.importorskip("torch")

PEERS = [network for network in NETWORKS if network.peer is not None]

# float64 on both sides; what differs is the order of sums of at most a few hundred numbers, and statistics of few
# numbers divided by: the largest difference measured is 3e-13.
TOLERANCE = 1e-11


def twins(network: Network, device: str) -> tuple[nn.Module, Any]:
    """tinygen's module and PyTorch's, with the same numbers."""
    ours, theirs = network.module(), network.peer(torch.nn).double()  # type: ignore[misc]
    theirs.load_state_dict({name: torch.tensor(tg.tensor(a).numpy()) for name, a in ours.state_dict().items()})
    return ours, theirs


def agree(found: Any, expected: Any, what: str) -> None:
    np.testing.assert_allclose(
        found.numpy(), expected.detach().numpy(), rtol=TOLERANCE, atol=TOLERANCE, err_msg=what, strict=True
    )


def loss(found: Any, library: Any) -> Any:
    """A number in which every element of every output has a slope of its own."""
    total: Any = 0.0
    for position, part in enumerate(outputs(found)):
        weights = np.random.default_rng(position).normal(size=tuple(part.shape))
        total = total + (part * (library.tensor(weights) + 0.5 * part)).sum()
    return total


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("network", PEERS, ids=repr)
def test_outputs_gradients_and_buffers(network: Network, training: bool, device: str) -> None:
    ours, theirs = twins(network, device)
    ours.train(training), theirs.train(training)
    array, floating = network.x(), not network.indices
    x, y = tg.tensor(array, requires_grad=floating), torch.tensor(array, requires_grad=floating)
    found, expected = ours(x), theirs(y)
    for a, b in zip(outputs(found), outputs(expected), strict=True):
        agree(a, b, "output")
    names = [name for name, _ in ours.named_parameters()]
    assert names == [name for name, _ in theirs.named_parameters()]
    inputs = [*ours.parameters(), *([x] if floating else [])]
    theirs_inputs = [*theirs.parameters(), *([y] if floating else [])]
    slopes = tg.grad(loss(found, tg), inputs)
    wanted = torch.autograd.grad(loss(expected, torch), theirs_inputs)
    for name, a, b in zip([*names, "x"], slopes, wanted, strict=False):
        agree(a, b, f"gradient of {name}")
    for (name, a), (also, b) in zip(ours.named_buffers(), theirs.named_buffers(), strict=True):
        assert name == also
        agree(a, b, name)


@pytest.mark.parametrize("network", [n for n in PEERS if "Norm" in n.name], ids=repr)
def test_running_statistics_of_several_batches(network: Network, device: str) -> None:
    ours, theirs = twins(network, device)
    for factor in (1.0, -0.5, 2.0):
        ours(tg.tensor(factor * network.x() + factor)), theirs(torch.tensor(factor * network.x() + factor))
    for (name, a), (_, b) in zip(ours.named_buffers(), theirs.named_buffers(), strict=True):
        agree(a, b, name)
    x = network.x()
    agree(ours.eval()(tg.tensor(x)), theirs.eval()(torch.tensor(x)), "output")


@pytest.mark.parametrize("network", PEERS, ids=repr)
def test_names_shapes_and_order_of_the_state(network: Network, device: str) -> None:
    ours, theirs = network.module().state_dict(), network.peer(torch.nn).state_dict()  # type: ignore[misc]
    assert {name: tuple(a.shape) for name, a in ours.items()} == {name: tuple(a.shape) for name, a in theirs.items()}
    assert list(ours) == list(theirs)


@pytest.mark.parametrize("network", PEERS, ids=repr)
def test_weights_of_pytorch_are_taken(network: Network, device: str) -> None:
    theirs = network.peer(torch.nn)  # type: ignore[misc]
    ours = network.module(np.float32)
    ours.load_state_dict(theirs.state_dict())
    for name, array in ours.state_dict().items():
        np.testing.assert_array_equal(tg.tensor(array).numpy(), theirs.state_dict()[name].numpy())


@pytest.mark.parametrize("kind", ["RNN", "LSTM"])
def test_initial_states_and_lengths(kind: str, device: str) -> None:
    """PyTorch packs sequences of several lengths; here they are masked.  States that are given are differentiated."""
    ours = getattr(nn, kind)(3, 4, 2, rng=Generator(1)).astype(np.float64)
    theirs = getattr(torch.nn, kind)(3, 4, 2).double()
    theirs.load_state_dict({name: torch.tensor(tg.tensor(a).numpy()) for name, a in ours.state_dict().items()})
    rng, lengths = np.random.default_rng(0), [2, 5, 1]
    x, starts = rng.normal(size=(5, 3, 3)), [rng.normal(size=(2, 3, 4)) for _ in range(ours.states)]
    a = [tg.tensor(v, requires_grad=True) for v in (x, *starts)]
    b = [torch.tensor(v, requires_grad=True) for v in (x, *starts)]
    packed = torch.nn.utils.rnn.pack_padded_sequence(b[0], torch.tensor(lengths), enforce_sorted=False)
    y, state = theirs(packed, tuple(b[1:]) if ours.states > 1 else b[1])
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(y)
    found = ours(a[0], tuple(a[1:]) if ours.states > 1 else a[1], lengths=lengths)
    for ours_part, theirs_part in zip(outputs(found), outputs((y, state)), strict=True):
        agree(ours_part, theirs_part, "output")
    slopes = tg.grad(loss(found, tg), [*a, *ours.parameters()])
    wanted = torch.autograd.grad(loss((y, state), torch), [*b, *theirs.parameters()])
    for position, (ours_part, theirs_part) in enumerate(zip(slopes, wanted, strict=True)):
        agree(ours_part, theirs_part, f"gradient {position}")


def test_spectral_norm_follows_pytorch_step_by_step(device: str) -> None:
    """One power step for each new weight is PyTorch's one step for each training forward, if each step has one."""
    network = next(n for n in PEERS if n.name == "spectral_norm of a convolution")
    ours, theirs = twins(network, device)
    for step in range(4):
        x = network.x() + step
        agree(ours(tg.tensor(x)), theirs(torch.tensor(x)), f"output of step {step}")
        moved = ours.weight_orig.numpy() * 0.9 + 0.05 * np.sin(np.arange(ours.weight_orig.size)).reshape(4, 2, 3, 3)
        ours.weight_orig.assign(tg.tensor(moved))
        theirs.weight_orig.data = torch.tensor(moved)
    agree(ours.weight_u, theirs.weight_u, "u")


@pytest.mark.host
def test_initial_weights_are_distributed_as_pytorch_s() -> None:
    """The largest weight and bias of a wide layer come close to the same bound; the start is uniform below it."""
    for kind, settings in (("Linear", (400, 300)), ("Conv2d", (16, 32, 5)), ("ConvTranspose2d", (32, 16, 5))):
        ours = getattr(nn, kind)(*settings, rng=Generator(3)).state_dict()
        theirs = getattr(torch.nn, kind)(*settings).state_dict()
        bound = theirs["weight"].abs().max().item()
        assert abs(np.abs(ours["weight"]).max() / bound - 1.0) < 0.01  # of thousands of uniforms: 1e-3 below the bound
        assert abs(ours["weight"].std() * 3**0.5 / bound - 1.0) < 0.03  # the spread of a uniform
        assert np.abs(ours["bias"]).max() <= bound * 1.01
