"""What all optimisers share: what they change, what they leave alone, what they refuse, how they are saved."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from double import counting, knobs, no_sync
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import optim
from tinygen.optim import optimizer as base

MAKERS: dict[str, Callable[..., optim.Optimizer]] = {
    "SGD": lambda p, **o: optim.SGD(p, **{"lr": 0.1, **o}),
    "SGD, momentum": lambda p, **o: optim.SGD(p, **{"lr": 0.1, **o}, momentum=0.9, nesterov=True, weight_decay=0.1),
    "Adam": lambda p, **o: optim.Adam(p, **{"lr": 0.1, **o}),
    "AdamW": lambda p, **o: optim.AdamW(p, **{"lr": 0.1, **o}),
    "RMSprop": lambda p, **o: optim.RMSprop(p, **{"lr": 0.1, **o}, centered=True, momentum=0.9),
    "Adagrad": lambda p, **o: optim.Adagrad(p, **{"lr": 0.1, **o}),
}
every_optimizer = pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))


def leaves(*shapes: tuple[int, ...], seed: int = 0, dtype: Any = np.float32) -> list[tg.Tensor]:
    rng = np.random.default_rng(seed)
    return [tg.tensor(rng.normal(size=shape).astype(dtype), requires_grad=True) for shape in shapes]


def loss_of(parameters: list[tg.Tensor], used: list[bool] | None = None) -> tg.Tensor:
    """Σ (sin p)² over the used parameters."""
    used = used or [True] * len(parameters)
    terms = [tg.square(tg.sin(p)).sum() for p, u in zip(parameters, used, strict=True) if u]
    return sum(terms[1:], terms[0])


def values(parameters: list[tg.Tensor]) -> list[np.ndarray]:
    return [parameter.numpy().copy() for parameter in parameters]


def assert_same_bits(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


# --- what a step changes -----------------------------------------------------------------------------------------


@every_optimizer
def test_minimises(make: Any) -> None:
    parameters = leaves((3, 2), (4,))
    optimizer, first = make(parameters), loss_of(parameters).item()
    for _ in range(30):
        optimizer.minimize(loss_of(parameters))
    assert loss_of(parameters).item() < 0.5 * first
    assert optimizer.steps == 30


@every_optimizer
def test_one_array_serves_all(make: Any, device: str) -> None:
    """After a step the number of array calls does not depend on how many parameters there are."""
    counts = []
    for number in (3, 30):
        parameters = leaves(*[(2, 3)] * number)
        for parameter in parameters:
            parameter.grad = tg.ones_like(parameter)
        optimizer = make(parameters)
        optimizer.step()
        with counting() as count, no_sync():
            optimizer.step()
        counts.append(count.launches)
    assert counts[0] == counts[1] <= 20
    assert (counts[0] > 0) == (device == "double")


@every_optimizer
def test_pieces_make_no_difference(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cutting the flat array into pieces of 5 elements, across and inside of tensors, gives the same bits."""
    shapes, found = [(3, 4), (0,), (2,), (), (7,), (1, 2)], []
    for nbytes in (20, 1 << 20):
        monkeypatch.setattr(base, "block_bytes", lambda xp, nbytes=nbytes: nbytes)
        parameters = leaves(*shapes)
        optimizer = make(parameters)
        for step in range(6):
            optimizer.minimize(loss_of(parameters, [step in (0, 5), True, step != 2, True, step < 4, True]))
        found.append(values(parameters))
    assert_same_bits(*found)


@every_optimizer
def test_gradients_in_any_layout(make: Any) -> None:
    """A gradient that is not contiguous, or is one broadcast number, is read in the order of its elements."""
    found = []
    for layout in ("plain", "strange"):
        parameters = leaves((3, 4), (5,))
        first, second = tg.tensor(np.arange(12, dtype=np.float32).reshape(4, 3)), tg.ones(5)
        if layout == "strange":
            first, second = first.T, tg.broadcast_to(tg.tensor(np.float32(1.0)), (5,))
        else:
            first = tg.tensor(first.numpy().T.copy())
        parameters[0].grad, parameters[1].grad = first, second
        optimizer = make(parameters)
        optimizer.step()
        optimizer.step()
        found.append(values(parameters))
        np.testing.assert_array_equal(first.numpy(), np.arange(12, dtype=np.float32).reshape(4, 3).T)  # not written
    assert_same_bits(*found)


@every_optimizer
def test_arrays_held_by_tensors_are_not_written(make: Any) -> None:
    parameters = leaves((3, 2), (4,))
    optimizer = make(parameters)
    for _ in range(3):
        held, before = [p.detach() for p in parameters], values(parameters)
        for parameter in parameters:
            parameter.grad = tg.ones_like(parameter)
        gradients = [parameter.grad for parameter in parameters]
        optimizer.step()
        assert_same_bits(values(held), before)
        assert_same_bits(values(gradients), [np.ones(p.shape, np.float32) for p in parameters])
        assert all((now.numpy() != then).all() for now, then in zip(parameters, before, strict=True))


@every_optimizer
def test_an_old_record_gives_gradients_at_its_own_values(make: Any) -> None:
    x, weight, other = leaves((2, 3), (3, 2), (2,))
    y = tg.tanh(x @ weight) @ other  # a product holds a view of the weight, its rule the weight transposed
    expected = [slope.numpy().copy() for slope in tg.grad(y.sum(), [x, weight, other])]
    optimizer = make([weight, other])
    for _ in range(3):
        optimizer.minimize(loss_of([weight, other]))
    assert_same_bits([slope.numpy() for slope in tg.grad(y.sum(), [x, weight, other])], expected)
    with pytest.raises(RuntimeError, match="rebound"):
        tg.grad(y.sum(), x, create_graph=True)


@every_optimizer
def test_without_a_gradient_left_alone(make: Any) -> None:
    """A parameter that some steps do not use ends where it would without these steps: no decay, no moment, no count."""
    rng, found = np.random.default_rng(0), []
    uses = [rng.random(2) < 0.5 for _ in range(12)]
    for skip in (False, True):
        parameters = leaves((3,), (2,))
        optimizer = make(parameters)
        for used in uses:
            if used[0] or not skip:
                optimizer.minimize(loss_of(parameters, [bool(used[0]), True]))
        found.append(values(parameters)[0])
    assert_same_bits([found[0]], [found[1]])


def test_a_frozen_parameter_is_left_alone() -> None:
    parameters = leaves((3,), (2,))
    parameters[0].requires_grad = False
    before = values(parameters)
    optim.AdamW(parameters).minimize(loss_of(parameters))
    assert (values(parameters)[0] == before[0]).all()
    assert (values(parameters)[1] != before[1]).all()


def test_minimize_touches_its_own_parameters_only() -> None:
    mine, other = leaves((3,), (3,))
    before = other.numpy().copy()
    optim.SGD([mine], lr=0.1).minimize((mine * other).sum())
    np.testing.assert_array_equal(other.numpy(), before)
    assert mine.grad is None
    assert other.grad is None


def test_minimize_frees_the_record() -> None:
    parameters = leaves((3,))
    loss = loss_of(parameters)
    optim.SGD(parameters).minimize(loss)
    with pytest.raises(RuntimeError, match="freed"):
        loss.backward()


@every_optimizer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_step_keeps_the_dtype_and_waits_for_nothing(make: Any, dtype: Any) -> None:
    parameters = leaves((3, 2), (4,), dtype=dtype)
    optimizer = make(parameters)
    with no_sync(), knobs.using(promote="raise" if dtype == np.float32 else "allow"):
        for _ in range(2):
            optimizer.minimize(loss_of(parameters), max_norm=1.0)
    assert {p.dtype for p in parameters} == {np.dtype(dtype)}
    assert {m.dtype for moments in optimizer.state_dict()["moments"].values() for m in moments} <= {np.dtype(dtype)}


def test_nan_enters_its_own_element_only() -> None:
    (parameter,) = leaves((3,))
    parameter.grad = tg.tensor(np.array([1.0, np.nan, 1.0], np.float32))
    optim.Adam([parameter]).step()
    np.testing.assert_array_equal(np.isnan(parameter.numpy()), [False, True, False])


def test_rmsprop_of_a_constant_gradient_stays_finite() -> None:
    """The variance of a gradient that stays the same is 0, which rounding may turn negative (PyTorch: NaN)."""
    parameters = leaves((1000,))
    optimizer = optim.RMSprop(parameters, alpha=0.5, centered=True, lr=1e-9)
    parameters[0].grad = tg.tensor(np.random.default_rng(0).normal(size=1000).astype(np.float32))
    for _ in range(60):
        optimizer.step()
    assert np.isfinite(parameters[0].numpy()).all()


def test_moments_do_not_stay_subnormal() -> None:
    """A gradient of 0 for 2,000 steps: the mean gradient decays to 0 itself."""
    (parameter,) = leaves((4,))
    optimizer = optim.Adam([parameter])
    parameter.grad = tg.ones_like(parameter)
    optimizer.step()
    parameter.grad = tg.zeros_like(parameter)
    smallest = np.finfo(np.float32).smallest_normal
    for step in range(2000):
        optimizer.step()
        if step % 50 == 0:
            mean = tg.Tensor(optimizer.state_dict()["moments"]["mean"][0]).numpy()
            assert ((mean == 0) | (mean >= smallest)).all()
    assert (mean == 0).all()


def test_rates() -> None:
    """A schedule is called with the number of steps taken; a number can be changed at any time."""
    (parameter,) = leaves((1,), dtype=np.float64)
    moved = []
    optimizer = optim.SGD([parameter], lr=lambda step: float(step + 1))
    for _ in range(5):
        if optimizer.steps == 3:
            optimizer.lr = 0.5
        before = parameter.item()
        optimizer.minimize(parameter.sum())
        moved.append(before - parameter.item())
    np.testing.assert_allclose(moved, [1, 2, 3, 0.5, 0.5], rtol=1e-14)


def test_minimize_clips() -> None:
    """As clip_grad_norm_ between backward and step; the norm before is returned."""
    found, norms = [], []
    for through in ("minimize", "step"):
        parameters = leaves((3, 2), (4,))
        optimizer = optim.SGD(parameters, lr=1.0, momentum=0.5)
        for _ in range(3):
            if through == "minimize":
                norm = optimizer.minimize(loss_of(parameters), max_norm=0.25)
            else:
                optimizer.zero_grad()
                loss_of(parameters).backward()
                norm = optim.clip_grad_norm_(parameters, 0.25)
                optimizer.step()
            norms.append(norm.item())
        found.append(values(parameters))
    assert_same_bits(*found)
    assert norms[:3] == norms[3:]
    assert norms[0] > 0.25


def test_values_given_from_outside_are_taken_over() -> None:
    """load_state_dict or assign between two steps: the next step starts from the new values."""
    parameters, twins = leaves((3,), (2,)), leaves((3,), (2,))
    optimizer, twin = (optim.SGD(p, lr=0.1, momentum=0.9) for p in (parameters, twins))
    optimizer.minimize(loss_of(parameters))
    twin.minimize(loss_of(twins))
    parameters[1].assign(tg.ones_like(parameters[1]))
    optimizer.minimize(loss_of(parameters))
    velocity = 0.9 * twin.state_dict()["moments"]["velocity"][0][3:] + 2 * np.sin(1.0) * np.cos(1.0)
    expected = 1.0 - 0.1 * tg.Tensor(velocity).numpy()
    np.testing.assert_allclose(parameters[1].numpy(), expected, rtol=1e-6)  # float32


# --- what is refused ---------------------------------------------------------------------------------------------


def test_refused_parameters() -> None:
    a, b = leaves((3,), (2,))
    with pytest.raises(ValueError, match="at least one"):
        optim.SGD([])
    with pytest.raises(ValueError, match="twice"):
        optim.SGD([a, b, a])
    with pytest.raises(ValueError, match="leaf"):
        optim.SGD([a * 2.0])
    with pytest.raises(ValueError, match="floating"):
        optim.SGD([tg.tensor([1, 2])])
    with pytest.raises(TypeError, match="ndarray"):
        optim.SGD([a.numpy()])
    with pytest.raises(ValueError, match=r"float32.*float64.*\.astype"):
        optim.SGD([a, tg.zeros(3, dtype=np.float64)])
    with pytest.raises(ValueError, match="lazy"):
        optim.SGD([a], lazy=[b])


@pytest.mark.host
def test_refused_devices() -> None:
    here = tg.zeros(3, requires_grad=True)
    there = tg.zeros(3, requires_grad=True, device="double")
    with pytest.raises(ValueError, match=r"cpu.*double.*\.to"):
        optim.Adam([here, there])


@pytest.mark.host
@pytest.mark.parametrize("make", [optim.Adam, optim.SGD])
def test_a_module_moved_after_the_first_step(make: Any) -> None:
    """Before the first step a module may move; later its moments must follow, which the message says how."""
    layer, twin = (tg.nn.Linear(3, 2, rng=tg.random.Generator(0)) for _ in range(2))
    optimizer, staying = make(layer.parameters(), lr=0.1), make(twin.parameters(), lr=0.1)
    layer.to("double")
    optimizer.minimize(loss_of(list(layer.parameters())))
    staying.minimize(loss_of(list(twin.parameters())))
    layer.to("cpu")
    if make is optim.Adam:
        with pytest.raises(ValueError, match=r"moved to cpu .* on double; .*load_state_dict\(optimizer.state_dict"):
            optimizer.minimize(loss_of(list(layer.parameters())))
        optimizer.load_state_dict(optimizer.state_dict())
    optimizer.minimize(loss_of(list(layer.parameters())))
    staying.minimize(loss_of(list(twin.parameters())))
    assert_same_bits(values(list(layer.parameters())), values(list(twin.parameters())))


def test_a_module_converted_after_the_first_step() -> None:
    layer = tg.nn.Linear(3, 2, rng=tg.random.Generator(0))
    optimizer = optim.Adam(layer.parameters())
    optimizer.minimize(loss_of(list(layer.parameters())))
    layer.astype(np.float64)
    with pytest.raises(ValueError, match=r"became float64 .* float32; make a new optimiser"):
        optimizer.minimize(loss_of(list(layer.parameters())))


def test_refused_losses_and_gradients() -> None:
    a, b = leaves((3,), (2,))
    optimizer = optim.SGD([a])
    with pytest.raises(ValueError, match="none of the parameters"):
        optimizer.minimize(b.sum())
    with pytest.raises(ValueError, match="scalar"):
        optimizer.minimize(a * 2.0)
    with pytest.raises(ValueError, match="does not require"):
        optimizer.minimize(tg.ones(()))
    a.grad = tg.ones(2)
    with pytest.raises(ValueError, match=r"float32\[3\].*float32\[2\]"):
        optimizer.step()
    a.grad = tg.ones(3, dtype=np.float64)
    with pytest.raises(ValueError, match=r"float32\[3\].*float64\[3\]"):
        optimizer.step()


@pytest.mark.host
@pytest.mark.parametrize(
    ("make", "options"),
    [
        *[(make, {"lr": -0.1}) for make in (optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad)],
        *[(make, {"weight_decay": -1.0}) for make in (optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop)],
        (optim.SGD, {"lr": float("nan")}),
        (optim.SGD, {"momentum": -0.1}),
        (optim.SGD, {"nesterov": True}),
        (optim.SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
        (optim.Adam, {"betas": (1.0, 0.9)}),
        (optim.Adam, {"betas": (0.9, -0.1)}),
        (optim.AdamW, {"eps": -1e-8}),
        (optim.RMSprop, {"alpha": -0.5}),
        (optim.RMSprop, {"momentum": float("inf")}),
        (optim.Adagrad, {"lr_decay": -0.5}),
        (optim.Adagrad, {"initial_accumulator_value": -0.5}),
    ],
)
def test_refused_settings(make: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=make.__name__):
        make([tg.zeros(3, requires_grad=True)], **options)


# --- saving ------------------------------------------------------------------------------------------------------


@every_optimizer
@settings(max_examples=15)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=8), st.integers(0, 8), st.booleans())
def test_resuming_gives_the_same_bits(make: Any, device: str, uses: list[int], stop: int, scheduled: bool) -> None:
    """``uses``: at each step, which of three parameters the loss depends on."""
    stop, lr = min(stop, len(uses)), {"lr": optim.cosine(0.1, 9)} if scheduled else {}

    def train(parameters: list[tg.Tensor], optimizer: optim.Optimizer, some: list[int]) -> None:
        for number in some:
            optimizer.minimize(loss_of(parameters, [bool(number >> bit & 1) for bit in range(3)]))

    with tg.device(device):
        whole = leaves((3,), (2, 2), ())
        train(whole, make(whole, **lr), uses)

        first = leaves((3,), (2, 2), ())
        optimizer = make(first, **lr)
        train(first, optimizer, uses[:stop])
        state, saved = optimizer.state_dict(), values(first)
        train(first, optimizer, uses[stop:])  # the state is a copy: going on does not change it
        second = [tg.tensor(value, requires_grad=True) for value in saved]
        optimizer = make(second, **lr)
        optimizer.load_state_dict(copy.deepcopy(state) if device == "cpu" else state)
        train(second, optimizer, uses[stop:])
        assert_same_bits(values(second), values(whole))


def test_going_back() -> None:
    """An optimiser that has gone on takes an earlier state, twice the same one: loading copies and forgets all."""
    parameters, ends = leaves((3,), (2, 2)), []
    optimizer = optim.Adam(parameters, lr=0.1)
    for used in ([True, True], [False, True], [False, True]):  # the counts differ: 1 and 3
        optimizer.minimize(loss_of(parameters, used))
    state, saved = optimizer.state_dict(), values(parameters)
    for _ in range(3):
        for _ in range(3):
            optimizer.minimize(loss_of(parameters))
        ends.append(values(parameters))
        optimizer = optim.Adam(parameters, lr=0.1)  # the counts of this one are equal
        optimizer.minimize(loss_of(parameters))
        optimizer.load_state_dict(state)
        for parameter, value in zip(parameters, saved, strict=True):
            parameter.assign(tg.tensor(value))
    assert_same_bits(ends[1], ends[0])
    assert_same_bits(ends[2], ends[0])


def test_a_state_survives_a_file(tmp_path: Any) -> None:
    parameters = leaves((3,), (2, 2))
    optimizer = optim.Adam(parameters)
    optimizer.minimize(loss_of(parameters))
    tg.save(tmp_path / "state.npz", optimizer.state_dict())
    twins = [tg.tensor(value, requires_grad=True) for value in values(parameters)]
    twin = optim.Adam(twins)
    twin.load_state_dict(tg.load(tmp_path / "state.npz"))
    optimizer.minimize(loss_of(parameters))
    twin.minimize(loss_of(twins))
    assert_same_bits(values(twins), values(parameters))


def stepped(make: Any, *shapes: tuple[int, ...], dtype: Any = np.float32, **options: Any) -> optim.Optimizer:
    parameters = leaves(*shapes, dtype=dtype)
    optimizer: optim.Optimizer = make(parameters, **options)
    optimizer.minimize(loss_of(parameters))
    return optimizer


FOREIGN: dict[str, Callable[[], Any]] = {
    "other optimiser": lambda: stepped(optim.AdamW, (3,), (2, 2)).state_dict(),
    "other shapes": lambda: stepped(optim.Adam, (3,), (4,)).state_dict(),
    "other order": lambda: stepped(optim.Adam, (2, 2), (3,)).state_dict(),
    "fewer parameters": lambda: stepped(optim.Adam, (3,)).state_dict(),
    "other dtype": lambda: stepped(optim.Adam, (3,), (2, 2), dtype=np.float64).state_dict(),
    "a schedule": lambda: stepped(optim.Adam, (3,), (2, 2), lr=optim.linear(1.0, 0.0, 9)).state_dict(),
    "a module's": lambda: tg.nn.Linear(3, 2, rng=tg.random.Generator(0)).state_dict(),
    "nothing": dict,
    "a list": list,
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_states(name: str) -> None:
    optimizer = stepped(optim.Adam, (3,), (2, 2))
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match="load_state_dict of Adam"):
        optimizer.load_state_dict(FOREIGN[name]())
    assert repr(optimizer.state_dict()) == repr(before)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lr", -1.0), ("lr", float("nan")), ("lr", "0.1"), ("lr", None), ("lr", True),
        ("steps", -1), ("steps", 0), ("steps", 1.0), ("steps", True), ("steps", None),
        ("updates", [1]), ("updates", [1, 2]), ("updates", [1, -1]), ("updates", [1, 1.0]), ("updates", 1),
        ("moments", {}), ("moments", None), ("moments", {"mean": [], "square": []}),
        ("moments", {"mean": 1, "square": 2}),
        ("moments", {"mean": [np.zeros(7, np.float32)]}),
        ("moments", {"mean": [np.zeros(7, np.float32)], "square": [np.zeros(6, np.float32)]}),
        ("moments", {"mean": [np.zeros(7, np.float32)], "square": [np.zeros(7, np.int32)]}),
        ("lazy", [0]), ("shapes", None), ("dtype", 3),
    ],
)  # fmt: skip
def test_damaged_states(key: str, value: Any) -> None:
    """One wrong entry is refused by its name, and nothing is changed."""
    optimizer = stepped(optim.Adam, (3,), (2, 2))
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match=rf"Adam: .*{key}|Adam: .*moment"):
        optimizer.load_state_dict({**before, key: value})
    assert repr(optimizer.state_dict()) == repr(before)
    with pytest.raises(ValueError, match="entries"):
        optimizer.load_state_dict({name: entry for name, entry in before.items() if name != key})
