"""``check_flow`` accepts flows, and finds each of the usual mistakes within its default budget."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from refusal import refusal
from sample_flows import (
    BatchMean,
    Coupling,
    DetachedCoupling,
    Exponential,
    Folded,
    Halves,
    InverseAutoregressive,
    LateIAF,
    Planar,
    PlanarTerm,
    ShiftedIAF,
)

from tinygen.random import Generator
from tinygen.testing import check_flow


def mistaken(kind: Any, mistake: str, dim: int) -> Any:
    flow = kind(dim, rng=Generator(5))
    object.__setattr__(flow, "mistake", mistake)
    return flow


@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("kind", [Planar, PlanarTerm, InverseAutoregressive])
def test_flows_are_accepted(kind: Any, dim: int) -> None:
    check_flow(kind(dim, rng=Generator(3)), dim, examples=10)


@pytest.mark.parametrize("dim", [2, 3, 5])
def test_coupling_layers_are_accepted(dim: int) -> None:
    check_flow(Coupling(dim, rng=Generator(3)), dim, examples=10)


def test_data_may_be_part_of_the_space() -> None:
    check_flow(Exponential(), 1, data=st.floats(0.1, 5.0).map(lambda x: [x]), examples=10)


def test_kinks_are_no_faults() -> None:
    check_flow(Halves(), 2, data=st.just([0.3, -0.2]), examples=10)


MISTAKES = {
    "norm instead of its square, in the determinant": (mistaken(PlanarTerm, "norm", 2), 2, "log-determinant"),
    "norm instead of its square, in the constraint": (mistaken(Planar, "norm", 2), 2, "."),
    "planar, wrong direction": (mistaken(Planar, "wrong direction", 2), 2, "opposite sign"),
    "planar, at the output": (mistaken(Planar, "at output", 3), 3, "at the output instead of at the input"),
    "coupling, wrong direction": (mistaken(Coupling, "wrong direction", 4), 4, "opposite sign"),
    "coupling drops a column of s": (mistaken(Coupling, "drops a column", 4), 4, "log-determinant of to_data"),
    "coupling drops its only column of s": (mistaken(Coupling, "drops a column", 2), 2, "log-determinant of to_data"),
    "IAF sees its own dimension": (ShiftedIAF(3, rng=Generator(2)), 3, "log-determinant of to_data"),
    "IAF takes the scales before": (LateIAF(3, rng=Generator(2)), 3, "log-determinant of to_data"),
    "detached log-determinant": (DetachedCoupling(4, rng=Generator(2)), 4, "of to_data in the parameter body"),
    "detached log-determinant, backwards only": (mistaken(Coupling, "detached", 2), 2, "to_latent in the parameter"),
    "rows depend on each other": (BatchMean(), 2, "."),
    "no bijection": (Folded(), 1, "does not undo|singular"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_found_within_the_default_budget(name: str, device: str) -> None:
    flow, dim, message = MISTAKES[name]
    if hasattr(flow, "to"):
        flow.to(device)
    said = refusal(check_flow, flow, dim)
    assert said.startswith("check_flow: ")
    assert re.search(message, said)
    assert "the simplest counterexample of" in said


@pytest.mark.parametrize("dim", [0, -1, 2.0, np.zeros((3, 2))])
def test_something_else_than_a_number_of_dimensions_is_refused(dim: Any) -> None:
    with pytest.raises(TypeError, match="check_flow: dim is how many numbers a row has"):
        check_flow(Planar(2, rng=Generator(0)), dim)
