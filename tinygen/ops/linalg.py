"""Floor 3. Determinants, inverses, solutions, norms; all take stacks of matrices (…, n, n).

Derivative rules solve a system instead of multiplying by an inverse.  Wrong input (a singular matrix, one that
is not positive definite) raises on the CPU; a device gives NaN or infinity, since asking would synchronise:
``tg.detect_anomaly()`` finds it there.
"""

from __future__ import annotations

import math
from typing import Any

from tinygen.backend import Array, namespace, stacked_solve
from tinygen.operands import axes_of, operation
from tinygen.ops.arrange import tril, triu
from tinygen.ops.compare import not_equal
from tinygen.ops.convert import astype
from tinygen.ops.elementwise import abs
from tinygen.ops.matmul import _matmul, trace
from tinygen.ops.reduce import _spread, max, min, sum
from tinygen.ops.shape import expand_dims, squeeze, sum_to, swapaxes
from tinygen.primitive import primitive
from tinygen.tensor import Tensor, raw


def _square(name: str, a: Any) -> None:
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise ValueError(f"{name}: needs square matrices (…, n, n), got shape {a.shape}")


def _identity(like: Any, n: int) -> Array:
    """The raw n × n identity matrix with the dtype and device of a tensor or array."""
    array = raw(like)
    return namespace(array).eye(n, dtype=array.dtype)


def _scaled(factor: Any, matrices: Any) -> Any:
    """One number for each matrix of a stack, times the matrix."""
    return expand_dims(factor, (-2, -1)) * matrices


@primitive()
def _det(a: Array) -> Array:
    return namespace(a).linalg.det(a)


@operation
def det(a: Any) -> Tensor:
    """Determinant.  Up to 8 × 8 every derivative is right at singular matrices too; larger ones: see cofactor."""
    _square("det", a)
    return _det(a)


@operation
def cofactor(a: Any) -> Tensor:
    """The matrix of cofactors, which is ∂ det a / ∂ a (FLOW-10).

    Up to 8 × 8 by the Faddeev–LeVerrier recursion M₁ = I, Mₖ₊₁ = a Mₖ − (tr(a Mₖ)/k) I, a polynomial in a, so
    that rank n − 1 and below need no special case at any order.  Its rounding errors grow with n; above 8 the
    matrices must be regular (det · a⁻ᵀ), and ``slogdet`` is the better choice.
    """
    _square("cofactor", a)
    n = a.shape[-1]
    if n > 8:
        return _scaled(det(a), swapaxes(inv(a), -1, -2))  # type: ignore[no-any-return]
    identity = _identity(a, n)
    m = 0.0 * a + identity
    for k in range(1, n):
        product = _matmul(a, m)
        m = product - _scaled(trace(product) / k, identity)
    return swapaxes(m if n % 2 else -m, -1, -2)


_det.derivatives(lambda g, y, a: _scaled(g, cofactor(a)))


@primitive()
def _log_abs_det(a: Array) -> Array:
    return namespace(a).linalg.slogdet(a)[1]


@primitive()
def _sign_det(a: Array) -> Array:
    return namespace(a).linalg.slogdet(a)[0]


@operation
def slogdet(a: Any) -> tuple[Tensor, Tensor]:
    """(sign, log|det a|), without overflow; the sign has no derivative, that of log|det a| is a⁻ᵀ."""
    _square("slogdet", a)
    return _sign_det(a), _log_abs_det(a)


@primitive()
def _solve(a: Array, b: Array) -> Array:
    return stacked_solve(a, b)


_solve.derivatives(
    lambda g, x, a, b: sum_to(-_matmul(_solve(swapaxes(a, -1, -2), g), swapaxes(x, -1, -2)), shape=a.shape),
    lambda g, x, a, b: sum_to(_solve(swapaxes(a, -1, -2), g), shape=b.shape),
)


@operation
def solve(a: Any, b: Any) -> Tensor:
    """x with a x = b, for a (…, n, n) and b (…, n, k), or b (n,)."""
    _square("solve", a)
    if b.shape[-1 if b.ndim == 1 else -2] != a.shape[-1]:
        raise ValueError(f"solve: a {a.shape} needs b (…, {a.shape[-1]}, k) or ({a.shape[-1]},), got {b.shape}")
    return squeeze(_solve(a, expand_dims(b, -1)), -1) if b.ndim == 1 else _solve(a, b)


@primitive()
def _inv(a: Array) -> Array:
    return namespace(a).linalg.inv(a)


_inv.derivatives(lambda g, y, a: -_matmul(_matmul(swapaxes(y, -1, -2), g), swapaxes(y, -1, -2)))


@operation
def inv(a: Any) -> Tensor:
    """Inverse; to solve a system, ``solve`` is faster and more exact."""
    _square("inv", a)
    return _inv(a)


_log_abs_det.derivatives(lambda g, y, a: _scaled(g, swapaxes(inv(a), -1, -2)))


@operation
def solve_triangular(a: Any, b: Any, *, lower: bool = True, unit_diagonal: bool = False) -> Tensor:
    """x with a x = b, reading only the lower (or upper) triangle of a; ``unit_diagonal`` takes its diagonal as 1."""
    _square("solve_triangular", a)
    part = (tril if lower else triu)(a, (-1 if lower else 1) if unit_diagonal else 0)
    return solve(part + _identity(a, a.shape[-1]) if unit_diagonal else part, b)


@primitive()
def _cholesky(a: Array) -> Array:
    return namespace(a).linalg.cholesky(a)


def _cholesky_rule(g: Any, y: Any, a: Any) -> Any:
    """L⁻ᵀ Φ(Lᵀ ḡ) L⁻¹, symmetrised; Φ takes the lower triangle and half of the diagonal (Murray 2016)."""
    transposed = swapaxes(y, -1, -2)
    product = _matmul(transposed, g)
    phi = 0.5 * (tril(product) + tril(product, -1))
    s = _solve(transposed, swapaxes(_solve(transposed, swapaxes(phi, -1, -2)), -1, -2))
    return 0.5 * (s + swapaxes(s, -1, -2))


_cholesky.derivatives(_cholesky_rule)


@operation
def cholesky(a: Any) -> Tensor:
    """Lower triangular L with L Lᵀ = (a + aᵀ)/2, which must be positive definite."""
    _square("cholesky", a)
    return _cholesky(0.5 * (a + swapaxes(a, -1, -2)))


@primitive()
def _norm2(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Array:
    return namespace(x).sqrt((x * x).sum(axis=axis, keepdims=keepdims))


def _norm2_rule(g: Any, y: Any, x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    """g · x/‖x‖, and 0 at x = 0."""
    regular = astype(not_equal(y, 0), x.dtype)
    return _spread(g * (regular / (y + (1.0 - regular))), x.shape, axis) * x


_norm2.derivatives(_norm2_rule)


@operation
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Vector norm of order 1, 2, inf or −inf along one axis, or Frobenius norm over two (or all) axes.

    ``ord=None`` is the square root of the sum of squares.  The derivative at 0 is 0.
    """
    axes = axes_of("norm", axis, x.ndim)
    if ord in (None, "fro") or (ord == 2 and len(axes) == 1):
        if ord == "fro" and len(axes) != 2:
            raise ValueError(f"norm: the Frobenius norm needs two axes, got {len(axes)} of shape {x.shape}")
        return _norm2(x, axis=axes, keepdims=keepdims)
    if len(axes) == 1 and ord == 1:
        return sum(abs(x), axes, keepdims)
    if len(axes) == 1 and ord == math.inf:
        return max(abs(x), axes, keepdims)
    if len(axes) == 1 and ord == -math.inf:
        return min(abs(x), axes, keepdims)
    if isinstance(x, Tensor) and x.requires_grad:
        raise ValueError(
            f"norm: order {ord!r} over {len(axes)} axes has no derivative here; use 1, 2, inf, -inf or 'fro'"
        )
    array = raw(x)
    result = namespace(array).linalg.norm(array, ord, axis=axes[0] if len(axes) == 1 else axes, keepdims=keepdims)
    return Tensor(namespace(array).asarray(result)) if isinstance(x, Tensor) else result


# --- tools without a derivative ----------------------------------------------------------------------------------


def _factor(name: str, a: Any, advice: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    if isinstance(a, Tensor) and a.requires_grad:
        raise ValueError(f"{name}: has no derivative here; pass a.detach(), or {advice}")
    if a.ndim < 2:
        raise ValueError(f"{name}: needs matrices (…, n, m), got shape {a.shape}")
    array = raw(a)
    factors = getattr(namespace(array).linalg, name)(array, *args, **kwargs)
    return tuple(Tensor(factor) for factor in factors) if isinstance(a, Tensor) else tuple(factors)


@operation
def eigh(a: Any) -> tuple[Any, ...]:
    """Eigenvalues (rising) and eigenvectors of symmetric matrices; without derivative."""
    _square("eigh", a)
    return _factor("eigh", a, "use slogdet, trace or power iteration on tensors")


@operation
def svd(a: Any, full_matrices: bool = True) -> tuple[Any, ...]:
    """Singular value decomposition (u, s, vᵀ); without derivative."""
    return _factor("svd", a, "use norm, slogdet or power iteration on tensors", full_matrices=full_matrices)


@operation
def qr(a: Any) -> tuple[Any, ...]:
    """Orthonormal columns and an upper triangle with product a; without derivative."""
    return _factor("qr", a, "use cholesky of the Gram matrix")
