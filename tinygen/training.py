"""Floor 7. The loop around a training step: progress, checkpoints, Ctrl-C, resuming.

A scheme is a function ``step(state) -> metrics``; the state is a dataclass of modules, optimisers, batches,
random generators and numbers.  All that a step changes must be in the state: then a resumed run gives the same
bits as an unbroken one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tinygen import checkpoint
from tinygen.ops import tensor
from tinygen.random import Generator
from tinygen.tensor import Tensor

History = list[dict[str, float]]


def run(
    state: Any,
    step: Callable[[Any], Mapping[str, Tensor]],
    steps: int,
    *,
    every: int = 100,
    path: Path | None = None,
    resume: bool = False,
    seconds: float = 30.0,
    progress: bool = True,
) -> History:
    """Take steps until ``steps`` are done, and return the metrics, averaged over each ``every`` steps.

    A checkpoint is written to ``path`` every ``seconds``, at the end, and on Ctrl-C, which then raises
    KeyboardInterrupt.  With ``resume`` the run continues from the checkpoint.  Metrics stay on the device between
    reports, so that a step never waits for it.
    """
    done, history, sums = 0, [], {}
    if resume and path is not None and path.exists():
        saved = checkpoint.load(path)
        restore(state, saved["state"])
        done, history = saved["done"], saved["history"]
        sums = {name: tensor(total) for name, total in saved["sums"].items()}

    def write() -> None:
        if path is not None:
            checkpoint.save(path, {"state": snapshot(state), "done": done, "history": history, "sums": sums})

    last_write = time.monotonic()
    with _bar(done, steps, progress) as bar, _interrupts() as interrupted:
        while done < steps:
            for name, value in step(state).items():
                sums[name] = sums[name] + value.detach() if name in sums else value.detach()
            done += 1
            bar.update()
            if done % every == 0 or done == steps:
                count = done % every or every
                history.append({"step": done, **{name: float(total) / count for name, total in sums.items()}})
                sums = {}
                bar.set_postfix_str(", ".join(f"{k} {v:.4g}" for k, v in history[-1].items() if k != "step"))
            if interrupted or done == steps or time.monotonic() - last_write > seconds:
                write()
                last_write = time.monotonic()
            if interrupted:
                raise KeyboardInterrupt(f"stopped after step {done}" + (f"; {path} continues it" if path else ""))
    return history


def _bar(done: int, steps: int, shown: bool) -> Any:
    from tqdm import tqdm

    return tqdm(initial=done, total=steps, disable=not shown, unit=" steps", dynamic_ncols=True)


@contextlib.contextmanager
def _interrupts() -> Iterator[list[int]]:
    """A list that fills at the first Ctrl-C, so that a step is finished before the run stops; a second one raises."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only the main thread gets signals
        yield received
        return

    def receive(number: int, frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = signal.signal(signal.SIGINT, receive)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)


def snapshot(state: Any) -> dict[str, Any]:
    """All fields of a state as what :func:`tinygen.save` can write."""
    return {field.name: _saved(getattr(state, field.name)) for field in dataclasses.fields(state)}


def _saved(value: Any) -> Any:
    return (
        value.state_dict() if hasattr(value, "state_dict") else value.state if isinstance(value, Generator) else value
    )


def restore(state: Any, saved: Mapping[str, Any]) -> None:
    """Bring a state back to a snapshot: its objects stay the same, their contents are replaced."""
    names = {field.name for field in dataclasses.fields(state)}
    if names != set(saved):
        raise ValueError(f"restore: the checkpoint has {sorted(saved)}, this state has {sorted(names)}")
    for name, value in saved.items():
        have = getattr(state, name)
        if hasattr(have, "load_state_dict"):
            have.load_state_dict(value)
        elif isinstance(have, Generator):
            have.state = value
        else:
            setattr(state, name, tensor(value, dtype=have.dtype) if isinstance(have, Tensor) else value)
