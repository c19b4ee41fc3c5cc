"""A training that keeps every kind of thing in its state; and, as a script, killed at random moments and resumed.

``python tests/resuming.py FOLDER STEPS`` trains and prints what the state came to; with a third argument, KILLS, it
does so in child processes that it kills with SIGKILL, resumes each and compares it with an unbroken run.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import tinygen as tg
from tinygen import nn, optim, plots, training
from tinygen.backend import to_host
from tinygen.random import Generator
from tinygen.states import arrays, snapshot

EVERY = 7


@dataclass(frozen=True)
class Weights:
    """Numbers that stay, in a dataclass of its own."""

    penalty: float
    names: tuple[str, ...]


@dataclass
class State:
    """All that ``step`` reads and changes: modules with noise, statistics and power iterations, moments, a pool."""

    generator: nn.Module
    critic: nn.Module
    optimizers: dict[str, Any]
    average: optim.ExponentialMovingAverage
    batches: tg.data.Batches
    rng: Generator
    weights: Weights
    latent: tg.Tensor
    momentum: tg.Tensor
    pool: list[tg.Tensor] = field(default_factory=list)
    best: tuple[int, Any] | None = None
    count: int = 0
    scale: Any = None


def make(seed: int = 3) -> State:
    rng = Generator(seed)
    generator = nn.Sequential(
        nn.Linear(2, 8, rng=rng.spawn("g0")),
        nn.BatchNorm1d(8),
        nn.ELU(),
        nn.Dropout(0.3, rng=rng.spawn("drop")),
        nn.Linear(8, 3, rng=rng.spawn("g1")),
    )
    hidden = nn.spectral_norm(nn.Linear(3, 8, rng=rng.spawn("c0")), rng=rng.spawn("power"))
    critic = nn.Sequential(hidden, nn.LeakyReLU(0.2), nn.Linear(8, 1, rng=rng.spawn("c1")))
    latent = tg.tensor(np.zeros((4, 2), np.float32), requires_grad=True)
    return State(
        generator,
        critic,
        {
            "generator": optim.Adam(generator.parameters(), lr=1e-2),
            "critic": optim.SGD(critic.parameters(), lr=1e-2, momentum=0.5),
            "latent": optim.Adam([latent], lr=1e-2),
        },
        optim.ExponentialMovingAverage(generator, 0.9),
        tg.data.Batches(rng.spawn("data").normal((50, 3)), size=8, rng=rng.spawn("order")),
        rng.spawn("noise"),
        Weights(0.1, ("a", "b")),
        latent,
        tg.zeros(3),
    )


def step(state: State) -> Mapping[str, Any]:
    (real,) = state.batches.next()
    fake = state.generator(state.rng.normal((8, 2)) + tg.mean(state.latent, axis=0))
    state.pool = [*state.pool[-4:], fake.detach()]
    chosen = state.pool[state.count % len(state.pool)]
    gap = tg.mean(state.critic(chosen)) - tg.mean(state.critic(real))
    state.optimizers["critic"].minimize(gap + state.weights.penalty * tg.square(gap))
    loss = -tg.mean(state.critic(fake))
    state.optimizers["latent"].minimize(tg.sum(tg.square(state.latent - 1.0)))
    state.optimizers["generator"].minimize(loss)
    state.average.update()
    state.momentum = 0.9 * state.momentum + tg.mean(fake.detach(), axis=0)
    tg.sum(state.generator[0].weight ** 2).backward()  # gradients that add up from step to step are part of the state
    state.count += 1
    state.scale = np.float32(state.count) / np.float32(3)
    state.best = (state.count, {"pool": len(state.pool)})
    return {"loss": loss.detach(), "count": state.count}


def digest(state: State, history: training.History) -> str:
    """A hash of every bit of the state and of the reports."""
    whole = hashlib.sha256()
    saved = snapshot(state)
    for path, array in arrays(saved):
        whole.update(path.encode() + str(array.dtype).encode() + np.asarray(to_host(array), order="C").tobytes())
    whole.update(repr(without_arrays(saved)).encode() + repr(history).encode())
    return whole.hexdigest()


def without_arrays(saved: Any) -> Any:
    """A snapshot with its arrays' shapes only."""
    if isinstance(saved, dict):
        return {key: without_arrays(part) for key, part in saved.items()}
    if isinstance(saved, list):
        return [without_arrays(part) for part in saved]
    return tuple(saved.shape) if hasattr(saved, "dtype") else saved


def train(folder: Path | None, steps: int, resume: bool = False, seconds: float = 0.0) -> str:
    state = make()
    history = training.run(
        state,
        step,
        steps,
        every=EVERY,
        out=folder,
        resume=resume,
        seconds=seconds,
        progress=False,
        settings={"seed": 3},
    )
    return digest(state, history)


def killed_and_resumed(folder: Path, steps: int, kills: int) -> None:
    """Print, for each killed child, how far it had come, and whether the resumed one came to the same bits."""
    plots.figure()  # imports matplotlib once, for all children
    unbroken = train(None, steps)
    started = time.time()
    train(folder / "timing", steps)
    span = (folder / "timing/checkpoint.npz").stat().st_mtime - started  # until the last checkpoint
    chance, killed = random.Random(1), 0
    while killed < kills:
        out = folder / str(killed)
        child = os.fork()
        if child == 0:
            train(out, steps)
            os._exit(0)
        time.sleep(chance.uniform(0.0, span))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        checkpoint = out / "checkpoint.npz"
        done = tg.load(checkpoint)["done"] if checkpoint.exists() else 0
        if done == steps:  # it was quicker: kill another one
            shutil.rmtree(out)
            continue
        print(done, train(out, steps, resume=True) == unbroken, flush=True)
        killed += 1


if __name__ == "__main__":
    if len(sys.argv) == 4:
        killed_and_resumed(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    else:
        print(train(Path(sys.argv[1]), int(sys.argv[2])))
