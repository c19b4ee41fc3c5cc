"""Optimisers, schedules, clipping and averages, step by step beside PyTorch's.

PyTorch comes with the extra ``bench``, which CI installs; without it this file, and no other, is skipped.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tinygen as tg
from tinygen import optim

torch = pytest.importorskip("torch", reason="comparisons with PyTorch need it: pip install 'tinygen[bench]'")

# The first optimiser imports half of PyTorch, and leaves exceptions whose tracebacks hold the caller's variables:
# inside a test these would look like a reference cycle of ours.
torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)

STEPS = 20
# Both compute the same real numbers in float64, in another order: 20 steps leave about 1e-15.
EXACT = 1e-10
SHAPES = [(4, 3), (), (5,), (2, 1, 3), (0,), (7,)]


def grid(**choices: list[Any]) -> list[dict[str, Any]]:
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    *[("SGD", o) for o in grid(momentum=[0.0, 0.9], dampening=[0.0, 0.3], weight_decay=[0.0, 0.1])],
    *[("SGD", o) for o in grid(momentum=[0.8], nesterov=[True], weight_decay=[0.0, 0.1])],
    *[
        (name, o)
        for name in ("Adam", "AdamW")
        for o in grid(betas=[(0.9, 0.999), (0.0, 0.9), (0.5, 0.0)], eps=[1e-8, 0.1], weight_decay=[0.0, 0.1])
    ],
    *[
        ("RMSprop", o)
        for o in grid(
            alpha=[0.99, 0.5], momentum=[0.0, 0.9], centered=[False, True], weight_decay=[0.0, 0.1], eps=[1e-8, 0.1]
        )
    ],
    *[
        ("Adagrad", o)
        for o in grid(
            lr_decay=[0.0, 0.1], weight_decay=[0.0, 0.1], initial_accumulator_value=[0.0, 0.3], eps=[1e-10, 0.1]
        )
    ],
    *[(name, {}) for name in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad")],
]


def loss_of(parameters: list[Any], targets: list[Any], used: np.ndarray, library: Any) -> Any:
    """A sum over the used parameters of Σ (sin p − target)²."""
    terms = [
        (library.sin(p) - t).reshape(-1) @ (library.sin(p) - t).reshape(-1)
        for p, t, u in zip(parameters, targets, used, strict=True)
        if u
    ]
    return sum(terms[1:], terms[0])


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=[f"{name}-{options}" for name, options in OPTIONS])
def test_twenty_steps(name: str, options: dict[str, Any], device: str) -> None:
    """``minimize`` and ``backward`` with ``step`` take turns; at most steps some parameters have no gradient."""
    rng = np.random.default_rng(len(str(options)))
    values, targets = [[rng.normal(size=shape) for shape in SHAPES] for _ in range(2)]
    ours = [tg.tensor(value, requires_grad=True) for value in values]
    theirs = [torch.tensor(value, requires_grad=True) for value in values]
    lr = {} if options == {} else {"lr": 0.05}
    optimizer = getattr(optim, name)(ours, **lr, **options)
    peer = getattr(torch.optim, name)(theirs, **lr, **options)
    for step in range(STEPS):
        used = rng.random(len(SHAPES)) < (1.0 if step in (0, 7) else 0.7)
        used[step % len(SHAPES)] = True
        loss = loss_of(ours, [tg.tensor(t) for t in targets], used, tg)
        if step % 2:
            optimizer.minimize(loss)
        else:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        peer.zero_grad()
        loss_of(theirs, [torch.tensor(t) for t in targets], used, torch).backward()
        peer.step()
        for position, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            np.testing.assert_allclose(
                one.numpy(), other.detach().numpy(), rtol=0, atol=EXACT, err_msg=f"step {step}, parameter {position}"
            )


def test_lazy_adam_is_sparse_adam(device: str) -> None:
    """PyTorch's SparseAdam puts eps before the bias correction: with an eps of 1e-30 the two formulas agree."""
    rng = np.random.default_rng(0)
    value = rng.normal(size=(12, 3))
    ours = tg.tensor(value, requires_grad=True)
    theirs = torch.tensor(value, requires_grad=True)
    optimizer = optim.Adam([ours], lr=0.05, eps=1e-30, lazy=[ours])
    peer = torch.optim.SparseAdam([theirs], lr=0.05, eps=1e-30)
    for _ in range(STEPS):
        indices, weights = rng.integers(0, 12, (2, 4)), rng.normal(size=(2, 4, 3))
        optimizer.minimize((tg.sin(tg.embedding(tg.tensor(indices), ours)) * tg.tensor(weights)).sum())
        peer.zero_grad()
        rows = torch.nn.functional.embedding(torch.tensor(indices), theirs, sparse=True)
        (torch.sin(rows) * torch.tensor(weights)).sum().backward()
        peer.step()
        np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=0, atol=EXACT)


def rates_of_peer(make: Any, steps: int, lr: float = 0.1) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


PEERS = torch.optim.lr_scheduler
SCHEDULES: dict[str, tuple[optim.Schedule, Any]] = {
    "linear": (optim.linear(0.03, 0.1, 7), lambda o: PEERS.LinearLR(o, 0.3, 1.0, 7)),
    "cosine": (optim.cosine(0.1, 24, end=0.01), lambda o: PEERS.CosineAnnealingLR(o, 24, 0.01)),
    "exponential": (optim.exponential(0.1, 0.9), lambda o: PEERS.ExponentialLR(o, 0.9)),
    "staircase": (optim.staircase(0.1, 0.5, 4), lambda o: PEERS.StepLR(o, 4, 0.5)),
    "piecewise": (optim.piecewise([3, 11], [0.1, 0.01, 0.001]), lambda o: PEERS.MultiStepLR(o, [3, 11], 0.1)),
    "warmup": (optim.warmup(5, 0.1), lambda o: PEERS.LinearLR(o, 0.2, 1.0, 4)),
    "warmup, cosine": (
        optim.warmup(5, optim.cosine(0.1, 19)),
        lambda o: PEERS.SequentialLR(o, [PEERS.LinearLR(o, 0.2, 1.0, 5), PEERS.CosineAnnealingLR(o, 19)], [5]),
    ),
}


@pytest.mark.host
@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")  # SequentialLR calls its own parts so
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name: str) -> None:
    """PyTorch's linear warm-up counts from 1/n at its first step to 1 at step n, ours reaches 1 at step n − 1."""
    ours, theirs = SCHEDULES[name]
    expected = rates_of_peer(theirs, 24)
    if name == "warmup, cosine":
        expected[:5] = [0.1 * (step + 1) / 5 for step in range(5)]
    # PyTorch multiplies the last rate, which adds up rounding
    np.testing.assert_allclose([ours(step) for step in range(24)], expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("max_norm", [0.0, 0.5, 3.0, 1e6, np.inf])
def test_clipping(max_norm: float, device: str) -> None:
    rng = np.random.default_rng(0)
    ours, theirs = [], []
    for shape in SHAPES:
        gradient = rng.normal(size=shape)
        ours.append(tg.tensor(np.zeros(shape), requires_grad=True))
        theirs.append(torch.zeros(shape, dtype=torch.float64, requires_grad=True))
        if shape != (5,):
            ours[-1].grad, theirs[-1].grad = tg.tensor(gradient), torch.tensor(gradient)
    norm = optim.clip_grad_norm_(ours, max_norm)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm)
    np.testing.assert_allclose(norm.numpy(), expected.numpy(), rtol=1e-14)
    for one, other in zip(ours, theirs, strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            np.testing.assert_allclose(one.grad.numpy(), other.grad.numpy(), rtol=1e-14, atol=0)


def test_moving_average(device: str) -> None:
    """PyTorch's average copies the parameters at its first update: one before training makes it start as ours does."""
    rng = np.random.default_rng(0)
    ours, theirs = tg.nn.Linear(4, 3, rng=tg.random.Generator(0)), torch.nn.Linear(4, 3)
    weight, bias = rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    ours.load_state_dict({"weight": tg.tensor(weight), "bias": tg.tensor(bias)})
    theirs.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
    average = optim.ExponentialMovingAverage(ours, 0.9)
    peer = torch.optim.swa_utils.AveragedModel(theirs, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    peer.update_parameters(theirs)
    for _ in range(STEPS):
        weight, bias = rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=3).astype(np.float32)
        ours.load_state_dict({"weight": tg.tensor(weight), "bias": tg.tensor(bias)})
        theirs.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
        average.update()
        peer.update_parameters(theirs)
        for name, parameter in average.module.named_parameters():
            expected = dict(peer.module.named_parameters())[name].detach().numpy()
            np.testing.assert_allclose(parameter.numpy(), expected, rtol=0, atol=1e-6)  # float32, values near 1
