"""Floor 5. ``load``: every data set by its name, from one table."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def _lazily(module: str, function: str) -> Callable[..., Any]:
    """``tinygen.data.<module>.<function>``, imported at the first call: a set that is not asked for costs nothing."""

    def loader(**options: Any) -> Any:
        return getattr(import_module(f"tinygen.data.{module}"), function)(**options)

    return loader


LOADERS: dict[str, Callable[..., Any]] = {
    # bundled
    "digits8": _lazily("images", "digits8"),
    "mnist16": _lazily("images", "mnist16"),
    "faces": _lazily("faces", "faces"),
    "glyphs": _lazily("glyphs", "glyphs"),
    "wordnet": _lazily("text", "wordnet"),
    "spoken_digits": _lazily("sounds", "spoken_digits"),
    # found on this machine, or downloaded when asked
    "mnist": _lazily("public", "mnist"),
    "fashion": _lazily("public", "fashion"),
    "text8": _lazily("public", "text8"),
    "shakespeare": _lazily("public", "shakespeare"),
}


def load(name: str, **options: Any) -> Any:
    """The data set called ``name``; what it returns and its ``options`` are told by its loader's own docstring.

    Ships with tinygen: ``digits8``, ``mnist16``, ``faces``, ``glyphs``, ``wordnet``, ``spoken_digits``.  Found on this
    machine, or downloaded with ``download=True``: ``mnist``, ``fashion``, ``text8``, ``shakespeare``.  No other set
    touches the network, nor do these without it.

    >>> import tinygen as tg
    >>> tg.data.load("digits8").images.shape
    (1797, 1, 8, 8)
    """
    if name not in LOADERS:
        raise ValueError(f"load: there is no data set {name!r}; there are {', '.join(sorted(LOADERS))}")
    return LOADERS[name](**options)
