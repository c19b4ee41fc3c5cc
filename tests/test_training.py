"""The loop: reports, checkpoints, Ctrl-C, and a resumed run that gives the bits of an unbroken one."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import resuming
from double.rules import counters
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import optim, plots, training
from tinygen.random import Generator
from tinygen.states import restore, snapshot

STEPS = 24


@pytest.fixture(autouse=True, scope="module")
def _matplotlib_is_imported() -> None:
    """Its import leaves cycles through the frames that are running then."""
    plots.figure()


class KilledError(Exception):
    """Stands for a process that ends in the middle of a step."""


@functools.cache
def unbroken(device: str) -> str:
    state = resuming.make()
    history = training.run(state, resuming.step, STEPS, every=resuming.EVERY, progress=False)
    return resuming.digest(state, history)


def killed_in(step_number: int) -> Any:
    """The step, which on its nth call raises after it has changed the state."""
    calls = 0

    def step(state: Any) -> Mapping[str, Any]:
        nonlocal calls
        calls += 1
        metrics = resuming.step(state)
        if calls == step_number:
            raise KilledError
        return metrics

    return step


@given(breaks=st.lists(st.integers(1, STEPS), min_size=1, max_size=3), seconds=st.sampled_from([0.0, 1e9]))
@settings(max_examples=5)
def test_a_resumed_run_has_the_bits_of_an_unbroken_one(
    device: str, breaks: list[int], seconds: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Killed up to three times (with a checkpoint at each step, or with none yet), always in a new state."""
    out = tmp_path_factory.mktemp("run")
    options: Any = {"every": resuming.EVERY, "out": out, "seconds": seconds, "progress": False}
    for step_number in breaks:
        state = resuming.make()
        try:
            training.run(state, killed_in(step_number), STEPS, resume=True, **options)
        except KilledError:
            continue
    state = resuming.make()
    history = training.run(state, resuming.step, STEPS, resume=True, **options)
    assert resuming.digest(state, history) == unbroken(device)


@pytest.mark.host
def test_killed_twenty_times_it_comes_to_the_same_bits(tmp_path: Path) -> None:
    """SIGKILL at random moments, the writing of a checkpoint among them; then resumed."""
    script = [sys.executable, resuming.__file__, str(tmp_path), "24", "20"]
    lines = subprocess.run(script, check=True, capture_output=True, text=True, env=environment()).stdout.split("\n")
    results = [line.split() for line in lines if line]
    assert [same for _, same in results] == ["True"] * 20
    assert sum(int(done) > 0 for done, _ in results) >= 5  # not all before their first checkpoint


@pytest.mark.host
def test_two_processes_give_the_same_bits(tmp_path: Path) -> None:
    printed = [
        subprocess.run(
            [sys.executable, resuming.__file__, str(tmp_path / name), "10"],
            check=True, capture_output=True, text=True, env=environment() | {"PYTHONHASHSEED": name},
        ).stdout
        for name in ("1", "2")
    ]  # fmt: skip
    assert len(printed[0]) == 65
    assert printed[0] == printed[1]


def environment() -> dict[str, str]:
    here = Path(__file__).parent
    return os.environ | {"PYTHONPATH": f"{here.parent}{os.pathsep}{here}", "OMP_NUM_THREADS": "1"}


# --- a small training, whose numbers are known ------------------------------------------------------------------------


@dataclass
class Small:
    weight: tg.Tensor
    optimizer: optim.SGD
    rng: Generator
    count: int = 0


def small() -> Small:
    weight = tg.tensor(np.ones(2, np.float32), requires_grad=True)
    return Small(weight, optim.SGD([weight], lr=0.1), Generator(0))


def small_step(state: Small) -> Mapping[str, Any]:
    state.count += 1
    state.optimizer.minimize(tg.sum(state.weight * state.rng.normal(2)))
    return {"count": state.count, "square": tg.tensor(float(state.count)) ** 2}


def test_a_report_has_the_means_since_the_one_before() -> None:
    evaluated: list[int] = []

    def evaluate(state: Small) -> dict[str, float]:
        evaluated.append(state.count)
        return {"extra": 2.0 * state.count}

    history = training.run(small(), small_step, 5, every=2, watch="square", evaluate=evaluate, progress=False)
    assert history == [
        {"step": 2, "count": 1.5, "square": 2.5, "extra": 4.0},
        {"step": 4, "count": 3.5, "square": 12.5, "extra": 8.0},
        {"step": 5, "count": 5.0, "square": 25.0, "extra": 10.0},
    ]
    assert evaluated == [2, 4, 5]


def test_more_steps_continue_a_finished_run(tmp_path: Path) -> None:
    state = small()
    training.run(state, small_step, 5, every=2, out=tmp_path, progress=False)
    more, whole = small(), small()
    history = training.run(more, small_step, 8, every=2, out=tmp_path, resume=True, progress=False)
    training.run(whole, small_step, 8, every=2, progress=False)
    np.testing.assert_array_equal(more.weight.numpy(), whole.weight.numpy())
    assert [(report["step"], report["count"]) for report in history] == [
        (2, 1.5),
        (4, 3.5),
        (5, 5.0),
        (6, 6.0),
        (8, 7.5),
    ]
    with pytest.raises(ValueError, match="has 8 steps, more than the 5"):
        training.run(small(), small_step, 5, out=tmp_path, resume=True, progress=False)


def test_steps_between_reports_do_not_wait_for_the_device(device: str) -> None:
    synchronisations: list[int] = []

    def step(state: Small) -> Mapping[str, Any]:
        synchronisations.append(counters.synchronisations)
        return small_step(state)

    training.run(small(), step, 21, every=10, progress=False)
    between = np.diff(synchronisations)
    assert not between[:9].any()
    assert not between[10:19].any()
    if device == "double":
        assert between[9] > 0  # the report itself does: the count sees something


def test_half_precision_sums_do_not_overflow() -> None:
    def step(state: Small) -> Mapping[str, Any]:
        return {"loss": tg.tensor(np.float16(60000.0))}

    assert training.run(small(), step, 10, every=10, progress=False)[0]["loss"] == float(np.float16(60000.0))


@pytest.mark.parametrize(
    ("metrics", "options", "message"),
    [
        ({"loss": np.ones(2)}, {}, r"metric 'loss' has shape \(2,\)"),
        ({"loss": 1.0}, {"watch": "lose"}, "no metric 'lose' to watch; there are step, loss"),
        ({"loss": 1.0}, {"every": 0}, "every=0 must be at least 1"),
        ({"loss": 1.0}, {"resume": True}, "needs the folder"),
    ],
)
@pytest.mark.host
def test_wrong_use_is_refused(metrics: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        training.run(small(), lambda state: metrics, 2, **{"every": 1, "progress": False, **options})


# --- Ctrl-C -----------------------------------------------------------------------------------------------------------


@pytest.mark.host
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_finishes_its_step_and_can_be_resumed(number: int, tmp_path: Path) -> None:
    def step(state: Small) -> Mapping[str, Any]:
        if state.count == 3:
            os.kill(os.getpid(), number)
        return small_step(state)

    state, before = small(), signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt, match=r"stopped after step 4 of 10; .*checkpoint.npz continues it"):
        training.run(state, step, 10, out=tmp_path, progress=False)
    assert state.count == 4
    assert signal.getsignal(number) is before
    resumed, whole = small(), small()
    training.run(resumed, small_step, 10, out=tmp_path, resume=True, progress=False)
    training.run(whole, small_step, 10, progress=False)
    np.testing.assert_array_equal(resumed.weight.numpy(), whole.weight.numpy())


@pytest.mark.host
def test_a_second_interrupt_does_not_wait(tmp_path: Path) -> None:
    def step(state: Small) -> Mapping[str, Any]:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the second one came through the step")

    with pytest.raises(KeyboardInterrupt):
        training.run(small(), step, 10, out=tmp_path, progress=False)


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.host
def test_the_folder_of_a_run(tmp_path: Path) -> None:
    training.run(small(), small_step, 4, every=2, out=tmp_path, seconds=0.0, progress=False, settings={"seed": 1})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"checkpoint.npz", "checkpoint.previous.npz", "metrics.json", "curves.png"}
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert report["settings"] == {"seed": 1}
    assert [entry["count"] for entry in report["history"]] == [1.5, 3.5]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert tg.load(tmp_path / "checkpoint.npz", kind="training run")["done"] == 4
    assert tg.load(tmp_path / "checkpoint.previous.npz", kind="training run")["done"] == 3
    with pytest.raises(ValueError, match=r"run with \{'seed': 1\}, this one has \{'seed': 2\}"):
        training.run(small(), small_step, 4, out=tmp_path, resume=True, progress=False, settings={"seed": 2})


@pytest.mark.host
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    training.run(small(), small_step, 6, out=tmp_path, seconds=0.0, progress=False)
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(path.read_bytes()[:-30])
    resumed, whole = small(), small()
    with pytest.warns(UserWarning, match=r"checkpoint.npz carries no checksum.*checkpoint.previous.npz is used"):
        training.run(resumed, small_step, 8, out=tmp_path, resume=True, progress=False)
    training.run(whole, small_step, 8, progress=False)
    np.testing.assert_array_equal(resumed.weight.numpy(), whole.weight.numpy())
    assert tg.load(tmp_path / "checkpoint.previous.npz")["done"] == 5  # the damaged one did not push it out
    for name in ("checkpoint.npz", "checkpoint.previous.npz"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match="no checkpoint to resume from is left"):
        training.run(small(), small_step, 8, out=tmp_path, resume=True, progress=False)


# --- NaN --------------------------------------------------------------------------------------------------------------


@dataclass
class Falling:
    """A parameter that falls by one each step; its logarithm is NaN from step 5 on, its root's slope infinite at 4."""

    weight: tg.Tensor
    optimizer: optim.SGD


def falling() -> Falling:
    weight = tg.tensor(np.array([4.0], np.float32), requires_grad=True)
    return Falling(weight, optim.SGD([weight], lr=1.0))


def test_nan_names_its_step_and_operation_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    def step(state: Falling) -> Mapping[str, Any]:
        bound = tg.sum(tg.sqrt(state.weight + 1.0))  # NaN in step 7, where the weight is -2
        state.optimizer.minimize(tg.sum(state.weight))
        return {"bound": bound.detach()}

    state = falling()
    message = (
        r"after step 7 the metric 'bound' is nan\. sqrt made NaN at .*test_training.py:\d+ in step; .*"
        r"The state is again that after step 4, as is .*checkpoint\.npz"
    )
    with np.errstate(invalid="ignore"), pytest.raises(FloatingPointError, match=message):
        training.run(state, step, 100, every=4, out=tmp_path, progress=False)
    np.testing.assert_array_equal(state.weight.numpy(), [0.0])
    assert tg.load(tmp_path / "checkpoint.npz")["done"] == 4


def test_nan_in_a_gradient_is_found_in_the_state() -> None:
    """The metric is finite; the gradient of the root at 0 is not, and so is the weight after the step."""

    def step(state: Falling) -> Mapping[str, Any]:
        loss = tg.sum(tg.sqrt(state.weight)) if float(state.weight.numpy()[0]) == 0.0 else tg.sum(state.weight)
        state.optimizer.minimize(loss)
        return {"one": 1.0}

    with pytest.raises(FloatingPointError, match=r"after step 5 state.weight.data is not finite. .* made infinity"):
        training.run(falling(), step, 7, every=7, progress=False)


def test_a_nan_that_no_operation_made_is_said_to_be_one() -> None:
    def step(state: Falling) -> Mapping[str, Any]:
        state.weight.assign(state.weight.data * np.float32(1e30))
        return {"weight": tg.sum(state.weight).detach()}

    message = r"after step 2 .*\. No recorded operation made it"
    with np.errstate(over="ignore"), pytest.raises(FloatingPointError, match=message):
        training.run(falling(), step, 3, every=3, progress=False)


def test_a_step_that_keeps_something_outside_of_its_state_is_told_so() -> None:
    calls = [0]

    def step(state: Falling) -> Mapping[str, Any]:
        calls[0] += 1
        return {"loss": np.nan if calls[0] == 3 else 1.0}

    with pytest.raises(FloatingPointError, match="something that is not in the state"):
        training.run(falling(), step, 10, every=5, progress=False)


def test_infinities_that_were_there_from_the_start_are_no_anomaly() -> None:
    @dataclass
    class Masked:
        mask: tg.Tensor

    state = Masked(tg.tensor(np.array([0.0, -np.inf], np.float32)))
    assert training.run(state, lambda state: {"one": 1.0}, 4, every=2, progress=False)[-1]["one"] == 1.0


# --- the state --------------------------------------------------------------------------------------------------------


def test_a_snapshot_does_not_change_with_its_state() -> None:
    state = resuming.make()
    resuming.step(state)
    saved = snapshot(state)
    before = resuming.digest(state, [])
    for _ in range(3):
        resuming.step(state)
    assert resuming.digest(state, []) != before
    restore(state, saved)
    assert resuming.digest(state, []) == before


@dataclass
class Holder:
    """A state of one thing."""

    thing: Any


def linear(size: int) -> tg.nn.Linear:
    return tg.nn.Linear(2, size, rng=Generator(0))


@pytest.mark.parametrize(
    ("have", "other", "message"),
    [
        (lambda: linear(3), lambda: linear(4), r"state.thing.weight is float32 of shape \(4, 2\) here"),
        (lambda: linear(3), lambda: linear(3).astype("float64"), "state.thing.weight is float64"),
        (lambda: Generator(0), lambda: None, "state.thing is a NoneType here and a Generator in the checkpoint"),
        (small, lambda: Holder(1), "is a Holder here and a Small"),
        (lambda: tg.tensor([1.0], requires_grad=True), lambda: tg.tensor([1.0, 2.0], requires_grad=True), "shape"),
    ],
)  # fmt: skip
def test_a_snapshot_of_something_else_is_refused(have: Any, other: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        restore(Holder(other()), snapshot(Holder(have())))


@pytest.mark.parametrize(
    ("thing", "error", "message"),
    [
        (lambda: object(), TypeError, "state.thing is a object"),
        (lambda: {1: 2}, TypeError, "keys of state.thing must be strings"),
        (
            lambda: [tg.ones(1), {"a": tg.tensor([1.0], requires_grad=True) * 2}],
            ValueError,
            r"state.thing\[1\]\['a'\] was",
        ),
    ],
)
def test_what_could_not_be_brought_back_is_refused(thing: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        snapshot(Holder(thing()))


def test_functions_stay_where_they_are_and_tensors_stay_on_their_device(device: str) -> None:
    holder = Holder([np.tanh, tg.ones(2), None])
    saved = snapshot(Holder([np.tanh, tg.zeros(2), tg.ones((1, 1))]))
    restore(holder, saved)
    assert holder.thing[0] is np.tanh
    assert [part.device for part in holder.thing[1:]] == [device, device]
    assert holder.thing[2].shape == (1, 1)
