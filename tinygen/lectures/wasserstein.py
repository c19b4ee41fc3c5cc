"""Chapter 5, first part. Wasserstein critics: their game, its training, and the penalties on their gradients.

Bounds of a critic's norm stand in ``wasserstein_norms``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen.lectures.claim import ALG, EXACT, LIN, Check, Claim, at_least, holds, same
from tinygen.lectures.numerics import assignment
from tinygen.testing.strategies import arrays, floats, sizes, vectors

Array = np.ndarray


def distances(x: Array, y: Array) -> Array:
    """‖x_i − y_j‖ of points (n, d) and (m, d)."""
    return np.asarray(np.sqrt(((x[:, None] - y) ** 2).sum(axis=-1)))


def score_difference(scores_real: tg.Tensor, scores_fake: tg.Tensor) -> tg.Tensor:
    """Mean f(x_i) − mean f(G(z_i)): what the critic raises and the generator lowers."""
    return tg.mean(scores_real) - tg.mean(scores_fake)


# --- WGAN-1 ------------------------------------------------------------------------------------------------------

WGAN_1 = Claim(
    "WGAN-1",
    "Critic game",
    r"\min_G\max_{\|f\|_L\le1}\big[\tfrac1n\sum f(x_i)-\tfrac1n\sum f(G(z_i))\big],\qquad\text{inner value }W_1",
    sources="003 000",
    assumptions="f is 1-Lipschitz",
)


class Samples(NamedTuple):
    """As many real as fake points (n, d), and free values (2n,) from which critics are made."""

    real: Array
    fake: Array
    values: Array


@st.composite
def samples(draw: st.DrawFn) -> Samples:
    n, d = draw(sizes(1, 4)), draw(sizes(1, 3))
    return Samples(draw(arrays((n, d), -3, 3)), draw(arrays((n, d), -3, 3)), draw(arrays(2 * n, -10, 10)))


def lipschitz_part(values: tg.Tensor, distance: tg.Tensor) -> tg.Tensor:
    """The largest 1-Lipschitz function below the given values: f(x_i) = min_j v_j + ‖x_i − x_j‖."""
    return tg.min(values + distance, axis=1)


@WGAN_1.part(given=samples(), constant=floats(-5, 5))
def bounded_by_transport(given: Samples, constant: float, *, admitted: Any = lipschitz_part) -> Iterator[Check]:
    """No admitted critic scores higher than W₁, found by trying all pairings; a constant added changes nothing."""
    points = np.concatenate([given.real, given.fake])
    f = admitted(tg.tensor(given.values), tg.tensor(distances(points, points)))
    n = len(given.real)
    reached = score_difference(f[:n], f[n:])
    yield at_least("value ≤ W₁", assignment(distances(given.real, given.fake)), reached, ALG)
    yield same("a constant is free", score_difference(f[:n] + constant, f[n:] + constant), reached, ALG)
    yield same("linear in f", score_difference(2.0 * f[:n], 2.0 * f[n:]), 2.0 * reached, ALG)


@bounded_by_transport.erratum(
    "E-26",
    "without a constraint the inner maximum is infinite",
    printed=r"\max_f\big[\textstyle\sum f(x_i)-\sum f(G(z_i))\big]",
)
def any_values(values: tg.Tensor, distance: tg.Tensor) -> tg.Tensor:
    return values


def critic_on_line(gaps: tg.Tensor, ahead: tg.Tensor) -> tg.Tensor:
    """f at rising places: slope −sign(F_p − F_q) between neighbours."""
    return tg.concatenate([tg.zeros(1), tg.cumsum(-tg.sign(ahead) * gaps)])


@WGAN_1.part(real=arrays(4, -3, 3), fake=arrays(4, -3, 3))
def attained_on_a_line(real: Array, fake: Array, *, critic: Any = critic_on_line) -> Iterator[Check]:
    """On a line a critic with slopes ±1 attains W₁ of two samples, found by trying all pairings."""
    pooled = np.concatenate([real, fake])
    order = np.argsort(pooled)
    excess = np.where(order < 4, 1, -1)  # in fourths, so that it adds up exactly
    places = pooled[order]
    f = critic(tg.tensor(np.diff(places)), tg.tensor(np.cumsum(excess)[:-1].astype(float)))
    reached = tg.sum(tg.tensor(excess.astype(float)) * f) / 4.0
    yield same("value = W₁", reached, assignment(distances(real[:, None], fake[:, None])), ALG)
    yield at_least("1-Lipschitz", np.diff(places), tg.abs(f[1:] - f[:-1]), ALG)


@attained_on_a_line.falsification("high scores for fakes")
def reversed_critic(gaps: tg.Tensor, ahead: tg.Tensor) -> tg.Tensor:
    return -critic_on_line(gaps, ahead)


# --- WGAN-2 ------------------------------------------------------------------------------------------------------

WGAN_2 = Claim(
    "WGAN-2",
    "Losses",
    r"L_D=-\mathbb E_pD(x)+\mathbb E_qD(x)+\text{penalty},\qquad L_G=-\mathbb E_qD(x)",
    sources="000",
)


def critic_losses(real: tg.Tensor, fake: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    """(L_D, L_G) of scores, without penalty."""
    return tg.mean(fake) - tg.mean(real), -tg.mean(fake)


@WGAN_2.part(scores=vectors(4, -800, 800))
def constant_slope(scores: Array, *, losses: Any = critic_losses) -> Iterator[Check]:
    """The generator's slope (autodiff) is −1 a score, divided by their number, however low the scores are."""
    s = tg.tensor(scores, requires_grad=True)
    _, loss_g = losses(tg.zeros(4), s)
    yield same("∂L_G/∂s", tg.grad(loss_g, s)[0], -0.25, EXACT)


@constant_slope.falsification("the saturating loss of a sigmoid")
def saturating_loss(real: tg.Tensor, fake: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    return tg.mean(fake) - tg.mean(real), tg.mean(tg.log_sigmoid(-fake))


@WGAN_2.part(real=arrays((3, 2), -2, 2), shift=vectors(2, -2, 2))
def translated(real: Array, shift: Array, *, losses: Any = critic_losses) -> Iterator[Check]:
    """For fakes that are shifted reals, the linear critic along the shift gives −L_D = W₁, found by all pairings."""
    length = np.linalg.norm(shift)
    direction = shift / length if length > 0.0 else np.array([1.0, 0.0])
    fake = real - shift
    loss_d, _ = losses(
        tg.matmul(tg.tensor(real), tg.tensor(direction)), tg.matmul(tg.tensor(fake), tg.tensor(direction))
    )
    yield same("−L_D = W₁", -loss_d, assignment(distances(real, fake)), ALG)


@translated.falsification("low scores for reals")
def exchanged_losses(real: tg.Tensor, fake: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    return critic_losses(fake, real)


# --- critics with one hidden layer, and their derivatives by hand ------------------------------------------------


class Activation(NamedTuple):
    """A function of the engine, its slope and its curvature by hand, and its Lipschitz constant."""

    function: Callable[..., Any]
    slope: Callable[[Array], Array]
    curvature: Callable[[Array], Array]
    lipschitz: float


def logistic(h: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-h)))


ACTIVATIONS = {
    "tanh": Activation(
        tg.tanh, lambda h: 1.0 - np.tanh(h) ** 2, lambda h: -2.0 * np.tanh(h) * (1.0 - np.tanh(h) ** 2), 1.0
    ),
    "softplus": Activation(tg.softplus, logistic, lambda h: logistic(h) * (1.0 - logistic(h)), 1.0),
    "leaky_relu": Activation(
        lambda h: tg.leaky_relu(h, 0.2), lambda h: np.where(h > 0.0, 1.0, 0.2), lambda h: np.zeros_like(h), 1.0
    ),
    "sigmoid": Activation(
        tg.sigmoid,
        lambda h: logistic(h) * (1.0 - logistic(h)),
        lambda h: logistic(h) * (1.0 - logistic(h)) * (1.0 - 2.0 * logistic(h)),
        0.25,
    ),
}


class Critic(NamedTuple):
    """D(x) = aᵀ φ(W x + b), and points (n, d) to look at it."""

    weight: Array
    bias: Array
    head: Array
    activation: str
    points: Array

    def tensors(self) -> list[tg.Tensor]:
        """W, b, a as parameters."""
        return [tg.tensor(value, requires_grad=True) for value in (self.weight, self.bias, self.head)]

    def scores(self, parameters: list[tg.Tensor], x: tg.Tensor) -> tg.Tensor:
        weight, bias, head = parameters
        return tg.matmul(ACTIVATIONS[self.activation].function(tg.linear(x, weight, bias)), head)

    def input_gradients(self) -> Array:
        """∇_x D = Wᵀ (a ⊙ φ′(h)) at each point, by hand."""
        h = self.points @ self.weight.T + self.bias
        return np.asarray((self.head * ACTIVATIONS[self.activation].slope(h)) @ self.weight)

    def pulled_back(self, cotangents: Array) -> list[Array]:
        """The gradient in W, b, a of Σ_i ⟨c_i, ∇_x D(x_i)⟩ for constant c (n, d), by hand: the second order."""
        act = ACTIVATIONS[self.activation]
        h = self.points @ self.weight.T + self.bias
        along = cotangents @ self.weight.T  # W c
        of_bias = self.head * act.curvature(h) * along
        of_weight = (self.head * act.slope(h)).T @ cotangents + of_bias.T @ self.points
        return [of_weight, of_bias.sum(axis=0), (act.slope(h) * along).sum(axis=0)]


@st.composite
def critics(draw: st.DrawFn) -> Critic:
    n, d, width = draw(sizes(1, 3)), draw(sizes(1, 8)), draw(sizes(1, 4))
    shapes = ((width, d), (width,), (width,))
    weight, bias, head = (draw(arrays(shape, -1.5, 1.5)) for shape in shapes)
    return Critic(weight, bias, head, draw(st.sampled_from(sorted(ACTIVATIONS))), draw(arrays((n, d), -2, 2)))


def recorded_gradient(scores: tg.Tensor, x: tg.Tensor) -> tg.Tensor:
    """∇_x D of each row, itself recorded: it can be differentiated in the parameters."""
    (found,) = tg.grad(tg.sum(scores), x, create_graph=True)
    return found  # type: ignore[no-any-return]


def unrecorded_gradient(scores: tg.Tensor, x: tg.Tensor) -> tg.Tensor:
    """The same numbers with no way back to the parameters."""
    found = recorded_gradient(scores, x)
    return found.detach() + 0.0 * found


# --- WGAN-3 ------------------------------------------------------------------------------------------------------

WGAN_3 = Claim(
    "WGAN-3",
    "Gradient penalty",
    r"\lambda\,\mathbb E_{\hat x}(\|\nabla_{\hat x}D(\hat x)\|_2-1)^2,\qquad\hat x=\epsilon x+(1-\epsilon)G(z)",
    sources="000",
    assumptions="second derivatives; the norm is taken as √(Σg² + 1e-12), smooth at 0",
)


def smooth_norm(g: tg.Tensor) -> tg.Tensor:
    """√(Σ g² + 1e-12) of each row."""
    return tg.sqrt(tg.sum(g * g, axis=-1) + 1e-12)


def unit_norm_penalty(g: tg.Tensor) -> tg.Tensor:
    """Mean (‖g‖ − 1)² over rows."""
    return tg.mean((smooth_norm(g) - 1.0) ** 2)


@WGAN_3.part(critic=critics())
def second_order(
    critic: Critic, *, penalty: Any = unit_norm_penalty, gradient: Any = recorded_gradient
) -> Iterator[Check]:
    """The penalty's gradient in W, b, a of a critic, through two derivatives of the engine, equals one by hand."""
    parameters, x = critic.tensors(), tg.tensor(critic.points, requires_grad=True)
    g = gradient(critic.scores(parameters, x), x)
    by_hand = critic.input_gradients()
    yield same("∇_x D", g, by_hand, ALG)
    norms = np.sqrt((by_hand**2).sum(axis=1, keepdims=True) + 1e-12)
    expected = critic.pulled_back(2.0 * (norms - 1.0) * by_hand / norms / len(norms))
    found = tg.grad(penalty(g), parameters, allow_unused=True)
    for name, slope, value in zip("Wba", found, expected, strict=True):
        slope = 0.0 if slope is None else slope  # a critic piecewise linear in x has no slope in b
        yield same(f"∂P/∂{name}", slope, value, LIN)  # directions g/‖g‖ of tiny g are ill-conditioned


@second_order.falsification("the inner gradient not recorded", replaces="gradient")
def first_order_only(scores: tg.Tensor, x: tg.Tensor) -> tg.Tensor:
    return unrecorded_gradient(scores, x)


@second_order.falsification("squared norm against 1", replaces="penalty")
def squared_norm_penalty(g: tg.Tensor) -> tg.Tensor:
    return tg.mean((tg.sum(g * g, axis=-1) - 1.0) ** 2)


def between(epsilon: tg.Tensor, real: tg.Tensor, fake: tg.Tensor) -> tg.Tensor:
    """x̂ = ε x + (1 − ε) x̃, an ε (n,) for each row."""
    return epsilon[:, None] * real + (1.0 - epsilon[:, None]) * fake


@WGAN_3.part(real=arrays((3, 2), -3, 3), fake=arrays((3, 2), -3, 3), epsilon=vectors(3, 0, 1))
def sampling_points(real: Array, fake: Array, epsilon: Array, *, points: Any = between) -> Iterator[Check]:
    """Each x̂ lies on the segment of its own pair, at the share ε of the way from fake to real."""
    found = points(tg.tensor(epsilon), tg.tensor(real), tg.tensor(fake)).numpy()
    length = np.linalg.norm(real - fake, axis=1)
    yield same("‖x̂ − x̃‖ = ε ‖x − x̃‖", np.linalg.norm(found - fake, axis=1), epsilon * length, ALG)
    yield same("‖x̂ − x‖ = (1 − ε) ‖x − x̃‖", np.linalg.norm(found - real, axis=1), (1.0 - epsilon) * length, ALG)


@sampling_points.falsification("one ε for the whole batch")
def one_epsilon(epsilon: tg.Tensor, real: tg.Tensor, fake: tg.Tensor) -> tg.Tensor:
    return epsilon[0] * real + (1.0 - epsilon[0]) * fake


def linear_minimiser(difference: Array, strength: float) -> Array:
    """w along Δ with ‖w‖ = 1 + ‖Δ‖/2λ."""
    length = np.linalg.norm(difference)
    return np.asarray(difference / length * (1.0 + length / (2.0 * strength)))


def offset_norm_penalty(g: tg.Tensor) -> tg.Tensor:
    """(‖g‖ − 1)² of one gradient."""
    return (tg.linalg.norm(g) - 1.0) ** 2


@st.composite
def differences(draw: st.DrawFn) -> Array:
    """Mean differences Δ (d,) that are not 0."""
    return draw(vectors(sizes(1, 8), -2, 2).filter(lambda difference: float(np.abs(difference).max()) > 0.1))


@WGAN_3.part(difference=differences(), strength=floats(0.5, 20), noise=floats(-1, 1))
def linear_critic(
    difference: Array,
    strength: float,
    noise: float,
    *,
    minimiser: Any = linear_minimiser,
    penalty: Any = offset_norm_penalty,
) -> Iterator[Check]:
    """For D = wᵀx, autodiff finds no slope of −wᵀΔ + λP at the claimed w, whose norm overshoots 1; others cost more."""
    delta = tg.tensor(difference)

    def loss(w: tg.Tensor) -> tg.Tensor:
        x = tg.tensor(np.zeros(len(difference)), requires_grad=True)
        (g,) = tg.grad(tg.dot(w, x), x, create_graph=True)
        cost: tg.Tensor = strength * penalty(g) - tg.dot(w, delta)
        return cost

    best = tg.tensor(minimiser(difference, strength), requires_grad=True)
    yield same("slope 0", tg.grad(loss(best), best)[0], 0.0, ALG)
    other = best.detach() + noise * tg.cos(tg.arange(len(difference), dtype=best.dtype))
    yield at_least("other weights cost more", loss(other), loss(best), ALG)


@linear_critic.falsification("a norm of exactly 1", replaces="minimiser")
def norm_one(difference: Array, strength: float) -> Array:
    return np.asarray(difference / np.linalg.norm(difference))


@linear_critic.erratum(
    "E-27",
    "the penalty draws to 0 instead of 1: unbounded, or a constant critic",
    printed=r"L_D=\dots+\|\nabla_xD\|_1",
    replaces="penalty",
)
def norm_itself(g: tg.Tensor) -> tg.Tensor:
    return tg.sum(tg.abs(g))


def critic_stays_finite(length: float, strength: float) -> bool:
    """Whether −wᵀΔ + λ |‖w‖ − 1| is bounded below: ‖Δ‖ ≤ λ."""
    return length <= strength


@WGAN_3.part(share=st.one_of(floats(0.1, 1), floats(1.001, 10)), strength=floats(0.1, 20))
def power_one(share: float, strength: float, *, bounded: Any = critic_stays_finite) -> Iterator[Check]:
    """With |‖w‖ − 1| as penalty the best linear critic has ‖w‖ = 1 if the loss is bounded, and else none is best."""
    length = share * strength
    norms = tg.tensor([0.0, 0.5, 1.0, 2.0, 100.0])
    loss = (strength * tg.abs(norms - 1.0) - norms * length).numpy()
    if bounded(length, strength):
        yield at_least("least at ‖w‖ = 1", loss, loss[2], ALG)
    else:
        yield holds("falls for ever", loss[4] < loss[3] < loss[2], f"{loss}")


@power_one.falsification("bounded as with the square")
def always_bounded(length: float, strength: float) -> bool:
    return True


# --- WGAN-4 ------------------------------------------------------------------------------------------------------

WGAN_4 = Claim(
    "WGAN-4",
    "Training loop with several critic steps",
    r"n_{critic}\times:\ \lambda\leftarrow\lambda+\eta\nabla_\lambda[\mathbb E_pf-\mathbb E_qf]\ (\text{regularised});"
    r"\qquad\theta\leftarrow\theta+\eta\nabla_\theta\mathbb E_zf(G(z))",
    sources="000 001 003",
)

RATE = 0.1


class Round(NamedTuple):
    """Start of f(x) = λx and G(z) = z + θ, and the batches: (n_critic, M) of data, (n_critic + 1, M) of codes."""

    slope: float
    shift: float
    real: Array
    codes: Array


@st.composite
def rounds(draw: st.DrawFn) -> Round:
    n, m = draw(sizes(1, 5)), draw(sizes(1, 3))
    real, codes = draw(arrays((n, m), -2, 2)), draw(arrays((n + 1, m), -2, 2))
    return Round(draw(floats(-1, 1)), draw(floats(-1, 1)), real, codes)


def all_critic_steps(n_critic: int) -> int:
    """Critic steps before one step of the generator."""
    return n_critic


@WGAN_4.part(plan=rounds())
def one_round(plan: Round, *, critic_steps: Any = all_critic_steps, losses: Any = critic_losses) -> Iterator[Check]:
    """n_critic clipped critic steps and one generator step, by autodiff and optimisers, equal those by hand."""
    lam, theta = tg.tensor(plan.slope, requires_grad=True), tg.tensor(plan.shift, requires_grad=True)
    of_critic, of_generator = tg.optim.SGD([lam], lr=RATE), tg.optim.SGD([theta], lr=RATE)
    slope, drawn = plan.slope, 0
    for x, z in list(zip(plan.real, plan.codes, strict=False))[: critic_steps(len(plan.real))]:
        of_critic.minimize(losses(lam * tg.tensor(x), lam * (tg.tensor(z) + theta))[0])
        lam.assign(tg.clip(lam.detach(), -1.0, 1.0))
        drawn += 1
    for x, z in zip(plan.real, plan.codes, strict=False):
        slope = min(max(slope + RATE * (x.mean() - (z + plan.shift).mean()), -1.0), 1.0)
    yield same("θ waits", theta, plan.shift, EXACT)
    yield same("λ", lam, slope, ALG)
    fake = lam * (tg.tensor(plan.codes[drawn]) + theta)
    of_generator.minimize(losses(tg.zeros_like(fake), fake)[1])
    yield same("θ", theta, plan.shift + RATE * slope, ALG)
    yield same("λ waits", lam, slope, ALG)


@one_round.falsification("one critic step", replaces="critic_steps")
def one_critic_step(n_critic: int) -> int:
    return 1


@one_round.falsification("losses of a sigmoid", replaces="losses")
def sigmoid_losses(real: tg.Tensor, fake: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    return tg.mean(tg.softplus(-real)) + tg.mean(tg.softplus(fake)), tg.mean(tg.log_sigmoid(-fake))


def segment_critic(x: tg.Tensor, theta: float) -> tg.Tensor:
    """L_G of the best 1-Lipschitz critic −sign(θ) x₁ of two parallel segments at 0 and θ (DIV-12)."""
    return tg.mean(math.copysign(1.0, theta) * x)


@WGAN_4.part(theta=st.one_of(floats(-5, -0.01), floats(0.01, 5)))
def parallel_segments(theta: float, *, loss: Any = segment_critic) -> Iterator[Check]:
    """The critic's generator gradient is sign θ from any distance; a discriminator D* (a little blurred) gives 0."""
    place = tg.tensor(theta, requires_grad=True)
    fakes = place * tg.ones(3)
    yield same("∂L_G/∂θ = sign θ", tg.grad(loss(fakes, theta), place)[0], np.sign(theta), ALG)
    blur = abs(theta) / 80.0
    logit = (theta / 2.0 - fakes) * theta / blur**2
    saturated = tg.grad(tg.mean(tg.log_sigmoid(-logit)), place)[0]
    yield same("∂ ln(1 − D*)/∂θ = 0", saturated, 0.0, EXACT)


@parallel_segments.falsification("the logit of D*")
def saturated_discriminator(x: tg.Tensor, theta: float) -> tg.Tensor:
    return tg.mean(tg.log_sigmoid((x - theta / 2.0) * 6400.0 / theta))


# --- WGAN-5 ------------------------------------------------------------------------------------------------------

WGAN_5 = Claim(
    "WGAN-5",
    "R1 penalty",
    r"\tfrac\gamma2\,\mathbb E_{x\sim p}\|\nabla_xD(x)\|_2^2\ \text{ on real samples}",
    sources="000",
    assumptions="second derivatives",
)


def squared_norms(g: tg.Tensor, gamma: float) -> tg.Tensor:
    """(γ/2) mean ‖g‖²."""
    return 0.5 * gamma * tg.mean(tg.sum(g * g, axis=-1))


@WGAN_5.part(critic=critics(), gamma=floats(0.1, 10))
def second_order_of_r1(
    critic: Critic, gamma: float, *, penalty: Any = squared_norms, gradient: Any = recorded_gradient
) -> Iterator[Check]:
    """R1's gradient in W, b, a, through two derivatives of the engine, equals one by hand; smooth at ∇D = 0 too."""
    parameters, x = critic.tensors(), tg.tensor(critic.points, requires_grad=True)
    g = gradient(critic.scores(parameters, x), x)
    by_hand = critic.input_gradients()
    expected = critic.pulled_back(gamma * by_hand / len(by_hand))
    found = tg.grad(penalty(g, gamma), parameters, allow_unused=True)
    for name, slope, value in zip("Wba", found, expected, strict=True):
        yield same(f"∂R1/∂{name}", 0.0 if slope is None else slope, value, ALG)


@second_order_of_r1.falsification("without the ½", replaces="penalty")
def without_half(g: tg.Tensor, gamma: float) -> tg.Tensor:
    return gamma * tg.mean(tg.sum(g * g, axis=-1))


@second_order_of_r1.falsification("the inner gradient not recorded", replaces="gradient")
def r1_of_first_order(scores: tg.Tensor, x: tg.Tensor) -> tg.Tensor:
    return unrecorded_gradient(scores, x)


def real_rows(real: tg.Tensor, fake: tg.Tensor) -> tg.Tensor:
    """The examples at which the penalty looks."""
    return real


@WGAN_5.part(critic=critics(), far=floats(1, 3))
def real_only(critic: Critic, far: float, *, rows: Any = real_rows) -> Iterator[Check]:
    """The penalty of a whole discriminator step does not change with the fakes."""
    parameters, real = critic.tensors(), tg.tensor(critic.points, requires_grad=True)

    def penalty(fake: tg.Tensor) -> tg.Tensor:
        x = rows(real, fake)
        return squared_norms(recorded_gradient(critic.scores(parameters, x), x), 1.0)

    near = penalty(real + 0.0)
    yield same("other fakes, same penalty", penalty(far + 2.0 * real), near, EXACT)
    yield same("its value by hand", near, 0.5 * (critic.input_gradients() ** 2).sum(axis=1).mean(), ALG)


@real_only.falsification("fakes too")
def both_kinds(real: tg.Tensor, fake: tg.Tensor) -> tg.Tensor:
    return tg.concatenate([real, fake])


def shrunk_difference(difference: Array, gamma: float) -> Array:
    """w = Δ/γ."""
    return difference / gamma


@WGAN_5.part(difference=differences(), gamma=floats(0.1, 10))
def linear_with_r1(difference: Array, gamma: float, *, minimiser: Any = shrunk_difference) -> Iterator[Check]:
    """For D = wᵀx, autodiff finds no slope of −wᵀΔ + R1 at w = Δ/γ, where it is −‖Δ‖²/2γ."""
    w = tg.tensor(minimiser(difference, gamma), requires_grad=True)
    x = tg.tensor(np.zeros(len(difference)), requires_grad=True)
    (g,) = tg.grad(tg.dot(w, x), x, create_graph=True)
    loss = squared_norms(g[None, :], gamma) - tg.dot(w, tg.tensor(difference))
    yield same("slope 0", tg.grad(loss, w)[0], 0.0, ALG)
    yield same("least value", loss, -(difference @ difference) / (2.0 * gamma), ALG)


@linear_with_r1.falsification("as without the ½")
def half_shrunk(difference: Array, gamma: float) -> Array:
    return difference / (2.0 * gamma)
