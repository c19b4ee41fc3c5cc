"""Every test runs on the CPU and on the strict double of CuPy; ``pytest --device cuda`` runs it on a GPU.

A test that has nothing to do with devices is marked ``@pytest.mark.host`` and runs once.  Around each test the
garbage collector is off, and a reference cycle through a Tensor or a Node fails the test.
"""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Iterator
from types import FrameType

import pytest

# Before NumPy is there: several workers, each with as many threads as there are cores, would be ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from double import DeviceArray, xp
from hypothesis import HealthCheck, settings

import tinygen as tg
from tinygen import backend
from tinygen.record import Node

settings.register_profile(
    "tinygen",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("tinygen")

backend.register(
    backend.Library(
        "double",
        xp,
        DeviceArray,
        upload=lambda host, index: xp.array(host),
        download=lambda array: xp.asnumpy(array),
        index=lambda array: 0,
    )
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu,double", help="devices to run on, with commas: cpu, double, cuda")


def pytest_unconfigure() -> None:
    gc.unfreeze()  # what ``_no_cycles`` froze: libraries that count their objects at the end want to see them go


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("host") is None:
        if "device" not in metafunc.fixturenames:
            metafunc.fixturenames.append("device")
        metafunc.parametrize("device", metafunc.config.getoption("--device").split(","), indirect=True)


@pytest.fixture
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """The device that new tensors are created on."""
    with tg.device(request.param):
        yield request.param


@pytest.fixture(autouse=True)
def _on_its_device(request: pytest.FixtureRequest) -> None:
    """Set ``device`` up also for a test that runs on each device but does not name it as an argument."""
    if "device" in getattr(getattr(request.node, "callspec", None), "params", {}):
        request.getfixturevalue("device")


@pytest.fixture(autouse=True)
def _no_cycles() -> Iterator[None]:
    """Reference counting alone frees every tensor: whatever the collector finds afterwards is a cycle."""
    gc.collect()
    gc.freeze()  # the collector need not look again and again at what was there before the test
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
        found = [weakref.ref(thing) for thing in gc.garbage if isinstance(thing, (tg.Tensor, Node))]
        _clear_frames_of_the_font_parser()
        gc.garbage.clear()
        cyclic = [thing for thing in (reference() for reference in found) if thing is not None]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not cyclic, f"{len(cyclic)} tensors or nodes were kept alive by a reference cycle"


def _clear_frames_of_the_font_parser() -> None:
    """Matplotlib's parser keeps its exceptions in a cycle with the frames of all callers, and so their variables."""
    frames = [thing for thing in gc.garbage if isinstance(thing, FrameType)]
    if any("pyparsing" in frame.f_code.co_filename for frame in frames):
        for frame in frames:
            frame.clear()
