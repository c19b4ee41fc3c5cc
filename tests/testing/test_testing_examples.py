"""The examples of docs/testing.md and of the checkers' docstrings run."""

from __future__ import annotations

import doctest
import gc
import importlib
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/testing.md"
MODULES = ("discriminators", "distributions", "divergences", "flows", "gradients", "modules", "strategies")

pytestmark = pytest.mark.host


def run(test: doctest.DocTest) -> None:
    """Run one test; what its errors keep alive is collected here, as it is in ``refusal``."""
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    said: list[str] = []
    failed, attempted = runner.run(test, out=said.append)
    flags = gc.get_debug()
    gc.set_debug(0)
    gc.collect()
    gc.set_debug(flags)
    assert attempted
    assert not failed, "".join(said)


def test_the_page_of_examples_runs() -> None:
    run(doctest.DocTestParser().get_doctest(PAGE.read_text(), {}, PAGE.name, str(PAGE), 0))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_docstrings_run(name: str) -> None:
    module = importlib.import_module(f"tinygen.testing.{name}")
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        if test.examples:
            run(test)
