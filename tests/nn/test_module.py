"""Modules: what is found inside, in which order; modes; saving and loading; freezing."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import numpy as np
import pytest
from network_cases import NETWORKS, Network, outputs

import tinygen as tg
from tinygen import nn, random
from tinygen.backend import to_host
from tinygen.random import Generator


class Tied(nn.Module):
    """A parameter and a module that are each used in two places."""

    def __init__(self, rng: Generator) -> None:
        self.first = nn.Linear(3, 3, rng=rng)
        self.second = nn.Linear(3, 3, rng=rng)
        self.second.weight = self.first.weight
        self.again = self.first
        self.scale = nn.Parameter(tg.ones(3))
        self.count = nn.Buffer(tg.zeros(()))

    def forward(self, x: Any) -> tg.Tensor:
        return self.second(self.first(x)) * self.scale


def network(rng: Generator) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 5, rng=rng), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.5, rng=rng))


def test_names_come_in_the_order_in_which_they_were_set_own_ones_first(device: str) -> None:
    module = Tied(Generator(0))
    assert [name for name, _ in module.named_parameters()] == ["scale", "first.weight", "first.bias", "second.bias"]
    assert [name for name, _ in module.named_buffers()] == ["count"]
    assert list(module.state_dict()) == [
        "scale", "count", "first.weight", "first.bias", "second.weight", "second.bias", "again.weight", "again.bias",
    ]  # fmt: skip
    assert [name for name, _ in module.named_modules()] == ["", "first", "second"]


def test_a_shared_parameter_gets_the_sum_of_its_gradients_and_moves_once(device: str) -> None:
    module, x = Tied(Generator(0)), tg.ones((2, 3))
    shared = tg.grad(tg.sum(module(x)), module.first.weight)[0].numpy()
    single = Tied(Generator(0))
    single.second.weight = nn.Parameter(single.first.weight)
    parts = tg.grad(tg.sum(single(x)), [single.first.weight, single.second.weight])
    np.testing.assert_allclose(shared, parts[0].numpy() + parts[1].numpy(), rtol=1e-6)  # float32, other order
    assert module.astype(np.float64).second.weight is module.first.weight


def test_replaced_attributes_replace_parameters(device: str) -> None:
    layer = nn.Linear(2, 3, rng=Generator(0))
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    assert layer(tg.ones((1, 2))).shape == (1, 3)


@pytest.mark.host
@pytest.mark.parametrize("group", [list, tuple, lambda parts: {"a": parts[0]}])
def test_parts_in_a_plain_list_are_refused(group: Any) -> None:
    module = nn.Module()
    with pytest.raises(
        TypeError, match=r"Module\.layers: a Linear inside .* neither trained nor saved; use ModuleList"
    ):
        module.layers = group([nn.Linear(1, 1, rng=Generator(0))])
    with pytest.raises(TypeError, match="a Parameter inside"):
        module.weights = group([nn.Parameter(tg.ones(1))])
    module.sizes = group([3, 4])


@pytest.mark.host
def test_module_list() -> None:
    layers = nn.ModuleList(nn.Linear(n, 1, rng=Generator(0)) for n in range(1, 13))
    layers.append(nn.ReLU())
    assert len(layers) == 13
    assert [layer.in_features for layer in list(layers)[:12]] == list(range(1, 13))
    assert isinstance(layers[-1], nn.ReLU)
    assert "11.weight" in layers.state_dict()
    with pytest.raises(TypeError, match="holds modules only, got a Primitive"):
        layers.append(tg.relu)
    with pytest.raises(TypeError, match="defines no forward"):
        layers(1.0)


@pytest.mark.host
def test_repr_counts_parameters() -> None:
    assert repr(network(Generator(0))) == (
        "Sequential(\n  0: Linear(4, 5) # 25 parameters\n  1: BatchNorm1d(5) # 10 parameters\n  2: ReLU()\n"
        "  3: Dropout(0.5)\n) # 35 parameters"
    )
    assert repr(Tied(Generator(0))).endswith("# 18 parameters")
    for case in NETWORKS:
        assert type(case.module()).__name__ in repr(case.module())


def test_train_and_eval_reach_all_parts(device: str) -> None:
    module = network(Generator(0))
    assert all(not part.training for part in module.eval().modules())
    assert all(part.training for part in module.train().modules())


@pytest.mark.host
def test_no_module_touches_the_default_generator() -> None:
    before = random.default().state
    for case in NETWORKS:
        case.module()(tg.tensor(case.x()))
    assert random.default().state == before


# --- dtypes and devices --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", NETWORKS, ids=repr)
def test_the_dtype_stays(case: Network, dtype: Any, device: str) -> None:
    module = case.module(dtype)
    x = tg.tensor(case.x() if case.indices else case.x().astype(dtype), requires_grad=not case.indices)
    found = list(outputs(module(x)))
    assert all(part.dtype == dtype and part.device == device for part in found)
    inputs = [*module.parameters(), *([] if case.indices else [x])]
    total = sum(tg.sum(tg.square(part)) for part in found)
    slopes = tg.grad(total, inputs, create_graph=True)
    again = tg.grad(sum(tg.sum(tg.square(slope)) for slope in slopes), inputs, allow_unused=True)
    assert {slope.dtype for slope in [*slopes, *again] if slope is not None} == {np.dtype(dtype)}
    assert all(b.dtype in (dtype, np.int64) for _, b in module.named_buffers())


@pytest.mark.parametrize("case", NETWORKS, ids=repr)
def test_a_training_step_does_not_synchronise(case: Network, device: str) -> None:
    from double import no_sync

    module = case.module(np.float32)
    x = tg.tensor(case.x() if case.indices else case.x().astype(np.float32), requires_grad=not case.indices)
    with no_sync():
        total = sum(tg.sum(tg.square(part)) for part in outputs(module(x)))
        tg.grad(total, [*module.parameters(), *([] if case.indices else [x])], release=True)
        module.eval()(x)


@pytest.mark.parametrize("case", [c for c in NETWORKS if not c.indices], ids=repr)
def test_arrays_give_tensors_and_are_not_kept(case: Network, device: str) -> None:
    module, array = case.module(), tg.tensor(case.x())._data
    expected = [part.numpy().copy() for part in outputs(module.eval()(tg.tensor(case.x())))]
    found = list(outputs(module(array)))
    array[...] = 0.0
    for part, want in zip(found, expected, strict=True):
        assert isinstance(part, tg.Tensor)
        np.testing.assert_array_equal(part.numpy(), want)


def test_to_moves_everything_and_keeps_the_tensors(device: str) -> None:
    module = nn.Sequential(network(Generator(0)), nn.MaskedConv2d("B", 1, 1, 3, rng=Generator(1)))
    before, tensors = module.state_dict(), _tensors(module)
    assert module.to("cpu") is module
    assert all(a is b for a, b in zip(tensors, _tensors(module), strict=True))
    assert {tensor.device for tensor in tensors} == {"cpu"}
    module.to(device)
    assert {tensor.device for tensor in tensors} == {device}
    for name, array in module.state_dict().items():
        np.testing.assert_array_equal(to_host(array), to_host(before[name]))


def _tensors(module: nn.Module) -> list[tg.Tensor]:
    return [tensor for _, tensor in [*module.named_parameters(), *module.named_buffers()]]


def test_astype_leaves_integers(device: str) -> None:
    module = network(Generator(0)).astype(np.float64)
    assert module[1].num_batches_tracked.dtype == np.int64
    assert module[1].running_mean.dtype == np.float64
    with pytest.raises(TypeError, match=r"Sequential\.astype: needs a floating dtype, got int64"):
        module.astype(int)


# --- saving and loading --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", NETWORKS, ids=repr)
def test_state_dict_goes_round(case: Network, device: str) -> None:
    full, empty = case.module(), case.build(Generator(99)).astype(np.float64)
    empty.load_state_dict(full.state_dict())
    x = tg.tensor(case.x())
    for a, b in zip(outputs(full.eval()(x)), outputs(empty.eval()(x)), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_state_dict_is_a_copy_and_loading_copies(device: str) -> None:
    layer = nn.Linear(2, 2, rng=Generator(0))
    before = layer.weight.numpy().copy()
    state = layer.state_dict()
    state["weight"][...] = 7.0
    np.testing.assert_array_equal(layer.weight.numpy(), before)
    layer.load_state_dict(state)
    state["weight"][...] = 8.0
    assert (layer.weight.numpy() == 7.0).all()
    layer.load_state_dict({"weight": tg.zeros((2, 2)), "bias": np.ones(2)})
    assert layer.bias.dtype == np.float32
    assert layer.bias.device == device


@pytest.mark.host
def test_loading_reports_everything_at_once_and_then_changes_nothing() -> None:
    module = network(Generator(0))
    before = module.state_dict()
    wrong = {**before, "0.weight": np.zeros((4, 5)), "1.bias": np.zeros(1), "head.weight": np.zeros(2)}
    wrong |= {"1.num_batches_tracked": np.array(1.5), "1.running_var": np.array(["a"] * 5)}
    del wrong["0.bias"], wrong["1.running_mean"]
    problems = (
        "missing: 0.bias (5,)", "missing: 1.running_mean (5,)", "unexpected: head.weight (2,)",
        "shape of 0.weight: (5, 4) here, (4, 5) given", "shape of 1.bias: (5,) here, (1,) given",
        "dtype of 1.running_var: float32 here, <U1 given", "dtype of 1.num_batches_tracked: int64 here, float64 given",
    )  # fmt: skip
    with pytest.raises(ValueError, match=re.escape("load_state_dict of Sequential: " + "; ".join(problems)) + "$"):
        module.load_state_dict(wrong)
    for name, array in module.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.host
def test_strict_false_takes_what_fits_a_name() -> None:
    module = network(Generator(0))
    module.load_state_dict({"0.bias": np.arange(5.0), "other": np.zeros(3)}, strict=False)
    np.testing.assert_array_equal(module[0].bias.numpy(), np.arange(5.0))
    with pytest.raises(ValueError, match=r"shape of 0\.bias"):
        module.load_state_dict({"0.bias": np.zeros(4)}, strict=False)


@pytest.mark.parametrize("case", NETWORKS, ids=repr)
def test_modules_can_be_copied(case: Network, device: str) -> None:
    module = case.module()
    twin, x = copy.deepcopy(module).eval(), tg.tensor(case.x())
    for name, array in twin.state_dict().items():
        np.testing.assert_array_equal(to_host(array), to_host(module.state_dict()[name]))
    for a, b in zip(outputs(module.eval()(x)), outputs(twin(x)), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def noisy(key: int) -> nn.Sequential:
    """A network with all that a step changes: noise, running statistics, vectors of spectral normalisation."""
    rng = Generator(key)
    return nn.Sequential(
        nn.spectral_norm(nn.Linear(4, 6, rng=rng), rng=rng), nn.BatchNorm1d(6), nn.Dropout(0.3, rng=rng),
        nn.Sequential(nn.Dropout(0.3, rng=rng), nn.Linear(6, 1, rng=rng)),
    )  # fmt: skip


@pytest.mark.parametrize("stop_after_forward", [False, True])
def test_resuming_gives_the_same_bits(stop_after_forward: bool, device: str) -> None:
    """``state_dict`` and ``extra_state`` are all there is, also when a forward without a step came last."""

    def step(module: nn.Sequential, update: bool) -> np.ndarray:
        y = module(tg.tensor(np.linspace(-1.0, 1.0, 20, dtype=np.float32).reshape(5, 4)))
        if update:
            slopes = tg.grad(tg.sum(tg.square(y)), module.parameters())
            for parameter, slope in zip(module.parameters(), slopes, strict=True):
                parameter.assign((parameter.detach() - 0.1 * slope)._data)
        return y.numpy()

    unbroken = noisy(0)
    step(unbroken, True)
    step(unbroken, not stop_after_forward)
    state, extra = unbroken.state_dict(), json.loads(json.dumps(unbroken.extra_state()))
    resumed = noisy(1)
    resumed.load_state_dict(state)
    resumed.load_extra_state(extra)
    for _ in range(3):
        np.testing.assert_array_equal(step(resumed, True), step(unbroken, True))
    for name, array in unbroken.state_dict().items():
        np.testing.assert_array_equal(to_host(resumed.state_dict()[name]), to_host(array))


@pytest.mark.host
def test_extra_state_of_another_network_is_refused() -> None:
    module = noisy(0)
    extra = module.extra_state()
    assert set(extra) == {"0", "2", "3.0"}
    extra["9"] = extra.pop("2")
    with pytest.raises(ValueError, match="load_extra_state of Sequential: missing: 2; unexpected: 9"):
        module.load_extra_state(extra)


# --- evaluating ----------------------------------------------------------------------------------------------------


def test_evaluating_gives_each_part_its_mode_back(device: str) -> None:
    """A part that was frozen in evaluation mode stays there; an error changes nothing."""
    network = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5)))
    network[1].eval()
    before = [part.training for part in network.modules()]
    mean = network[0].running_mean.numpy()
    with nn.evaluating(network, network[2]):
        assert not any(part.training for part in network.modules())
        with nn.evaluating(network):
            one, two = network(tg.ones((3, 2))).numpy(), network(tg.ones((3, 2))).numpy()
        assert not any(part.training for part in network.modules())
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(network[0].running_mean.numpy(), mean)
    assert [part.training for part in network.modules()] == before == [True, True, False, True, True]
    with pytest.raises(RuntimeError, match="stop"), nn.evaluating(network):
        raise RuntimeError("stop")
    assert [part.training for part in network.modules()] == before


# --- frozen --------------------------------------------------------------------------------------------------------


def test_frozen_passes_gradients_through_and_moves_nothing(device: str) -> None:
    critic = noisy(0)
    critic(tg.ones((4, 4)))
    critic[0].weight_orig.assign(critic[0].weight_orig.detach() * 1.5)  # the vectors would follow at the next forward
    before = {name: to_host(array) for name, array in critic.state_dict().items()}
    x = tg.tensor(np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32), requires_grad=True)
    with nn.frozen(critic):
        assert critic.training
        y = critic(x)
        with nn.frozen(critic, critic[1]):
            critic(x)
        critic(x)  # the inner block has not thawed what the outer one froze
    tg.sum(y).backward()
    assert x.grad is not None
    assert all(parameter.grad is None for parameter in critic.parameters())
    for name, array in critic.state_dict().items():
        np.testing.assert_array_equal(to_host(array), before[name])
    critic(x)
    moved = {name for name, array in critic.state_dict().items() if not np.array_equal(to_host(array), before[name])}
    assert moved == {"0.weight_u", "0.weight_v", "1.running_mean", "1.running_var", "1.num_batches_tracked"}


def test_frozen_keeps_what_did_not_train_and_thaws_after_errors(device: str) -> None:
    layer = nn.Linear(2, 2, rng=Generator(0))
    layer.bias.requires_grad = False
    with pytest.raises(RuntimeError, match="stop"), nn.frozen(layer):  # noqa: PT012
        assert not layer.weight.requires_grad
        raise RuntimeError("stop")
    assert layer.weight.requires_grad
    assert not layer.bias.requires_grad
    assert not layer.is_frozen


# --- wrong use -----------------------------------------------------------------------------------------------------


@pytest.mark.host
@pytest.mark.parametrize(
    ("build", "shape", "message"),
    [
        (lambda r: nn.Linear(3, 2, rng=r), (4, 5), r"linear: x \(4, 5\) needs a weight \(out, 5\), got \(2, 3\)"),
        (lambda r: nn.Conv2d(3, 2, 3, rng=r), (1, 4, 5, 5), "conv2d: x has 4 channels, the weight .* needs 3"),
        (lambda r: nn.Conv2d(3, 2, 3, rng=r), (4, 5, 5), "conv2d: needs 4 axes"),
        (lambda r: nn.ConvTranspose1d(3, 2, 3, rng=r), (1, 2, 5), "conv_transpose1d: x has 2 channels"),
        (lambda r: nn.BatchNorm2d(3), (4, 2, 5, 5), r"BatchNorm2d\(3\): x must be \(N, C, H, W\), got \(4, 2, 5, 5\)"),
        (lambda r: nn.BatchNorm1d(3), (4, 3, 5, 5), r"BatchNorm1d\(3\): x must be \(N, C\) or \(N, C, L\)"),
        (lambda r: nn.BatchNorm1d(3), (1, 3), r"needs two values a channel, got x \(1, 3\); use a larger batch"),
        (lambda r: nn.InstanceNorm2d(3), (1, 3, 1, 1), "needs two pixels"),
        (
            lambda r: nn.LayerNorm((4, 5)),
            (2, 5, 4),
            r"LayerNorm\(\(4, 5\)\): x must end in these axes, got \(2, 5, 4\)",
        ),
        (lambda r: nn.LSTM(3, 2, rng=r), (5, 2, 4), r"LSTM: input_size is 3, got x of shape \(5, 2, 4\)"),
        (lambda r: nn.LSTM(3, 2, rng=r), (5, 3), r"LSTM: x must be \(T, N, input\)"),
        (lambda r: nn.RNN(3, 2, batch_first=True, rng=r), (5, 3), r"RNN: x must be \(N, T, input\)"),
        (lambda r: nn.Unflatten(1, (2, 2)), (3, 5), r"Unflatten: axis 1 of x of shape \(3, 5\) does not make \(2, 2\)"),
        (lambda r: nn.Flatten(), (), "Flatten: x of shape .* has no axis 1"),
        (lambda r: nn.CausalConv1d(3, 2, 3, rng=r), (3, 5), r"CausalConv1d: x must have shape \(N, C, L\)"),
        (lambda r: nn.MaxPool2d(2), (3, 4), "max_pool2d: x must have 4 axes"),
    ],
)
def test_wrong_shapes_are_refused(build: Any, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(Generator(0))(tg.zeros(shape))


@pytest.mark.host
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda r: nn.Conv2d(3, 4, 3, groups=2, rng=r), "Conv2d: groups=2 must divide 3 input and 4 output channels"),
        (lambda r: nn.Conv2d(3, 4, (3, 3, 3), rng=r), "Conv2d: kernel_size must be one number or 2"),
        (lambda r: nn.Dropout(1.5, rng=r), "Dropout: p must be a probability, got 1.5"),
        (lambda r: nn.RNN(2, 2, nonlinearity="elu", rng=r), "RNN: unknown nonlinearity 'elu'"),
        (lambda r: nn.LSTM(2, 2, num_layers=0, rng=r), "LSTM: needs num_layers ≥ 1"),
        (lambda r: nn.MaskedConv2d("C", 1, 1, 3, rng=r), "mask_type must be 'A' or 'B', got 'C'"),
        (lambda r: nn.MaskedConv2d("A", 1, 1, 4, rng=r), "sides of the kernel must be odd, got 4"),
        (lambda r: nn.MaskedConv2d("A", 3, 4, 3, colours=3, rng=r), "3 colours must divide 3 and 4 channels"),
        (lambda r: nn.MaskedLinear(np.full((2, 2), 0.5), rng=r), "mask must be zeros and ones"),
        (lambda r: nn.spectral_norm(nn.ReLU(), rng=r), "spectral_norm: ReLU has no parameter 'weight'"),
        (lambda r: nn.spectral_norm(nn.Linear(2, 2, rng=r), "bias", rng=r), "has no parameter 'bias' with two axes"),
    ],
)
def test_wrong_settings_are_refused(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(Generator(0))
