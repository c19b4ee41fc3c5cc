"""Floor 5. The base of all optimisers: which values a step changes.  How it changes them stands in ``methods``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygen.autograd import grad
from tinygen.backend import Array, block_bytes, device_of, namespace, quiet, to_device
from tinygen.optim.clipping import clipped
from tinygen.optim.flat import Flat, check_alike
from tinygen.optim.rows import RowGradient, lookups, row_gradients
from tinygen.optim.schedules import Schedule
from tinygen.optim.state import check_state
from tinygen.record import brief
from tinygen.tensor import Tensor, wrap

_FLUSH_EVERY = 128  # steps; in so many, a moment that decays by 0.9 does not pass the range that is flushed


class _Piece(NamedTuple):
    """A stretch of the flat array that is updated at once, and the stretches of gradients that belong to it."""

    where: slice
    parts: list[tuple[int, slice]]  # a tensor's position, and some of its elements


class Optimizer:
    """Changes parameters along their gradients; a subclass says how in ``_update``.

    The parameters are views of one flat array, so that a step is some ten array calls for each MiB of them, however
    many they are.  Arrays that tensors hold are never written: a step makes a new flat array and rebinds the
    parameters to views of it.  Only the optimiser's own moments are updated in place.

    A parameter without a gradient is left alone: no decay, no update of its moments.  So is, of the tables given as
    ``lazy``, each row that a step does not look up by ``tg.embedding``: the step computes what the batch needs, not
    what the vocabulary needs, and copies the table to put the new rows in.  For SGD without momentum and Adagrad, both
    without decay, that changes no result; for the others, moments then decay with each use and not with each step.

    ``lr`` is a number or a schedule, and may be set anew at any time.  A NaN in a gradient enters its parameter and
    moments, as in PyTorch: to look for it would be to wait for the device.  ``tg.detect_anomaly()`` finds its origin.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float | Schedule,
        *,
        moments: Sequence[str] = (),
        lazy: Iterable[Tensor] = (),
    ) -> None:
        self.params = [params] if isinstance(params, Tensor) else list(params)
        self.lr = lr
        if not callable(lr):
            self._not_negative(lr=lr)
        self.steps = 0  # taken so far
        self._check_parameters()
        tables = {id(table) for table in lazy}
        if not tables <= {id(parameter) for parameter in self.params}:
            raise ValueError(f"{type(self).__name__}: lazy must be a list of parameters of this optimiser")
        self._lazy = [position for position, parameter in enumerate(self.params) if id(parameter) in tables]
        self._tables = [self.params[position] for position in self._lazy]
        self._flat = Flat(type(self).__name__, [p for p in self.params if id(p) not in tables])
        self._updates = [0] * len(self.params)  # of each tensor of the flat array, then of each table
        self._moment_names = tuple(moments)
        self._initial_moment = 0.0
        self._moments: list[list[Array]] = []  # of the flat array, then of each table: one array for each name
        self._pieces: list[_Piece] = []
        self._given: list[bool] = []  # which tensors had a gradient when the pieces were cut

    def _check_parameters(self) -> None:
        name = type(self).__name__
        if not self.params:
            raise ValueError(f"{name}: needs at least one parameter")
        if len({id(parameter) for parameter in self.params}) < len(self.params):
            raise ValueError(f"{name}: a parameter is given twice")
        for position, parameter in enumerate(self.params):
            if not isinstance(parameter, Tensor):
                raise TypeError(f"{name}: parameter {position} is a {type(parameter).__name__}, not a tensor")
            if parameter.node is not None or parameter.dtype.kind != "f":
                raise ValueError(f"{name}: parameter {position} must be a floating leaf, it is {parameter!r}")
        check_alike(name, [parameter._data for parameter in self.params])

    def _not_negative(self, **settings: float) -> None:
        """Raise ValueError if a setting of the constructor is below 0 or not finite."""
        for name, value in settings.items():
            if not 0.0 <= value < math.inf:
                raise ValueError(f"{type(self).__name__}: {name} must be a number from 0 on, got {value}")

    # --- steps ---------------------------------------------------------------------------------------------------

    def minimize(self, loss: Tensor, *, max_norm: float | None = None) -> Tensor | None:
        """One step down the gradient of a scalar in exactly this optimiser's parameters; frees the loss's record.

        ``max_norm`` scales the gradients down to that common norm; the norm before is returned.
        Raises ValueError if the loss depends on none of the parameters.
        """
        name, flat = type(self).__name__, self._flat.tensors
        found = lookups(name, loss, self._tables)
        recorded = [tensor for tensor in flat if tensor.requires_grad]
        targets = recorded + [lookup.result for lookup in found]
        slopes = grad(loss, targets, allow_unused=True, release=True) if targets else ()
        if all(slope is None for slope in slopes):
            raise ValueError(f"{name}.minimize: the loss depends on none of the parameters")
        slope_of = {id(tensor): slope for tensor, slope in zip(recorded, slopes, strict=False) if slope is not None}
        gradients = [slope_of[id(tensor)]._data if id(tensor) in slope_of else None for tensor in flat]
        rows = row_gradients(found, slopes[len(recorded) :])
        norm = None if max_norm is None else wrap(_clip(gradients, rows, max_norm), None, False)
        self._step(gradients, rows)
        return norm

    def step(self) -> None:
        """One step with the gradients that ``backward`` left in ``.grad``."""
        for table in self._tables:
            if table.grad is not None:
                raise ValueError(
                    f"{type(self).__name__}.step: .grad does not tell which rows of the lazy parameter of shape "
                    f"{table.shape} were looked up; call minimize(loss) instead of backward() and step()"
                )
        gradients = [None if tensor.grad is None else tensor.grad._data for tensor in self._flat.tensors]
        for tensor, gradient in zip(self._flat.tensors, gradients, strict=True):
            if gradient is not None and (gradient.shape, gradient.dtype) != (tensor.shape, tensor.dtype):
                raise ValueError(
                    f"{type(self).__name__}.step: a parameter is {brief(tensor._data)}, its .grad {brief(gradient)}"
                )
        self._step(gradients, {})

    def zero_grad(self) -> None:
        """Forget the gradients in ``.grad``."""
        for parameter in self.params:
            parameter.grad = None

    def _step(self, gradients: list[Array | None], rows: Mapping[int, RowGradient]) -> None:
        arrays = list(self._arrays())
        check_alike(type(self).__name__, arrays)
        if not self._moments:
            self._moments = [
                [namespace(array).full_like(array, self._initial_moment) for _ in self._moment_names]
                for array in arrays
            ]
        self._check_moments(arrays[0])
        rate = self.lr(self.steps) if callable(self.lr) else self.lr
        with quiet(namespace(arrays[0])):
            if any(gradient is not None for gradient in gradients):
                self._step_flat(gradients, rate)
            for number, table in enumerate(self._tables, start=1):
                if id(table) in rows:
                    self._step_rows(number, table, rows[id(table)], rate)
            self.steps += 1
            if self.steps % _FLUSH_EVERY == 0:
                self._flush()

    def _arrays(self) -> Iterator[Array]:
        """What there are moments for: the flat array, empty if every parameter is a lazy table, then each table."""
        yield self._flat.array() if self._flat.tensors else self._tables[0]._data.reshape(-1)[:0]
        yield from (table._data for table in self._tables)

    def _step_flat(self, gradients: list[Array | None], rate: float) -> None:
        flat, moments = self._flat.array(), self._moments[0]
        xp = namespace(flat)
        given = [gradient is not None for gradient in gradients]
        if given != self._given:
            self._pieces, self._given = self._cut(given, block_bytes(xp) // flat.dtype.itemsize), given
        for position, present in enumerate(given):
            self._updates[position] += present
        updated = xp.empty_like(flat) if all(given) else flat.copy()
        for where, parts in self._pieces:
            stretches = [gradients[position].reshape(-1)[part] for position, part in parts]  # type: ignore[union-attr]
            gradient = stretches[0] if len(stretches) == 1 else xp.concatenate(stretches)
            owned, step = [moment[where] for moment in moments], self._updates[parts[0][0]]
            self._update(updated[where], flat[where], gradient, owned, step, rate)
        self._flat.rebind(updated)

    def _cut(self, given: list[bool], block: int) -> list[_Piece]:
        """Cut the flat array into pieces of at most a block, of tensors that are given and equally often updated."""
        pieces: list[_Piece] = []
        for position, place in enumerate(self._flat.slices):
            for start in range(place.start, place.stop if given[position] else place.start, block):
                where = slice(start, min(start + block, place.stop))
                part = position, slice(where.start - place.start, where.stop - place.start)
                last = pieces[-1] if pieces else None
                if (
                    last is not None
                    and last.where.stop == where.start
                    and where.stop - last.where.start <= block
                    and self._updates[last.parts[0][0]] == self._updates[position]
                ):
                    pieces[-1] = _Piece(slice(last.where.start, where.stop), [*last.parts, part])
                else:
                    pieces.append(_Piece(where, [part]))
        return pieces

    def _step_rows(self, number: int, table: Tensor, rows: RowGradient, rate: float) -> None:
        """Gather the rows of a table and of its moments, update them, and put them back."""
        where, gradient, touched = rows
        xp, counter = namespace(table._data), len(self._flat.tensors) + number - 1
        before = table._data[where]
        owned = [moment[where] if touched is None else moment.copy() for moment in self._moments[number]]
        updated = xp.empty_like(before)
        self._updates[counter] += 1
        self._update(updated, before, gradient, owned, self._updates[counter], rate)
        after = table._data.copy()
        for target, values in zip([after, *self._moments[number]], [updated, *owned], strict=True):
            target[where] = values if touched is None else xp.where(touched, values, target)
        table._data = after

    def _update(
        self, out: Array, parameters: Array, gradient: Array, moments: list[Array], step: int, rate: float
    ) -> None:
        """Write new values of some parameters to ``out`` and new values of their moments in place.

        All arrays have one shape.  ``parameters`` and ``gradient`` must not be written.  ``step`` counts the updates
        of these parameters, from 1 on.
        """
        raise TypeError(f"{type(self).__name__} defines no _update()")

    def _flush(self) -> None:
        """Make 0 of moments near the smallest number.

        Left to decay, as where a gradient stays 0, they would end among the subnormal numbers, with which many
        processors are a hundred times slower, and stay there: 0.9 times the smallest one rounds to itself.
        """
        for moment in (moment for moments in self._moments for moment in moments):
            limits = np.finfo(moment.dtype)
            moment *= abs(moment) >= float(limits.smallest_normal / limits.eps)

    def _check_moments(self, array: Array) -> None:
        """Raise if the parameters were moved or converted after the first step."""
        for moment in self._moments[0][:1]:
            if moment.dtype != array.dtype:
                raise ValueError(
                    f"{type(self).__name__}: the parameters became {array.dtype} since the last step, their moments "
                    f"are {moment.dtype}; make a new optimiser"
                )
            if device_of(moment) != device_of(array):
                raise ValueError(
                    f"{type(self).__name__}: the parameters moved to {device_of(array)} since the last step, their "
                    f"moments are on {device_of(moment)}; move them, too, with "
                    f"optimizer.load_state_dict(optimizer.state_dict())"
                )

    # --- saving --------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that later steps depend on and the constructor does not say; arrays are copies."""
        return {
            **self._identity(),
            "lr": None if callable(self.lr) else float(self.lr),
            "steps": self.steps,
            "updates": list(self._updates),
            "moments": {
                name: [moments[number].copy() for moments in self._moments]
                for number, name in enumerate(self._moment_names)
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state, to the same bits.  A state of another optimiser raises, and nothing is changed.

        Settings such as betas are the constructor's, and so is a schedule; a learning rate that is a number is loaded.
        Moments go to the device of the parameters.
        """
        arrays = list(self._arrays())
        check_state(state, self._identity(), callable(self.lr), self._moment_names, [a.shape for a in arrays])
        self.steps, self._updates = state["steps"], list(state["updates"])
        if not callable(self.lr):
            self.lr = float(state["lr"])
        self._given = []  # the pieces are cut anew
        self._moments = []
        if self.steps:
            here = device_of(arrays[0])
            loaded = zip(*(state["moments"][name] for name in self._moment_names), strict=True)
            self._moments = [[to_device(moment, here).copy() for moment in moments] for moments in loaded]
            self._moments = self._moments or [[] for _ in arrays]

    def _identity(self) -> dict[str, Any]:
        """What a state must share with the optimiser that loads it."""
        return {
            "optimizer": type(self).__name__,
            "dtype": str(self.params[0].dtype),
            "shapes": [list(parameter.shape) for parameter in self.params],
            "lazy": list(self._lazy),
        }


def _clip(gradients: list[Array | None], rows: dict[int, RowGradient], max_norm: float) -> Array:
    """Scale all gradients, in the list and in the dictionary, to a common norm; returns the norm before."""
    given = [position for position, gradient in enumerate(gradients) if gradient is not None]
    norm, scaled = clipped(
        [gradients[position] for position in given] + [row.gradient for row in rows.values()], max_norm
    )
    for position, gradient in zip(given, scaled, strict=False):
        gradients[position] = gradient
    for (key, row), gradient in zip(list(rows.items()), scaled[len(given) :], strict=True):
        rows[key] = row._replace(gradient=gradient)
    return norm
