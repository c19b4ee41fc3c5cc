"""Floor 8. Is it a flow?  Round trips, both log-determinants against the Jacobian by autodiff, and total mass 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygen.autograd import grad
from tinygen.nn import Module
from tinygen.ops import linalg, sum
from tinygen.record import no_grad
from tinygen.tensor import Tensor
from tinygen.testing.copies import Noise, double_copy, home, noises, on_device
from tinygen.testing.integration import box_integral
from tinygen.testing.search import refuted, search
from tinygen.testing.strategies import floats
from tinygen.transforms import jacobian

LIN = 1e-9  # linear algebra and inverses in float64, for condition numbers up to 1e4 (LECTURES §0)
SLOPES = 1e-7  # derivatives of a log-determinant hold products of two inverses: two digits fewer than LIN
STIFF = 1e5  # a stretch (or shrinkage) beyond which rounding drowns the round trip: such points are passed over
MASS = 1e-3  # two grids must agree to this before the integral is judged, and the integral with 1 to three times this
GRID = 201  # points along an axis of a grid at most

Map = Callable[[Tensor], tuple[Tensor, Tensor]]


class Flow(Protocol):
    """A bijection with its log-determinants: rows (n, dim) to rows and (n,)."""

    def to_data(self, z: Tensor, /) -> tuple[Tensor, Tensor]:
        """x and log|det ∂x/∂z|."""
        ...

    def to_latent(self, x: Tensor, /) -> tuple[Tensor, Tensor]:
        """z and log|det ∂z/∂x|."""
        ...


def check_flow(
    flow: Flow, dim: int, *, noise: float = 0.5, data: Any = None, mass: bool = True, examples: int = 100, seed: int = 0
) -> None:
    """Raise AssertionError, with a simple counterexample, unless ``flow`` is a bijection with right log-determinants.

    Checked in float64, on a copy, at random rows: there and back from latents and from data; the log-determinant of
    ``to_data`` and of ``to_latent`` against log|det| of the Jacobian by autodiff (FLOW-2); that their sum is 0; that no
    row depends on another; and the log-determinants' gradients in the parameters.  For one and two dimensions also
    that ∫ p(x) dx = 1 for z ~ N(0, I) (where two grids agree; ``mass=False`` leaves this out).

    A Module is also checked with noise on its parameters (0, 1, 4 or 16 times ``noise`` on each), because initial
    weights hide faults; 0 leaves them as given.  Data are drawn from the box [−5, 5]; if a flow's data are not the
    whole space, pass a Hypothesis strategy of data rows (dim,) as ``data``.

    >>> import tinygen as tg
    >>> class Stretch:
    ...     def to_data(self, z):
    ...         return 2.0 * z, tg.full(len(z), 0.6931471805599453, dtype=z.dtype)
    ...     def to_latent(self, x):
    ...         return 0.5 * x, tg.full(len(x), -0.6931471805599453, dtype=x.dtype)
    >>> check_flow(Stretch(), dim=1)
    >>> check_flow(Stretch(), dim=2)
    Traceback (most recent call last):
    AssertionError: check_flow: the log-determinant of to_data is not that of its Jacobian ∂x/∂z by autodiff
    ...
    """
    if not isinstance(dim, int) or dim < 1:
        raise TypeError(
            f"check_flow: dim is how many numbers a row has, 1 or more, got {type(dim).__name__} {dim!r:.40}"
        )
    twin = double_copy(flow)
    device = home(twin)
    latents = rows(hnp.arrays(np.float64, dim, elements=floats(-3.0, 3.0)))
    points = rows(hnp.arrays(np.float64, dim, elements=floats(-5.0, 5.0)) if data is None else data)
    title = "check_flow"

    judged = []

    def there(rows: np.ndarray, parameters: Noise) -> None:
        with parameters.on(twin):
            points = on_device(rows, device)
            judged.append(_check_map(twin.to_data, twin.to_latent, "to_data", "z", "x", points, parameters))

    def back(rows: np.ndarray, parameters: Noise) -> None:
        with parameters.on(twin):
            _check_map(twin.to_latent, twin.to_data, "to_latent", "x", "z", on_device(rows, device), parameters)

    def slopes(rows: np.ndarray, parameters: Noise) -> None:
        with parameters.on(twin):
            _check_slopes(twin, "to_data", "z", on_device(rows, device), parameters)
            _check_slopes(twin, "to_latent", "x", twin.to_data(on_device(rows, device))[0].detach(), parameters)

    moved = noises(noise, twin)
    search(title, there, {"rows": latents, "parameters": moved}, examples, seed)
    if not any(judged):
        raise AssertionError(
            f"{title}: to_data is singular, or stretches or shrinks more than {STIFF:g} times, at all points tried"
        )
    search(title, back, {"rows": points, "parameters": moved}, examples, seed)
    if isinstance(twin, Module) and twin.parameters():
        search(title, slopes, {"rows": latents, "parameters": moved}, max(1, examples // 5), seed)
    if mass and dim <= 2:
        for kind in (Noise(0.0, 0), Noise(noise, seed)):
            search(title, lambda kind=kind: _check_mass(twin, dim, device, kind), {}, 1, seed)


def rows(row: Any) -> st.SearchStrategy[np.ndarray]:
    """One to three rows."""
    return st.lists(row, min_size=1, max_size=3).map(np.array)


def _check_map(forward: Map, backward: Map, name: str, start: str, end: str, points: Tensor, noise: Noise) -> bool:
    """Everything about one direction, at a few rows; False where it is too stiff for float64 to tell."""
    image, log_det = _shaped(forward, name, points)
    at: dict[str, Any] = {start: points}
    if noise.scale:
        at["parameters"] = noise
    matrices = jacobian(lambda rows: forward(rows)[0], points, batch=True).numpy()
    if not matrices.any():  # computed without a record, by bisection say: only the other direction has a Jacobian
        condition = np.ones(len(points))
    elif _stiff(matrices, image.numpy()):
        return False
    else:
        condition = np.linalg.cond(matrices)
        exact = np.linalg.slogdet(matrices)[1]
        if _apart(log_det, exact, condition):
            what = f"the log-determinant of {name} is not that of its Jacobian ∂{end}/∂{start} by autodiff"
            hint = _hint(forward, log_det, exact, image, condition)
            raise refuted(what + hint, **at, returned=log_det, exact=exact)
    other = "to_latent" if name == "to_data" else "to_data"
    again, back_log_det = _shaped(backward, other, image)
    if _apart(again, points.numpy(), condition[:, None]):
        facts = {f"{name}({start})": image, f"{other} of that": again}
        raise refuted(f"{other} does not undo {name}", **at, **facts)
    if _apart(back_log_det, -log_det.numpy(), condition):
        facts = {f"of {name} at {start}": log_det, f"of {other} at {name}({start})": back_log_det}
        raise refuted("the log-determinants of the two directions do not sum to 0", **at, **facts)
    alone, its_log_det = _shaped(forward, name, points[:1])
    if _apart(alone, image.numpy()[:1], condition[:1, None]) or _apart(its_log_det, log_det.numpy()[:1], condition[:1]):
        both: dict[str, Any] = {"first row": (image[:1], log_det[:1]), "first row alone": (alone, its_log_det)}
        raise refuted(f"a row of {name} depends on the other rows of the batch", **at, **both)
    return True


def _shaped(forward: Map, name: str, points: Tensor) -> tuple[Tensor, Tensor]:
    """Image and log-determinant, after a look at their shapes."""
    found = forward(points)
    if not (isinstance(found, tuple) and len(found) == 2 and all(isinstance(part, Tensor) for part in found)):
        raise TypeError(f"check_flow: {name} must return two tensors (rows, log-determinants), got {found!r:.80}")
    image, log_det = found
    if image.shape != points.shape or log_det.shape != points.shape[:1]:
        raise refuted(
            f"{name} must map rows {points.shape} to rows of the same shape and log-determinants {points.shape[:1]}",
            rows=str(image.shape), log_dets=str(log_det.shape),
        )  # fmt: skip
    return image, log_det


def _stiff(matrices: np.ndarray, image: np.ndarray) -> bool:
    """Whether rounding of the image, or of the points, comes out a 100,000 times as large on the other side."""
    if not (np.isfinite(matrices).all() and np.isfinite(image).all()):
        return True
    stretches = np.linalg.svd(matrices, compute_uv=False)
    return bool((stretches.max(-1) >= STIFF).any() or (stretches.min(-1) * STIFF <= 1.0 + np.abs(image).max(-1)).any())


def _apart(found: Any, expected: np.ndarray, condition: np.ndarray) -> bool:
    """Whether two sides differ by more than LIN · (1 + |expected|), and in proportion for condition numbers above 1e4.

    NaN differs from everything.
    """
    values = found.numpy()
    allowed = LIN * np.maximum(1.0, condition / 1e4) * (1.0 + np.abs(expected))
    return not bool((np.abs(values - expected) <= allowed).all())


def _hint(forward: Map, log_det: Tensor, expected: np.ndarray, image: Tensor, condition: np.ndarray) -> str:
    """What the returned number is, if it is one of the usual mistakes."""
    if not _apart(log_det, -expected, condition):
        return "\n  (it has the opposite sign: it is that of the inverse map)"
    at_output = np.linalg.slogdet(jacobian(lambda rows: forward(rows)[0], image, batch=True).numpy())[1]
    if not _apart(log_det, at_output, condition):
        return "\n  (it is that of the Jacobian at the output instead of at the input)"
    return ""


def _check_slopes(flow: Any, name: str, start: str, points: Tensor, noise: Noise) -> None:
    """The gradient in each parameter of Σ log|det| as returned and by autodiff: training follows it."""
    named = [(key, parameter) for key, parameter in flow.named_parameters() if parameter.requires_grad]
    forward: Map = getattr(flow, name)
    matrices = jacobian(lambda rows: forward(rows)[0], points, batch=True, create_graph=True)
    values = matrices.numpy()
    if not values.any() or _stiff(values, points.numpy()):
        return
    sides = sum(forward(points)[1]), sum(linalg.slogdet(matrices)[1])
    condition = float(np.linalg.cond(values).max())
    found, expected = (_gradients(side, [parameter for _, parameter in named]) for side in sides)
    size = max((float(np.abs(slope).max(initial=0.0)) for slope in expected), default=0.0)
    for (key, _), have, wanted in zip(named, found, expected, strict=True):
        if not (np.abs(have - wanted) <= SLOPES * max(1.0, condition / 1e4) * (1.0 + size)).all():
            what = f"the gradient of the log-determinant of {name} in the parameter {key} is wrong (its value is right)"
            facts = {start: points, "parameters": noise, "returned": have, "exact": wanted}
            raise refuted(what, **facts)


def _gradients(value: Tensor, parameters: list[Tensor]) -> list[np.ndarray]:
    if not value.requires_grad:
        return [np.zeros(parameter.shape) for parameter in parameters]
    found = grad(value, parameters, allow_unused=True)
    return [np.zeros(p.shape) if slope is None else slope.numpy() for slope, p in zip(found, parameters, strict=True)]


def _check_mass(flow: Any, dim: int, device: str, noise: Noise) -> None:
    """∫ p(x) dx = 1 over the box that holds the image of |z| ≤ 6 (mass outside: 4e-9), on grids finer than p's detail.

    Not judged where that takes too many points.
    """

    def density(x: np.ndarray) -> np.ndarray:
        with no_grad():
            z, log_det = flow.to_latent(on_device(x, device))
        log_prior = -0.5 * (z.numpy() ** 2).sum(-1) - 0.5 * dim * np.log(2.0 * np.pi)
        return np.exp(log_prior + log_det.numpy())  # type: ignore[no-any-return]

    with noise.on(flow):
        lattice = np.stack(np.meshgrid(*[np.linspace(-6.0, 6.0, 25)] * dim, indexing="ij"), -1)
        with no_grad():
            image = flow.to_data(on_device(lattice.reshape(-1, dim), device))[0].numpy().reshape(lattice.shape)
        gaps = [np.linalg.norm(np.diff(image, axis=axis), axis=-1).min() for axis in range(dim)]  # of z 0.5 apart
        low, high = image.reshape(-1, dim).min(0), image.reshape(-1, dim).max(0)
        points = 2.0 * (high - low).max() / min(gaps)
        if not points <= GRID:
            return
        coarse, fine = (box_integral(density, low, high, max(101, int(n))) for n in (points, 1.4 * points + 40))
    unsettled = abs(coarse - fine) > MASS
    if not (unsettled or abs(fine - 1.0) <= 3.0 * MASS):  # a NaN is refuted
        raise refuted("the density does not integrate to 1", parameters=noise, integral=fine)
