"""Floor 8. Is it a distribution?  Total mass 1, draws that follow the log-probability, and right moments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygen.backend import to_device
from tinygen.random import Generator
from tinygen.record import no_grad
from tinygen.tensor import Tensor
from tinygen.testing.integration import Density, box_integral, line_integrals
from tinygen.testing.search import double_precision, refuted

ERRORS = 5.0  # standard errors that a simulation may be off (LECTURES §0)
MASS = {8: 1e-9, 4: 1e-4}  # how far the total mass may be off, by the size of a float: quadrature
GRID_MASS = 1e-4  # on a grid in two dimensions

Shape = tuple[int, ...]


def check_distribution(dist: Any, *, draws: int = 20_000, seed: int = 0) -> None:
    """Raise AssertionError unless ``dist`` is a distribution and its parts agree with each other.

    ``dist`` has ``log_prob(value)`` and ``sample(rng, shape)`` (in the shapes of ``tg.distributions``); ``entropy()``,
    ``mean`` and ``variance`` are checked if it has them.  For numbers: exp(log_prob) integrates (or, for
    ``dist.discrete``, sums) to 1, and the share of draws below each of 20 points is what log_prob says.  For pairs of
    numbers: the integral on a grid.  For all: log-probabilities are no NaN, none of its own draws is impossible,
    and the means of −log_prob, x and (x − mean)² over ``draws`` are its entropy, mean and variance, within five
    standard errors.  Each distribution of a batch is checked by itself.

    >>> import tinygen as tg
    >>> check_distribution(tg.distributions.Normal(1.0, 2.0))
    >>> class Wide(tg.distributions.Normal):
    ...     def entropy(self):
    ...         return super().entropy() + 0.1
    >>> check_distribution(Wide(1.0, 2.0))
    Traceback (most recent call last):
    AssertionError: check_distribution: Wide: the entropy is not the mean of −log_prob over draws
    ...
    """
    name = type(dist).__name__
    try:
        with double_precision(), no_grad(), np.errstate(all="ignore"):
            _check(dist, Generator(seed).spawn("check_distribution"), draws)
    except AssertionError as error:
        message = f"check_distribution: {name}: {error}\n  with {draws} draws of seed={seed}"
    else:
        return
    raise AssertionError(message)


def _check(dist: Any, rng: Generator, draws: int) -> None:
    sampled = dist.sample(rng, (draws,))
    event = tuple(getattr(dist, "event_shape", ()))
    batch = sampled.shape[1 : sampled.ndim - len(event)]
    log_prob = dist.log_prob(sampled)
    if log_prob.shape != (draws, *batch):
        raise refuted("log_prob has the wrong shape", draws=str(sampled.shape), log_prob=str(log_prob.shape))
    values, logs = sampled.numpy().astype(np.float64), log_prob.numpy().astype(np.float64)
    if not np.isfinite(logs).all():
        place = tuple(np.argwhere(~np.isfinite(logs))[0])
        raise refuted("one of its own draws is impossible", draw=values[place], log_prob=float(logs[place]))
    for index in np.ndindex(*batch):
        density = _density(dist, sampled, event, batch, index)
        own = values[(slice(None), *index)]
        if event == ():
            _check_line(dist, density, own, log_prob.dtype.itemsize, index)
        elif event == (2,) and not getattr(dist, "discrete", False):
            _check_plane(density, own, index)
    _check_moments(dist, values, logs)


def _density(dist: Any, like: Tensor, event: Shape, batch: Shape, index: Shape) -> Density:
    """p of one distribution of the batch at points (n, *event)."""
    place = int(np.ravel_multi_index(index, batch)) if batch else 0

    def density(points: np.ndarray) -> np.ndarray:
        shaped = points.reshape(len(points), *(1 for _ in batch), *event)
        logs = dist.log_prob(Tensor(to_device(shaped.astype(like.dtype), like.device)))
        every = np.broadcast_to(logs.numpy().astype(np.float64), (len(points), *batch))
        return np.exp(every.reshape(len(points), -1)[:, place])  # type: ignore[no-any-return]

    return density


def _check_line(dist: Any, density: Density, draws: np.ndarray, itemsize: int, index: Shape) -> None:
    """Total mass, and the distribution function against the share of draws below some points."""
    which = {"of the batch": str(index)} if index else {}
    if getattr(dist, "discrete", False):
        spread = 10.0 + 60.0 * draws.std()
        edges = np.arange(math.floor(draws.mean() - spread), math.ceil(draws.mean() + spread) + 1.0)
        masses = density(edges)
        edges = np.concatenate([edges, [edges[-1] + 1.0]]) - 0.5
    else:
        edges = _edges(draws)
        masses = line_integrals(density, edges, 1e-3 * MASS[itemsize])
    total = float(masses.sum())
    if not abs(total - 1.0) <= MASS[itemsize]:
        raise refuted("its probabilities do not add up to 1", **which, total=total)
    cumulated = np.cumsum(masses)
    for share in np.linspace(0.05, 0.95, 19):
        place = min(int(np.searchsorted(cumulated, share)), len(masses) - 1)
        expected, below = cumulated[place], float((draws < edges[place + 1]).mean())
        if abs(below - expected) > ERRORS * math.sqrt(max(expected * (1.0 - expected), 0.0) / len(draws)) + 1e-9:
            facts = {"point": float(edges[place + 1]), "share of draws below": below, "by log_prob": float(expected)}
            raise refuted("the draws do not follow log_prob", **which, **facts)


def _edges(draws: np.ndarray) -> np.ndarray:
    """Panels that hold equal shares of the draws, and tails that double in width until nothing can be left."""
    inner = np.unique(np.quantile(draws, np.linspace(0.0, 1.0, 65)))
    width = max(float(inner[-1] - inner[0]), 1e-9)
    tail = 0.05 * width * (2.0 ** np.arange(12) - 1.0)[1:]
    return np.concatenate([(inner[0] - tail)[::-1], inner, inner[-1] + tail])


def _check_plane(density: Density, draws: np.ndarray, index: Shape) -> None:
    """Total mass on a grid along the principal axes of the draws, where it is smooth enough for one."""
    centre, (variances, axes) = draws.mean(0), np.linalg.eigh(np.cov(draws.T))
    scale = np.sqrt(variances)

    def turned(rows: np.ndarray) -> np.ndarray:
        return density(centre + (rows * scale) @ axes.T) * float(np.prod(scale))

    reach = np.full(2, 12.0)
    coarse, fine = (box_integral(turned, -reach, reach, points) for points in (161, 241))
    if abs(coarse - fine) <= GRID_MASS and not abs(fine - 1.0) <= 3.0 * GRID_MASS:
        raise refuted("it does not integrate to 1", index=str(index), total=fine)


def _check_moments(dist: Any, values: np.ndarray, logs: np.ndarray) -> None:
    """Entropy, mean and variance against means over the draws."""
    mean = _known(lambda: dist.mean)
    for what, exact, observed in (
        ("the entropy is not the mean of −log_prob over draws", _known(lambda: dist.entropy()), -logs),
        ("the mean is not that of its draws", mean, values),
        (
            "the variance is not that of its draws",
            _known(lambda: dist.variance),
            None if mean is None else (values - mean) ** 2,
        ),
    ):
        if exact is None or observed is None:
            continue
        error = observed.std(0) / math.sqrt(len(observed))
        estimate = observed.mean(0)
        rounding = 1e-5 * (1.0 + np.abs(exact))  # of float32 parameters
        if not (np.abs(estimate - exact) <= ERRORS * error + rounding).all():
            raise refuted(what, claimed=exact, observed=estimate, **{"standard error": error})


def _known(ask: Callable[[], Any]) -> np.ndarray | None:
    """What a distribution says of itself; None if it has no closed form for it."""
    try:
        return np.asarray(ask().numpy(), np.float64)
    except (AttributeError, NotImplementedError):
        return None
