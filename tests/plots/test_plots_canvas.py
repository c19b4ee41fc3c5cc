"""Figures, colours, checked values and files."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text
from PIL import Image

import tinygen as tg
from tinygen import plots
from tinygen.plots import canvas

pytestmark = pytest.mark.host


def in_a_fresh_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_plots_imports_no_library() -> None:
    code = "import sys, tinygen, tinygen.plots; print([m for m in ('matplotlib', 'PIL') if m in sys.modules])"
    assert in_a_fresh_process(code) == "[]"


def test_a_picture_touches_nothing_global(tmp_path: Path) -> None:
    code = f"""
import sys, matplotlib
from tinygen import plots
def settings():  # to ask for the backend would choose one
    return {{name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}}
before = settings()
made, ((axes,),) = plots.figure()
plots.scatter(axes, [[0.0, 1.0]])
plots.save(made, {str(tmp_path / "picture.png")!r})
print("matplotlib.pyplot" in sys.modules, settings() == before)
"""
    assert in_a_fresh_process(code) == "False True"


@given(rows=st.integers(1, 3), columns=st.integers(1, 3))
def test_figure_has_rows_and_columns_of_axes(rows: int, columns: int) -> None:
    made, axes = plots.figure(rows, columns)
    assert axes.shape == (rows, columns)
    assert list(axes.flat) == made.axes
    width, height = made.get_size_inches()
    assert width == canvas.WIDTH
    assert height / rows == pytest.approx(0.75 * width / columns)


# --- files -------------------------------------------------------------------------------------------------------


def test_save_writes_the_kind_of_file_that_the_suffix_says(tmp_path: Path) -> None:
    made, _ = plots.figure(size=(2, 1))
    for suffix, start in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        path = plots.save(made, tmp_path / "new folder" / f"picture{suffix}")
        assert path.read_bytes().startswith(start)
    with Image.open(plots.save(made, str(tmp_path / "picture.png"), dpi=100)) as image:
        assert image.size == (200, 100)
        image.load()
    with pytest.raises(ValueError, match="xyz"):
        plots.save(made, tmp_path / "picture.xyz")


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (plots.save(plots.figure()[0], tmp_path / f"{i}.png").read_bytes() for i in range(2))
    assert first == second


def test_an_interrupted_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "picture.png"
    old = plots.save(plots.figure(size=(2, 1))[0], path).read_bytes()
    monkeypatch.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        plots.save(plots.figure(size=(3, 1))[0], path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    old = plots.save(plots.figure(size=(2, 1))[0], path).read_bytes()
    code = f"""
import os
from tinygen import plots
os.fsync = lambda descriptor: os.kill(os.getpid(), 9)
plots.save(plots.figure(size=(3, 1))[0], {str(path)!r})
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert path.read_bytes() == old


# --- colours -----------------------------------------------------------------------------------------------------

# Machado, Oliveira and Fernandes (2009), severity 1: linear RGB as each kind of reader sees it.
SEEN_BY = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def lab(linear: np.ndarray) -> np.ndarray:
    """CIE Lab of linear sRGB, white D65."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(linear, 0, 1) / np.array([0.9505, 1.0, 1.089])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("reader", SEEN_BY)
def test_every_reader_can_tell_the_colours_apart(reader: str) -> None:
    """A distance of 2.3 in Lab is just noticeable; Okabe and Ito's eight are 16 apart at the least, and so are ours."""
    encoded = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in plots.PALETTE])
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    seen = [lab(SEEN_BY[reader] @ colour) for colour in [*linear, np.ones(3)]]  # the last one is the paper
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 16


# --- values ------------------------------------------------------------------------------------------------------


@given(st.sampled_from([np.nan, np.inf, -np.inf]), st.integers(0, 5))
def test_values_that_cannot_be_drawn_are_refused(wrong: float, place: int) -> None:
    data = np.zeros(6)
    data[place] = wrong
    with pytest.raises(ValueError, match=r"scores holds 1 values \(of 6\) that are NaN or infinite"):
        canvas.values(data, "scores", ("N",))


@pytest.mark.parametrize("shape", [(), (0, 2), (3,), (3, 3), (3, 2, 1)])
def test_values_of_a_wrong_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"points must have shape \(N, 2\), got") as error:
        canvas.values(np.zeros(shape), "points", ("N", 2))
    assert str(error.value).endswith(str(shape))


def test_values_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(TypeError, match="points must be real numbers"):
        canvas.values(np.zeros(2, complex), "points", ("N",))
    with pytest.raises(TypeError, match="points"):
        canvas.values(["a", "b"], "points", ("N",))
    with pytest.raises(TypeError, match="expected a tensor, an array or a number"):
        canvas.values("ab", "points", ("N",))


def test_values_keep_their_dtype_and_leave_the_given_array_alone() -> None:
    given_tensor = tg.tensor(np.arange(3, dtype=np.float32), requires_grad=True)
    assert canvas.values(given_tensor, "x", ("N",)).dtype == np.float32
    assert canvas.values([1, 2], "x", ("N",)).tolist() == [1, 2]


def test_all_text_is_legible() -> None:
    """At least 9 points on a figure that is 8 inches wide, so 12 pixels where it is shown 800 pixels wide."""
    made, axes = plots.figure(2, 4)
    plane, points = (-1.0, 1.0, -1.0, 1.0), plots.lattice((-1.0, 1.0, -1.0, 1.0), 3)
    plots.image_strip(axes[0, 0], np.zeros((1, 1, 8, 8)), rows=["glasses"], columns=["+1"], title="Strip")
    plots.curves(axes[0, 1], [0, 1], {"NLL": [1.0, 0.5]}, floor=0.4, title="NLL")
    plots.histogram(axes[0, 2], {"normal": [0.0, 1.0]}, threshold=0.5)
    plots.roc_curve(axes[0, 3], {"AE": ([0.0], [1.0])})
    plots.heat_map(axes[1, 0], points[:, 0].reshape(3, 3), plane, label="logit", signed=True)
    plots.contours(axes[1, 0], points[:, 0].reshape(3, 3), plane)
    plots.labelled_scatter(axes[1, 1], points, np.arange(9) % 2, classes=["smiling", "sad"])
    plots.vector_field(axes[1, 2], points, points)
    plots.trajectory(axes[1, 3], points, label="path")
    made.draw_without_rendering()
    texts = [text for text in made.findobj(Text) if text.get_text()]
    assert {"glasses", "NLL", "threshold 0.5", "logit", "smiling", "path"} <= {text.get_text() for text in texts}
    assert min(text.get_fontsize() for text in texts) >= 9


def test_a_second_call_adds_to_a_description() -> None:
    _, ((axes,),) = plots.figure()
    plots.scatter(axes, [[0.0, 0.0]], title="Moons", names=("x₁", "x₂"))
    plots.scatter(axes, [[1.0, 1.0]])
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("Moons", "x₁", "x₂")
