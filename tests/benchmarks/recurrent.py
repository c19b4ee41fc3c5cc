"""Cases of recurrent layers: 32 steps of 32 sequences, forward and backward."""

from __future__ import annotations

from typing import Any

from operations import normal
from peers import Step, torch
from timing import Case

import tinygen as tg
from tinygen import nn
from tinygen.random import Generator

STEPS, BATCH = 32, 32


def recurrent() -> dict[str, Case]:
    """Inputs as wide as the state; the gradients of the mean square of all outputs, in the input and all weights."""
    return {
        f"{kind} {STEPS}×{BATCH}×{hidden}": Case(
            {
                "tinygen": lambda kind=kind, hidden=hidden: _in_tinygen(kind, hidden),  # type: ignore[misc]
                "torch": lambda kind=kind, hidden=hidden: _in_torch(kind, hidden),  # type: ignore[misc]
            }
        )
        for kind in ("LSTM", "RNN")
        for hidden in (64, 256)
    }


def _layer(kind: str, hidden: int) -> Any:
    return getattr(nn, kind)(hidden, hidden, rng=Generator(0))


def _in_tinygen(kind: str, hidden: int) -> Step:
    layer, x = _layer(kind, hidden), tg.tensor(normal(STEPS, BATCH, hidden), requires_grad=True)
    leaves = [x, *layer.parameters()]

    def step() -> list[Any]:
        y, _ = layer(x)
        return [y, *tg.grad(tg.mean(tg.square(y)), leaves)]

    return step


def _in_torch(kind: str, hidden: int) -> Step:
    layer, x = getattr(torch.nn, kind)(hidden, hidden), torch.tensor(normal(STEPS, BATCH, hidden), requires_grad=True)
    layer.load_state_dict({name: torch.tensor(array) for name, array in _layer(kind, hidden).state_dict().items()})
    leaves = [x, *layer.parameters()]

    def step() -> list[Any]:
        y, _ = layer(x)
        return [y, *torch.autograd.grad(y.square().mean(), leaves)]

    return step
