"""Floor 5. Mixtures: a class is drawn first, then a value from the class's own distribution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tinygen import random
from tinygen.distributions.base import Distribution
from tinygen.ops import log, logsumexp, reshape, square, squeeze, stack, sum, take_along_axis
from tinygen.probability import log_or_minus_infinity, require, require_table
from tinygen.tensor import Tensor


class Mixture(Distribution):
    """Σₖ weights[…, k] · componentsₖ, with probabilities as weights on a last axis of length K.

    Components share one event shape, and each has the mixture's batch shape, or none.  Entropy has no closed form.

    >>> import tinygen as tg
    >>> normal = tg.distributions.Normal
    >>> two_modes = tg.distributions.Mixture([0.5, 0.5], [normal(-3.0, 1.0), normal(3.0, 1.0)])
    >>> round(two_modes.variance.item(), 4)
    10.0
    """

    def __init__(self, weights: Any, components: Sequence[Distribution]) -> None:
        self.components = list(components)
        (self.weights,) = self._take(weights=weights)
        like = next(self._tensors(), None)
        if like is not None:  # components given by plain numbers take the dtype of the others
            self.components = [component._anchored(like) for component in self.components]
        if not self.components or self.weights.shape[-1:] != (len(self.components),):
            raise ValueError(
                f"Mixture: weights of shape {self.weights.shape} must have one number for each of the "
                f"{len(self.components)} components on their last axis"
            )
        events = {component.event_shape for component in self.components}
        batches = {component.batch_shape for component in self.components} | {self.weights.shape[:-1]}
        if len(events) > 1 or len(batches - {()}) > 1:
            raise ValueError(
                f"Mixture: components need one event shape, got {sorted(events)}, and with the weights one batch shape "
                f"(or none), got {sorted(batches)}; broadcast their parameters"
            )
        (self.event_shape,), self.batch_shape = events, max(batches, key=len)
        self.discrete = all(component.discrete for component in self.components)
        require_table("Mixture: weights", self.weights, -1)
        if self.weights.requires_grad:  # log 0 is a constant here, but the derivative at weight 0 is not 0
            advice = "that require a gradient must be positive: take softmax of logits, or drop the component"
            require("Mixture: weights", self.weights, lambda a: a > 0, advice)

    def _tensors(self) -> Iterator[Tensor]:
        yield from super()._tensors()
        for component in self.components:
            yield from component._tensors()

    def _anchored(self, like: Tensor | None) -> Distribution:
        (weights,) = self._at(like)
        return Mixture(weights, [component._anchored(like) for component in self.components])

    def _log_prob(self, x: Tensor, *parameters: Any) -> Tensor:
        (weights,) = parameters
        log_weights = log(weights) if weights.requires_grad else log_or_minus_infinity(weights)
        log_densities = stack([component.log_prob(x) for component in self.components], -1)
        return logsumexp(log_weights + log_densities, -1)

    def _sample(self, rng: random.Generator, lengths: tuple[int, ...]) -> Tensor:
        """Every component is drawn everywhere: on a GPU that is cheaper than asking which one is needed where."""
        weights = self.weights
        draws = [
            component.sample(rng, lengths[: len(lengths) - len(component.batch_shape)]) for component in self.components
        ]
        chosen = rng.categorical(weights, lengths, device=weights.device)
        place = reshape(chosen, (1, *lengths, *(1 for _ in self.event_shape)))
        return squeeze(take_along_axis(stack(draws), place, 0), 0)

    def _moments(self, moments: list[Tensor]) -> Tensor:
        """Σₖ weights[…, k] · momentsₖ."""
        stacked = stack([self._full(moment) for moment in moments], -1)
        weights = reshape(self.weights, (*self.weights.shape[:-1], *(1 for _ in self.event_shape), -1))
        return sum(weights * stacked, -1)

    @property
    def mean(self) -> Tensor:
        return self._moments([component.mean for component in self.components])

    @property
    def variance(self) -> Tensor:
        mean = self.mean
        return self._moments([component.variance + square(component.mean - mean) for component in self.components])

    def __repr__(self) -> str:
        return f"Mixture(of {len(self.components)}: {self.components[0]}, …)"
