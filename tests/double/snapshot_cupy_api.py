"""Write ``cupy_api.json`` anew: the names and keywords of an installed CuPy (a wheel will do, no GPU needed).

Use: ``pip install cupy-cuda12x && python tests/double/snapshot_cupy_api.py``; ``git diff`` then shows what changed.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

NAMESPACES = ["", "linalg", "random", "fft", "lib.stride_tricks"]


def public_names(namespace: Any) -> list[str]:
    """The public names of a namespace, submodules left out."""
    names = (name for name in dir(namespace) if not name.startswith("_"))
    return sorted(name for name in names if not inspect.ismodule(getattr(namespace, name)))


def parameter_names(function: Callable[..., Any]) -> list[str] | None:
    """Parameter names by signature; None if there is none or it ends in ``**kwargs``."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters]


def documented_parameters(owner: type, methods: Iterable[str]) -> dict[str, list[str]]:
    """Parameter names of a Cython class's methods: the first line of a docstring is the signature."""
    found = {}
    for name in methods:
        first_line = (getattr(owner, name).__doc__ or "").split("\n", 1)[0]
        signature = re.match(rf"\w+\.{name}\((.*)\)", first_line)
        if signature:
            parameters = signature[1].split(", ")[1:]  # the first is self; no default contains ", "
            found[name] = [re.sub(r"=.*", "", p).split()[-1] for p in parameters if not p.startswith("*")]
    return found


def snapshot() -> dict[str, Any]:
    """Everything the double needs to know about the installed CuPy."""
    cupy = importlib.import_module("cupy")
    methods = [name for name in dir(cupy.ndarray) if not name.startswith("_")]
    generator = [name for name in dir(cupy.random.Generator) if not name.startswith("_")]
    ufuncs = {name: value for name, value in vars(cupy).items() if isinstance(value, cupy.ufunc)}
    found: dict[str, Any] = {
        "version": cupy.__version__,
        "names": {},
        "kwargs": {},
        "methods": methods,
        "method_kwargs": documented_parameters(cupy.ndarray, methods),
        "generator": generator,
        "generator_kwargs": documented_parameters(cupy.random.Generator, generator),
        "at": sorted(name for name, ufunc in ufuncs.items() if getattr(ufunc, "_scatter_op", None)),
    }
    for dotted in NAMESPACES:
        namespace = importlib.import_module(f"cupy.{dotted}" if dotted else "cupy")
        found["names"][dotted] = public_names(namespace)
        for name in found["names"][dotted]:
            value = getattr(namespace, name)
            if callable(value) and not inspect.isclass(value) and not isinstance(value, cupy.ufunc):
                parameters = parameter_names(value)
                if parameters is not None:
                    found["kwargs"][f"{dotted}.{name}" if dotted else name] = parameters
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # importing CuPy without a driver warns
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("cupy_api.json")
    target.write_text(json.dumps(snapshot(), indent=0, sort_keys=True) + "\n")
