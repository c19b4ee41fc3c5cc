"""What every example shares on the command line, and the command ``tinygen``."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import tinygen as tg
from tinygen import cli, plots, running, systems
from tinygen.running import Example, Gate, Run
from tinygen.systems import SYSTEMS

ROOT = Path(__file__).parents[1]
EXAMPLE = Example("made_up", ("VAE",), ("tinygen/models/vae.py",), (Gate("score", "nats", at_least=(1.0, 3.0)),))


def scores(*values: float) -> Any:
    """A training that measures one of the values, by seed."""

    def train(run: Run) -> dict[str, float]:
        return {"score": values[run.seed], "other": run.choose(quick=0.0, full=1.0)}

    return train


def status(train: Any, *arguments: str, example: Example = EXAMPLE) -> Any:
    """The exit status of an example."""
    try:
        running.main(example, train, "About it.", arguments)
    except SystemExit as stop:
        return stop.code
    raise AssertionError("main must leave with a status")


# --- gates ------------------------------------------------------------------------------------------------------------


@pytest.mark.host
@given(value=st.floats(), low=st.floats(-5, 5), span=st.floats(0, 5))
def test_a_gate_passes_what_is_inside_its_bounds(value: float, low: float, span: float) -> None:
    high = low + span
    assert Gate("g", at_least=low).passes(value, quick=False) == (low <= value < np.inf)
    assert Gate("g", at_most=high).passes(value, quick=True) == (-np.inf < value <= high)
    assert Gate("g", at_least=low, at_most=high).passes(value, quick=False) == (low <= value <= high)
    assert Gate("g", at_least=(low, high)).passes(value, quick=True) == (low <= value < np.inf)
    assert Gate("g", at_least=(low, high)).passes(value, quick=False) == (high <= value < np.inf)


@pytest.mark.host
@pytest.mark.parametrize(("seeds", "needed"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 4), (10, 8), (20, 16)])
def test_four_of_five_seeds_must_pass_but_all_where_chance_plays_no_part(seeds: int, needed: int) -> None:
    for passing in range(seeds + 1):
        values = [1.0] * passing + [-1.0] * (seeds - passing)
        assert Gate("g", at_least=0.0).verdict(values, quick=False)[2] == (passing >= needed)
        assert Gate("g", at_least=0.0, exact=True).verdict(values, quick=False)[2] == (passing == seeds)


@pytest.mark.host
def test_a_gate_may_have_a_bound_in_one_mode_only() -> None:
    gate = Gate("modes", at_most=(np.inf, 7))
    assert [gate.threshold(quick=quick) for quick in (True, False)] == ["any", "≤ 7"]
    assert [gate.passes(8.0, quick=quick) for quick in (True, False)] == [True, False]


@pytest.mark.host
def test_a_gate_without_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="needs at_least, at_most"):
        Gate("nothing")


@pytest.mark.host
def test_what_cannot_be_fails_in_any_seed() -> None:
    good = [1.1, 1.2, 1.1, 1.3]
    for gate, wrong in (
        (Gate("NLL", at_most=2.0, never_below=1.0), 0.9),
        (Gate("-NLL", at_least=-2.0, never_above=3.0), 3.1),
        (Gate("bound", never_below=1.0), -np.inf),
    ):
        assert gate.verdict([*good, 1.5], quick=False) == ("1.1 … 1.5", "PASS (5 of 5 seeds)", True)
        assert gate.verdict([*good, wrong], quick=True)[1:] == ("ALARM (1 of 5 seeds)", False)
        assert not gate.passes(wrong, quick=False)


@pytest.mark.host
def test_enough_seeds_must_pass_all_gates_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of five seeds fails another of five gates: four of five pass each gate, none all of them."""
    gates = tuple(Gate(f"gate {i}", at_most=0.0) for i in range(5))
    example = Example("made_up", ("VAE",), (), gates)

    def failing_one(run: Run) -> dict[str, float]:
        return {f"gate {i}": float(i == run.seed) for i in range(5)}

    def failing_first(run: Run) -> dict[str, float]:
        return {f"gate {i}": float(run.seed == 0) for i in range(5)}

    for train, seeds, passes in ((failing_one, "0 of 5 seeds pass all", False), (failing_first, "4 of 5", True)):
        assert status(train, "--out", str(tmp_path), "--seeds", "5", example=example) == (not passes)
        shown = capsys.readouterr().out
        assert shown.count("PASS (4 of 5 seeds)") == 5
        assert seeds in shown


# --- the command line of an example -----------------------------------------------------------------------------------


@pytest.mark.host
def test_the_status_is_the_verdict_and_the_table_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path)]
    assert status(scores(2.0), *out) == 1
    assert "score  nats  2      ≥ 3        FAIL" in capsys.readouterr().out
    assert status(scores(2.0), *out, "--quick") == 0
    assert "score  nats  2      ≥ 1        PASS" in capsys.readouterr().out
    assert status(scores(float("nan")), *out) == 1
    assert status(scores(4.0, 0.0, 4.0, 5.0, 4.0), *out, "--seeds", "5") == 0
    assert "0 … 5  ≥ 3        PASS (4 of 5 seeds)" in capsys.readouterr().out
    assert status(scores(4.0, 0.0, 4.0, 5.0, 2.0), *out, "--seeds", "5", "--full") == 1
    assert "FAIL (3 of 5 seeds)" in capsys.readouterr().out


@pytest.mark.host
def test_metrics_are_written(tmp_path: Path) -> None:
    status(scores(0.0, 4.0, float("inf")), "--out", str(tmp_path), "--seed", "1", "--seeds", "2")
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert [(run["seed"], run["metrics"]) for run in report["runs"]] == [
        (1, {"score": 4.0, "other": 1.0}),
        (2, {"score": "inf", "other": 1.0}),  # JSON has no infinity
    ]
    assert (report["passed"], report["quick"], report["example"]) == (False, False, "made_up")
    assert report["versions"]["numpy"] == np.__version__
    assert report["seconds"] == pytest.approx(sum(run["seconds"] for run in report["runs"]))
    assert all(0 <= run["cpu_seconds"] < 60 and not run["resumed"] for run in report["runs"])


@pytest.mark.host
def test_seeds_are_stored_together_if_nothing_else_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "RESULTS", tmp_path)
    monkeypatch.setattr(running, "IMAGES", tmp_path)

    def stored(train: Any, *arguments: str) -> dict[str, Any]:
        status(train, "--store", "--out", str(tmp_path / "out"), *arguments)
        kept: dict[str, Any] = json.loads((tmp_path / "made_up.json").read_text())
        return kept

    def scored(report: dict[str, Any]) -> dict[int, float]:
        return {run["seed"]: float(run["metrics"]["score"]) for run in report["runs"]}

    train = scores(4.0, 0.0, 5.0, 6.0, float("inf"))
    assert scored(stored(train, "--seed", "2", "--seeds", "2")) == {2: 5.0, 3: 6.0}
    assert scored(stored(train, "--seed", "4")) == {2: 5.0, 3: 6.0, 4: np.inf}
    assert not stored(train)["passed"]  # infinity is no score
    again = stored(scores(4.0, 3.5, 0.0, 6.0, 7.0), "--seed", "1", "--seeds", "4")  # the newest figure of each seed
    assert scored(again) == {0: 4.0, 1: 3.5, 2: 0.0, 3: 6.0, 4: 7.0}
    assert again["passed"]  # 4 of 5
    assert (len(again["commands"]), len(set(again["commands"]))) == (1, 1)  # pytest's own, each time
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["runs"] == again["runs"][1:]
    assert scored(stored(train, "--seed", "3", "--quick")) == {3: 6.0}
    monkeypatch.setattr(running, "_code", lambda train: "edited since")
    assert scored(stored(train, "--seed", "1", "--quick")) == {1: 0.0}


@pytest.mark.host
def test_storing_keeps_small_copies_of_the_first_seeds_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "RESULTS", tmp_path)
    monkeypatch.setattr(running, "IMAGES", tmp_path / "images")

    def train(run: Run) -> dict[str, float]:
        made, _ = plots.figure(size=(10, 2))
        made.set_facecolor(plots.PALETTE[run.seed])
        plots.save(made, run.picture("seed.png"))
        with plots.animation(made, run.picture("seed.gif")) as frame:
            frame()
        return {"score": 4.0}

    status(train, "--store", "--seeds", "2", "--out", str(tmp_path / "out"))
    with Image.open(tmp_path / "images/seed.png") as picture:
        assert picture.size == (1200, 240)
        assert picture.convert("RGB").getpixel((1, 1)) == (0x00, 0x72, 0xB2)
    assert (tmp_path / "images/seed.gif").read_bytes() == (tmp_path / "out/seed0/seed.gif").read_bytes()


@pytest.mark.host
def test_the_code_is_that_of_the_script_and_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, script = tmp_path / "package", tmp_path / "script.py"
    for folder in ("models", "lectures"):
        (package / folder).mkdir(parents=True)
    monkeypatch.setattr(running, "__file__", str(package / "running.py"))
    digests = []
    for file in (script, package / "tensor.py", package / "models/vae.py", package / "lectures/gan.py"):
        script.touch()
        file.write_text("def train(run): ...")
        script.write_text(script.read_text() or "def train(run): ...")
        digests.append(running._code(runpy.run_path(str(script))["train"]))
    assert len(set(digests)) == 3
    assert digests[-1] == digests[-2]  # no example runs the proofs
    script.write_text("def train(run): ...  # edited")
    assert running._code(runpy.run_path(str(script))["train"]) not in digests


@pytest.mark.host
def test_a_folder_that_cannot_be_written_is_found_before_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")

    def train(run: Run) -> dict[str, float]:
        raise AssertionError("not to be begun")

    assert status(train, "--out", str(tmp_path / "file/folder")) == 2
    assert "cannot write into the folder" in capsys.readouterr().err


@pytest.mark.host
@pytest.mark.parametrize(
    "arguments", [["--seeds", "0"], ["--device", "tpu"], ["--quick", "--full"], ["--seed", "x"], ["--unknown"]]
)
def test_wrong_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert status(scores(4.0), *arguments) == 2
    assert arguments[0].lstrip("-") in capsys.readouterr().err


@pytest.mark.host
def test_a_gate_that_was_not_measured_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"made_up: train measured \['other'\], not the gates \['score'\]"):
        running.main(EXAMPLE, lambda run: {"other": 1.0}, None, ["--out", str(tmp_path)])


@dataclass
class State:
    total: tg.Tensor
    rng: tg.random.Generator


def add_noise(state: State) -> Mapping[str, Any]:
    state.total = state.total + state.rng.normal(())
    return {"total": state.total}


def test_the_device_and_resuming_reach_the_training(
    device: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stopped by Ctrl-C in the first of two seeds, then resumed: what an unbroken run measures."""
    stops = [True]

    def step(state: State) -> Mapping[str, Any]:
        assert state.total.device == device
        metrics = add_noise(state)
        if stops and float(state.total) > 2.0:
            stops.clear()
            raise KeyboardInterrupt
        return metrics

    def train(run: Run) -> dict[str, float]:
        assert run.out == run.shared / f"seed{run.seed}"
        state = State(tg.zeros(()), run.rng.spawn("noise"))
        run.train(state, step, 30, every=10, seconds=0.0, progress=False)
        run.picture("empty.png").write_text("")
        return {"score": float(state.total)}

    arguments = ["--device", device, "--seeds", "2", "--out"]
    assert status(train, *arguments, str(tmp_path / "broken")) == 130
    assert "(with --resume)" in capsys.readouterr().err
    assert not (tmp_path / "broken/metrics.json").exists()
    status(train, *arguments, str(tmp_path / "broken"), "--resume")
    status(train, *arguments, str(tmp_path / "whole"))
    reports = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("broken", "whole")]
    broken, whole = ([(run["seed"], run["metrics"]) for run in report["runs"]] for report in reports)
    assert broken == whole
    assert [[run["resumed"] for run in report["runs"]] for report in reports] == [[True, False], [False, False]]
    assert reports[0]["versions"]["device"] == device
    assert f"picture: {tmp_path / 'whole/seed1/empty.png'}" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"'quick': False.* this one has .*'quick': True"):
        running.main(EXAMPLE, train, None, [*arguments, str(tmp_path / "whole"), "--resume", "--quick"])


@pytest.mark.host
def test_a_checkpoint_of_other_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures begun by one program and ended by another would belong to neither."""

    def train(run: Run) -> dict[str, float]:
        run.train(State(tg.zeros(()), run.rng.spawn("noise")), add_noise, 3, progress=False)
        return {"score": 4.0}

    out = ["--out", str(tmp_path)]
    assert status(train, *out) == status(train, *out, "--resume") == 0
    monkeypatch.setattr(running, "_code", lambda train: "edited since")
    with pytest.raises(ValueError, match=r"belongs to a run with .* this one has .*'code': 'edited since'"):
        running.main(EXAMPLE, train, None, [*out, "--resume"])
    assert status(train, *out) == 0


# --- tinygen models ---------------------------------------------------------------------------------------------------


SCRIPT = """
from tinygen.running import Example, Gate, main
EXAMPLE = Example("script", ("VAE", "AE"), ("tinygen/tensor.py",), (Gate("score", "nats", at_least=(1.0, 3.0)),))
if __name__ == "__main__":
    main(EXAMPLE, lambda run: {"score": 2.0 + run.seed}, "A script.")
"""


@pytest.mark.host
def test_the_overview_shows_what_scripts_declare_and_judges_what_they_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples, results = tmp_path / "examples", tmp_path / "docs/results"
    examples.mkdir()
    (examples / "script.py").write_text(SCRIPT)
    (examples / "helper.py").write_text("x = 1\n")
    lines = systems.overview(examples, results)
    assert sum(line.strip() == "tinygen/tensor.py; examples/script.py" for line in lines) == 1
    assert sum(line.strip() == "tinygen/tensor.py; examples/script.py (gates under AE)" for line in lines) == 1
    assert sum(line.strip() == "score ≥ 3 nats: not measured yet" for line in lines) == 1
    assert lines[-1] == f"2 of {len(SYSTEMS)} systems have an example."
    assert sum(line.strip() == "no example yet" for line in lines) == len(SYSTEMS) - 2
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["script.py", "--store", "--seeds", "2"])
    with pytest.raises(SystemExit):
        runpy.run_path(str(examples / "script.py"), run_name="__main__")
    assert any("score ≥ 3 nats: 2 … 3 FAIL (1 of 2 seeds)" in line for line in systems.overview(examples, results))
    (examples / "script.py").write_text(
        SCRIPT.replace("3.0", "1.5")
    )  # another bound: the stored values are judged anew
    assert any("score ≥ 1.5 nats: 2 … 3 PASS (2 of 2 seeds)" in line for line in systems.overview(examples, results))
    (examples / "script.py").write_text(SCRIPT.replace('"AE"', '"EA"'))
    with pytest.raises(ValueError, match="systems that do not exist: EA"):
        systems.overview(examples, results)


@pytest.mark.host
def test_systems_have_names_of_their_own() -> None:
    assert len({system.key for system in SYSTEMS}) == len({system.title for system in SYSTEMS}) == len(SYSTEMS) == 35


@pytest.mark.host
def test_the_command_runs_and_every_declared_model_exists(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models"]) == 0
    assert capsys.readouterr().out.splitlines() == systems.overview(ROOT / "examples", ROOT / "docs/results")
    for path, example in systems.declared(ROOT / "examples"):
        assert path.stem == example.name
        assert all((ROOT / model).is_file() for model in example.models)
    assert cli.main(["models", "--examples", "nowhere"]) == 2
    with pytest.raises(SystemExit):
        cli.main([])
    shown = subprocess.run(
        [sys.executable, "-m", "tinygen", "--help"], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert "models" in shown.stdout
