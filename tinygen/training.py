"""Floor 7. The loop around a training step: progress, checkpoints, Ctrl-C, resuming, and what to do about a NaN.

A scheme is a function ``step(state) -> metrics``; the state is a dataclass of modules, optimisers, batches,
random generators and numbers (``states.py``).  All that a step changes must be in the state: then a resumed run gives
the same bits as an unbroken one.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinygen import checkpoint, plots
from tinygen.anomaly import detect_anomaly
from tinygen.backend import Array, namespace
from tinygen.ops import astype, tensor
from tinygen.states import arrays, restore, snapshot
from tinygen.tensor import Tensor, detach

Step = Callable[[Any], Mapping[str, Any]]
History = list[dict[str, float]]
Saved = dict[str, Any]
CHECKPOINT = "checkpoint.npz"
"""Its name in the folder of a run."""


def run(
    state: Any,
    step: Step,
    steps: int,
    *,
    every: int = 100,
    watch: str | None = None,
    evaluate: Callable[[Any], Mapping[str, float]] | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    seconds: float = 30.0,
    settings: Mapping[str, Any] | None = None,
    progress: bool | None = None,
) -> History:
    """Take steps until ``steps`` are done, and return a report for each ``every`` of them.

    A report has the mean of each metric over its steps, and what ``evaluate(state)`` measures at its end (modes
    covered, say; what that draws must come from a stream in the state, or from a new one).  Metrics are scalars that
    stay on their device until a report, so that a step never waits for it.  The progress bar shows the number called
    ``watch`` (default: all); with ``progress=None`` there is a bar on a terminal only.

    ``out`` is a folder.  A checkpoint goes there every ``seconds``, at the end, and on Ctrl-C (or SIGTERM), which
    lets the step finish and then raises KeyboardInterrupt; the checkpoint before is kept beside it.  At the end
    there are also ``metrics.json`` and ``curves.png``.  ``resume`` continues from the checkpoint, if there is one, to
    the same bits.  A damaged one is put aside and the one before is used, with a warning; if that is damaged too, or
    if ``settings`` (numbers and strings that tell runs apart) are not those of the checkpoint, ValueError.

    Where a metric, or an array of the state, is no longer finite, the run goes back to the last state that was (at
    the report before) and walks on from there once more, to name the step and the first operation that made it:
    FloatingPointError.  The state and the checkpoint are then that last good one.
    """
    if every < 1 or (resume and out is None):
        raise ValueError(f"run: every={every} must be at least 1, and resume={resume} needs the folder out={out}")
    store = None if out is None else _Store(Path(out), dict(settings or {}))
    saved = store.read() if store and resume else None
    if saved:
        if saved["done"] > steps:
            raise ValueError(f"run: the checkpoint in {out} has {saved['done']} steps, more than the {steps} to do")
        restore(state, saved["state"])
    done, history, sums, earlier = _progress(saved)
    started = written = time.monotonic()

    def snap() -> Saved:
        past = earlier + time.monotonic() - started
        return {"state": snapshot(state), "done": done, "history": list(history), "sums": dict(sums), "seconds": past}

    good, stop = snap(), False
    with _bar(done, steps, progress) as bar, _interrupts() as interrupted:
        while done < steps and not stop:
            for name, value in step(state).items():
                sums[name] = _sum(name, sums.get(name), value)
            done += 1
            bar.update()
            stop = bool(interrupted)
            report = done % every == 0 or done == steps
            write = store is not None and (stop or done == steps or time.monotonic() - written > seconds)
            if not (report or write):
                continue
            count = done - (history[-1]["step"] if history else 0)
            means = {name: float(total) / count for name, total in sums.items()}
            now = snap()
            if _not_finite(means, good["state"], now["state"]):
                raise FloatingPointError(_first_anomaly(state, step, good, done) + _kept(store, good))
            if report:
                history.append({"step": done, **means, **(evaluate(state) if evaluate else {})})
                sums = {}
                bar.set_postfix_str(_shown(history[-1], watch))
                now = snap()
            good = now
            if store and write:
                store.write(good)
                written = time.monotonic()
    if stop or interrupted:
        where = "" if store is None else f"; {store.path} continues it"
        raise KeyboardInterrupt(f"stopped after step {done} of {steps}{where}")
    if store is not None:
        store.conclude(good)
    return history


def _progress(saved: Saved | None) -> tuple[int, History, dict[str, Any], float]:
    """Steps done, reports, sums of the metrics since the last one, seconds."""
    if saved is None:
        return 0, [], {}, 0.0
    sums = {name: tensor(total) if hasattr(total, "dtype") else total for name, total in saved["sums"].items()}
    return saved["done"], saved["history"], sums, saved["seconds"]


def _sum(name: str, total: Any, value: Any) -> Any:
    """The sum of a metric so far, on its device; in float32 at least, where 100 values do not overflow."""
    if getattr(value, "size", 1) != 1:
        raise ValueError(f"run: the metric {name!r} has shape {value.shape}; return a scalar, as its mean")
    value = detach(value)
    if isinstance(value, Tensor) and value.dtype == np.float16:
        value = astype(value, np.float32)
    return value if total is None else total + value


def _shown(report: Mapping[str, float], watch: str | None) -> str:
    if watch is not None and watch not in report:
        raise ValueError(f"run: there is no metric {watch!r} to watch; there are {', '.join(report)}")
    names = [name for name in report if name != "step"] if watch is None else [watch]
    return ", ".join(f"{name} {report[name]:.4g}" for name in names)


def _bar(done: int, steps: int, shown: bool | None) -> Any:
    from tqdm import tqdm

    return tqdm(initial=done, total=steps, disable=None if shown is None else not shown, unit=" steps")


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

    before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- NaN and infinity --------------------------------------------------------------------------------------------


def _not_finite(metrics: Mapping[str, Any], before: Any, after: Any) -> str:
    """What is not finite: a metric, or an array of a snapshot that was finite in the one before; else nothing."""
    for name, value in metrics.items():
        if not math.isfinite(float(value)):
            return f"the metric {name!r} is {float(value)}"
    earlier = dict(arrays(before))
    for path, array in arrays(after):
        if not _is_finite(array) and (path not in earlier or _is_finite(earlier[path])):
            return f"{path} is not finite"
    return ""


def _is_finite(array: Array) -> bool:
    return array.dtype.kind != "f" or bool(namespace(array).isfinite(array).all())


def _first_anomaly(state: Any, step: Step, good: Saved, last: int) -> str:
    """Walk from the last good state to the first step that makes a NaN or an infinity; the operation that does it."""
    try:
        restore(state, good["state"])
        for number in range(good["done"] + 1, last + 1):
            before = snapshot(state)
            found = _not_finite(step(state), before, snapshot(state))
            if found:
                restore(state, before)
                return f"run: after step {number} {found}. {_anomalous_operation(state, step)}"
        return (
            f"run: a NaN or an infinity came up to step {last}, but not when the steps since {good['done']} were "
            f"taken again: the step depends on something that is not in the state"
        )
    finally:
        restore(state, good["state"])


def _anomalous_operation(state: Any, step: Step) -> str:
    try:
        with detect_anomaly():
            step(state)
    except FloatingPointError as error:
        return str(error)
    return "No recorded operation made it, so raw arrays did: an optimiser's update, or the step's own"


def _kept(store: _Store | None, good: Saved) -> str:
    if store is not None:
        store.write(good)
    return f". The state is again that after step {good['done']}" + (f", as is {store.path}" if store else "")


# --- the folder of a run -----------------------------------------------------------------------------------------


class _Store:
    """Checkpoint, the checkpoint before, and results of one run."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder, self.settings = folder, settings
        folder.mkdir(parents=True, exist_ok=True)  # now: not to learn after an hour that it cannot be written
        self.path, self.previous = folder / CHECKPOINT, folder / "checkpoint.previous.npz"

    def write(self, good: Saved) -> None:
        """At every moment a whole checkpoint stands under one of the two names."""
        new = self.folder / "checkpoint.new.npz"
        checkpoint.save(new, {**good, "settings": self.settings}, kind="training run")
        if self.path.exists():
            os.replace(self.path, self.previous)
        os.replace(new, self.path)

    def read(self) -> Saved | None:
        """The newest checkpoint that is whole; None if there was none yet."""
        damages = []
        for path in (self.path, self.previous):
            if not path.exists():
                continue
            try:
                saved: Saved = checkpoint.load(path, kind="training run")
            except ValueError as error:
                damages.append(str(error))
                continue
            if damages:
                os.replace(self.path, self.folder / "checkpoint.damaged.npz")  # or it would push out the good one
                warnings.warn(f"{damages[0]}; {path} is used instead", stacklevel=3)
            if saved["settings"] != self.settings:
                raise ValueError(f"run: {path} belongs to a run with {saved['settings']}, this one has {self.settings}")
            return saved
        if damages:
            raise ValueError(f"run: no checkpoint to resume from is left; start without resume ({'; '.join(damages)})")
        return None

    def conclude(self, good: Saved) -> None:
        """Write the reports as numbers and as curves."""
        history, seconds = good["history"], good["seconds"]
        write_json(self.folder / "metrics.json", {"settings": self.settings, "seconds": seconds, "history": history})
        names = [name for name in (history[0] if history else {}) if name != "step"]
        if names:
            made, axes = plots.figure(len(names), 1, (plots.canvas.WIDTH, 2.2 * len(names) + 0.6))
            for (one,), name in zip(axes, names, strict=True):
                drawn = [(report["step"], report[name]) for report in history if math.isfinite(report[name])]
                plots.curves(one, [x for x, _ in drawn], {name: [y for _, y in drawn]})
            plots.save(made, self.folder / "curves.png")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all; numbers that JSON does not know (NaN, infinity) as strings."""
    checkpoint.replace_file(path, (json.dumps(_strict(value), indent=1, allow_nan=False) + "\n").encode())


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _strict(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
