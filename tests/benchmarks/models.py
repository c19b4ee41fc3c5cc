"""Cases of whole training steps: a classifier, the variational autoencoder, critics with a gradient penalty."""

from __future__ import annotations

from typing import Any

import floor
import numpy as np
from operations import normal
from peers import Learner, anp, autograd, differentiate, functional, gradients, learners, torch, train
from timing import Case

import tinygen as tg
from tinygen.distributions import Binomial
from tinygen.models.vae import BinomialLikelihood, perceptron
from tinygen.random import Generator

Array = np.ndarray
PENALTY = 10.0  # weight of the gradient penalty


def layer(inputs: int, outputs: int, seed: int) -> list[Array]:
    """Weight (outputs, inputs) and bias."""
    return [normal(outputs, inputs, seed=seed) / np.float32(inputs**0.5), 0.1 * normal(outputs, seed=seed + 100)]


def trained(given: dict[str, Learner], tolerance: float = 1e-3, **options: Any) -> Case:
    """A training step is timed; loss and gradients are compared, and the losses of three steps."""
    return Case(train(given, **options), tolerance, compared=gradients(given))


# --- a classifier ----------------------------------------------------------------------------------------------------


def classifier() -> dict[str, Case]:
    """Perceptron 64 → 256 → 64 on 128 rows, ReLU, softmax cross-entropy, Adam."""
    x, labels = normal(128, 64), np.random.default_rng(1).integers(0, 64, 128)
    parameters = [*layer(64, 256, 1), *layer(256, 64, 2)]
    ours, theirs = (tg.tensor(x), tg.tensor(labels)), (torch.tensor(x), torch.tensor(labels)) if torch else (None, None)
    rows = np.arange(128)

    def in_tinygen(p: Any) -> Any:
        return tg.cross_entropy(tg.linear(tg.relu(tg.linear(ours[0], p[0], p[1])), p[2], p[3]), ours[1])

    def in_torch(p: Any) -> Any:
        hidden = functional.relu(functional.linear(theirs[0], p[0], p[1]))
        return functional.cross_entropy(functional.linear(hidden, p[2], p[3]), theirs[1])

    def in_autograd(p: Any) -> Any:
        logits = anp.dot(anp.maximum(anp.dot(x, p[0].T) + p[1], 0.0), p[2].T) + p[3]
        shifted = logits - anp.max(logits, axis=1, keepdims=True)
        return anp.mean(anp.log(anp.sum(anp.exp(shifted), axis=1)) - shifted[rows, labels])

    def by_hand(p: list[Array]) -> tuple[Any, list[Array]]:
        before = x @ p[0].T
        before += p[1]
        hidden = np.maximum(before, np.zeros_like(before))
        logits = hidden @ p[2].T
        logits += p[3]
        loss, g = floor.cross_entropy_gradient(logits, labels)
        g_hidden = g @ p[2]
        g_hidden *= before > 0
        return loss, [g_hidden.T @ x, g_hidden.sum(0), g.T @ hidden, g.sum(0)]

    losses = {"tinygen": in_tinygen, "torch": in_torch, "autograd": in_autograd, "numpy": by_hand}
    return {"MLP 64→256→64 step": trained(learners(losses, parameters))}


# --- the variational autoencoder -------------------------------------------------------------------------------------


class Replay:
    """Stands for a random generator: always the same noise, so that all engines see the same."""

    def __init__(self, noise: Array) -> None:
        self.noise = tg.tensor(noise)

    def normal(self, shape: tuple[int, ...], **options: Any) -> Any:
        """The noise."""
        return self.noise


def autoencoder(pixels: int = 64, latent: int = 2, hidden: int = 256, levels: int = 16) -> dict[str, Case]:
    """tinygen's own VAE on 128 digits of 8 × 8, with the noise given; hidden layers are ELU."""
    x = np.random.default_rng(0).integers(0, levels + 1, (128, pixels)).astype(np.float32) / levels
    noise = normal(128, latent, seed=1)
    constant = Binomial(levels, 0.5).log_prob(levels * x).numpy() + np.float32(levels * np.log(2))  # log C(n, k)
    sizes = [(pixels, hidden), (hidden, 2 * latent), (latent, hidden), (hidden, pixels)]
    parameters = [array for seed, (inputs, outputs) in enumerate(sizes) for array in layer(inputs, outputs, seed + 2)]

    def in_tinygen() -> tuple[list[Any], Any]:
        vae = perceptron(pixels, latent, hidden, BinomialLikelihood(levels), rng=Generator(0))
        images, rng = tg.tensor(x), Replay(noise)
        vae.load_state_dict(dict(zip(vae.state_dict(), parameters, strict=True)))

        def loss(_: Any) -> Any:
            reconstruction, divergence = vae.elbo(rng, images)  # type: ignore[arg-type]
            return -tg.mean(reconstruction - tg.sum(divergence, axis=1))

        return vae.parameters(), loss

    def in_torch() -> tuple[list[Any], Any]:
        images, draws, logs = torch.tensor(x), torch.tensor(noise), torch.tensor(constant)

        def loss(p: Any) -> Any:
            linear = functional.linear
            code = linear(functional.elu(linear(images, p[0], p[1])), p[2], p[3])
            mean, log_variance = code[:, :latent], code[:, latent:]
            z = mean + torch.exp(0.5 * log_variance) * draws
            logits = linear(functional.elu(linear(z, p[4], p[5])), p[6], p[7])
            reconstruction = (levels * (images * logits - functional.softplus(logits)) + logs).sum(1)
            divergence = 0.5 * (mean.square() + torch.exp(log_variance) - 1.0 - log_variance).sum(1)
            return -(reconstruction - divergence).mean()

        return [torch.tensor(array, requires_grad=True) for array in parameters], loss

    def in_autograd(p: Any) -> Any:
        def elu(h: Any) -> Any:
            return anp.where(h > 0, h, anp.expm1(anp.minimum(h, 0.0)))

        code = anp.dot(elu(anp.dot(x, p[0].T) + p[1]), p[2].T) + p[3]
        mean, log_variance = code[:, :latent], code[:, latent:]
        z = mean + anp.exp(0.5 * log_variance) * noise
        logits = anp.dot(elu(anp.dot(z, p[4].T) + p[5]), p[6].T) + p[7]
        reconstruction = anp.sum(levels * (x * logits - anp.logaddexp(logits, 0.0)) + constant, axis=1)
        divergence = 0.5 * anp.sum(mean * mean + anp.exp(log_variance) - 1.0 - log_variance, axis=1)
        return -anp.mean(reconstruction - divergence)

    def by_hand(p: list[Array]) -> tuple[Any, list[Array]]:
        n = len(x)
        hidden1, slope1 = floor.elu(x @ p[0].T + p[1])
        code = hidden1 @ p[2].T + p[3]
        mean, log_variance = code[:, :latent], code[:, latent:]
        spread = np.exp(0.5 * log_variance)
        z = mean + spread * noise
        hidden2, slope2 = floor.elu(z @ p[4].T + p[5])
        logits = hidden2 @ p[6].T + p[7]
        fit = levels * (np.vdot(x, logits) - floor.softplus(logits).sum()) + constant.sum()
        divergence = 0.5 * (mean * mean + spread * spread - 1.0 - log_variance).sum()
        g = floor.sigmoid(logits)
        g -= x
        g *= levels / n
        slope2 *= g @ p[6]
        g_z = slope2 @ p[4]
        g_code = np.concatenate(
            [g_z + mean / n, 0.5 * g_z * spread * noise + 0.5 * (spread * spread - 1.0) / n], axis=1
        )
        slope1 *= g_code @ p[2]
        found = [slope1.T @ x, slope1.sum(0), g_code.T @ hidden1, g_code.sum(0)]
        return (divergence - fit) / n, [*found, slope2.T @ z, slope2.sum(0), g.T @ hidden2, g.sum(0)]

    others = learners({"autograd": in_autograd, "numpy": by_hand}, parameters)
    return {"VAE 8×8 digits step": trained({"tinygen": in_tinygen, "torch": in_torch, **others})}


# --- critics with a gradient penalty ---------------------------------------------------------------------------------


def critic() -> dict[str, Case]:
    """A WGAN-GP critic 2 → 128 → 128 → 1 on 256 real, 256 generated and 256 points between: a double backward."""
    real, fake, between = (normal(256, 2, seed=seed) for seed in range(3))
    parameters = [*layer(2, 128, 1), *layer(128, 128, 2), *layer(128, 1, 3)]
    points = (real, fake, between)
    ours = [tg.tensor(real), tg.tensor(fake), tg.tensor(between, requires_grad=True)]
    theirs = [torch.tensor(real), torch.tensor(fake), torch.tensor(between, requires_grad=True)] if torch else []

    def in_tinygen(p: Any) -> Any:
        def score(x: Any) -> Any:
            hidden = tg.leaky_relu(tg.linear(x, p[0], p[1]), 0.2)
            return tg.linear(tg.leaky_relu(tg.linear(hidden, p[2], p[3]), 0.2), p[4], p[5])

        (slope,) = tg.grad(score(ours[2]).sum(), ours[2], create_graph=True)
        penalty = tg.mean(tg.square(tg.sqrt(tg.sum(slope * slope, 1)) - 1.0))
        return tg.mean(score(ours[1])) - tg.mean(score(ours[0])) + PENALTY * penalty

    def in_torch(p: Any) -> Any:
        def score(x: Any) -> Any:
            hidden = functional.leaky_relu(functional.linear(x, p[0], p[1]), 0.2)
            hidden = functional.leaky_relu(functional.linear(hidden, p[2], p[3]), 0.2)
            return functional.linear(hidden, p[4], p[5])

        (slope,) = torch.autograd.grad(score(theirs[2]).sum(), theirs[2], create_graph=True)
        penalty = (slope.mul(slope).sum(1).sqrt() - 1.0).square().mean()
        return score(theirs[1]).mean() - score(theirs[0]).mean() + PENALTY * penalty

    def in_autograd(p: Any) -> Any:
        def score(x: Any) -> Any:
            hidden = anp.dot(x, p[0].T) + p[1]
            hidden = anp.dot(anp.maximum(hidden, 0.2 * hidden), p[2].T) + p[3]
            return anp.dot(anp.maximum(hidden, 0.2 * hidden), p[4].T) + p[5]

        slope = autograd.grad(lambda x: anp.sum(score(x)))(between)
        penalty = anp.mean((anp.sqrt(anp.sum(slope * slope, axis=1)) - 1.0) ** 2)
        return anp.mean(score(fake)) - anp.mean(score(real)) + PENALTY * penalty

    def by_hand(p: list[Array]) -> tuple[Any, list[Array]]:
        return _critic_by_hand(p, points)

    losses = {"tinygen": in_tinygen, "torch": in_torch, "autograd": in_autograd, "numpy": by_hand}
    return {"WGAN-GP critic step": trained(learners(losses, parameters), lr=1e-4, betas=(0.5, 0.9))}


def _critic_by_hand(p: list[Array], points: tuple[Array, ...]) -> tuple[Any, list[Array]]:
    """Loss and gradients of the critic; the masks of the leaky ReLU are constant almost everywhere."""
    n = len(points[0])
    x = np.concatenate(points)
    before1 = x @ p[0].T
    before1 += p[1]
    hidden1 = np.maximum(before1, 0.2 * before1)
    before2 = hidden1 @ p[2].T
    before2 += p[3]
    mask1, mask2 = floor.leaky_mask(before1, 0.2), floor.leaky_mask(before2, 0.2)
    hidden2 = np.maximum(before2[: 2 * n], 0.2 * before2[: 2 * n])
    score = hidden2 @ p[4].T + p[5]
    inner2 = mask2[2 * n :] * p[4]  # the slope in x of the points between, layer by layer
    inner1 = inner2 @ p[2]
    inner1 *= mask1[2 * n :]
    slope = inner1 @ p[0]
    length = np.sqrt((slope * slope).sum(1, keepdims=True))
    loss = score[n:].mean() - score[:n].mean() + PENALTY * ((length - 1.0) ** 2).mean()
    g_slope = (2 * PENALTY / n) * (length - 1.0) / length * slope  # and back through that slope
    g_inner1 = g_slope @ p[0].T
    g_inner1 *= mask1[2 * n :]
    g_inner2 = g_inner1 @ p[2].T
    g_inner2 *= mask2[2 * n :]
    g_score = np.repeat(np.array([[-1 / n], [1 / n]], np.float32), n, axis=0)  # back through the scores
    g2 = g_score * p[4]
    g2 *= mask2[: 2 * n]
    g1 = g2 @ p[2]
    g1 *= mask1[: 2 * n]
    return loss, [
        g1.T @ x[: 2 * n] + inner1.T @ g_slope,
        g1.sum(0),
        g2.T @ hidden1[: 2 * n] + inner2.T @ g_inner1,
        g2.sum(0),
        g_score.T @ hidden2 + g_inner2.sum(0),
        g_score.sum(0),
    ]


def convolutional_penalty() -> dict[str, Case]:
    """The gradient penalty of 32 images 3 × 16 × 16 through two strided convolutions, and its gradient."""
    x = normal(32, 3, 16, 16)
    w1, w2 = normal(32, 3, 4, 4, seed=1) / np.float32(7), normal(64, 32, 4, 4, seed=2) / np.float32(22)
    w3 = normal(64, 4, 4, seed=3) / np.float32(32)
    ours, theirs = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True) if torch else None

    def in_tinygen(w1: Any, w2: Any, w3: Any) -> Any:
        hidden = tg.leaky_relu(tg.conv2d(ours, w1, stride=2, padding=1), 0.2)
        hidden = tg.leaky_relu(tg.conv2d(hidden, w2, stride=2, padding=1), 0.2)
        (slope,) = tg.grad(tg.sum(hidden * w3), ours, create_graph=True)
        return tg.mean(tg.square(tg.sqrt(tg.sum(slope * slope, (1, 2, 3))) - 1.0))

    def in_torch(w1: Any, w2: Any, w3: Any) -> Any:
        hidden = functional.leaky_relu(functional.conv2d(theirs, w1, stride=2, padding=1), 0.2)
        hidden = functional.leaky_relu(functional.conv2d(hidden, w2, stride=2, padding=1), 0.2)
        (slope,) = torch.autograd.grad((hidden * w3).sum(), theirs, create_graph=True)
        return (slope.mul(slope).sum((1, 2, 3)).sqrt() - 1.0).square().mean()

    def by_hand(w1: Array, w2: Array, w3: Array) -> tuple[Any, Array, Array, Array]:
        before1 = floor.conv(x, w1, 2, 1)
        before2 = floor.conv(np.maximum(before1, 0.2 * before1), w2, 2, 1)
        mask1, mask2 = floor.leaky_mask(before1, 0.2), floor.leaky_mask(before2, 0.2)
        inner2 = mask2 * w3
        inner1 = mask1 * floor.conv_input(inner2, w2, 2, 1, 8)
        slope = floor.conv_input(inner1, w1, 2, 1, 16)
        length = np.sqrt((slope * slope).sum((1, 2, 3), keepdims=True))
        g_slope = (2 / len(x)) * (length - 1.0) / length * slope
        g_inner1 = mask1 * floor.conv(g_slope, w1, 2, 1)
        g_inner2 = mask2 * floor.conv(g_inner1, w2, 2, 1)
        return (
            ((length - 1.0) ** 2).mean(),
            floor.conv_weight(g_slope, inner1, 2, 1, 4),
            floor.conv_weight(g_inner1, inner2, 2, 1, 4),
            g_inner2.sum(0),
        )

    functions = {"tinygen": in_tinygen, "torch": in_torch, "numpy": by_hand}
    return {"gradient penalty, strided convs": Case(differentiate(functions, [w1, w2, w3]), 1e-3)}
