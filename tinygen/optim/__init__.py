"""Floor 5. Optimisers, learning-rate schedules, gradient clipping, moving averages of parameters.

Reading order: ``flat`` (tensors as views of one array), ``optimizer`` (what is updated), ``methods`` (how),
``rows`` (tables of which a step uses a few rows), ``schedules``, ``clipping``, ``average``.
"""

from tinygen.optim.average import ExponentialMovingAverage
from tinygen.optim.clipping import clip_grad_norm_
from tinygen.optim.methods import SGD, Adagrad, Adam, AdamW, RMSprop
from tinygen.optim.optimizer import Optimizer
from tinygen.optim.schedules import Schedule, cosine, exponential, linear, piecewise, staircase, warmup

__all__ = [
    "SGD", "Adagrad", "Adam", "AdamW", "ExponentialMovingAverage", "Optimizer", "RMSprop", "Schedule",
    "clip_grad_norm_", "cosine", "exponential", "linear", "piecewise", "staircase", "warmup",
]  # fmt: skip
