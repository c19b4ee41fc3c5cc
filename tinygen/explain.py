"""Floor 4. The record made readable: ``explain`` writes a derivative as source text, ``draw`` as a picture.

A node is a record, so a gradient (also the gradient of a gradient) can be written out as a NumPy script that
runs without tinygen.  A primitive whose forward is one expression is written in place; for the others the
function's own source, and what it calls, is put in front.
"""

from __future__ import annotations

import ast
import base64
import inspect
import textwrap
import types
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygen.autograd import grad
from tinygen.backend import to_host
from tinygen.primitive import Primitive
from tinygen.record import Node, brief, show_location
from tinygen.tensor import Tensor

# What the sources say about libraries and devices, for a script that knows NumPy alone.
_STAND_INS = {
    "namespace": "def namespace(*arrays):\n    return np",
    "quiet": "def quiet(xp):\n    return np.errstate(all='ignore')",
    "block_bytes": "def block_bytes(xp):\n    return 1 << 20",
    "to_device": "def to_device(array, device):\n    return array",
}


def explain(loss: Tensor, wrt: Tensor | Sequence[Tensor]) -> str:
    """The computation of a scalar and its gradients, as a standalone NumPy script.

    The script defines ``gradient(...)``, which returns the loss and a tuple of gradients; run as a program it
    calls it with the recorded values and prints the result.

    >>> import tinygen as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> "np.exp(" in tg.explain(tg.exp(x).sum(), x)
    True
    """
    targets = [wrt] if isinstance(wrt, Tensor) else list(wrt)
    gradients = grad(loss, targets, create_graph=True)
    script = _Script()
    results = [script.name_of(tensor) for tensor in (loss, *gradients)]
    return script.text(results[0], results[1:])


def recorded(*tensors: Tensor) -> list[Node]:
    """All nodes that the tensors were computed by, oldest first, masks and other constants included."""
    pending = [tensor.node for tensor in tensors if tensor.node is not None]
    seen = set(pending)
    while pending:
        node = pending.pop()
        if node.args is None:
            raise RuntimeError(
                f"the record at {show_location(node.location)} was freed by backward(); draw or explain first"
            )
        for arg in node.args:
            if isinstance(arg, Tensor) and arg.node is not None and arg.node not in seen:
                seen.add(arg.node)
                pending.append(arg.node)
    return sorted(seen, key=lambda node: node.sequence)


class _Script:
    """A script in the making: the lines of ``gradient`` and the values and functions that they need."""

    def __init__(self) -> None:
        self.names: dict[Any, str] = {}  # of nodes, leaves and constant arrays
        self.values: dict[str, np.ndarray] = {}
        self.lines: list[str] = []
        self.functions: dict[str, str] = {}
        self.imports = {"import numpy as np"}
        self._kept_alive: list[Any] = []  # names go by identity

    def name_of(self, value: Any) -> str:
        """The variable that holds a tensor or an array; what it was computed from is written first."""
        if isinstance(value, Tensor) and value.node is not None:
            if value.node not in self.names:
                for node in recorded(value):
                    if node not in self.names:
                        self._write(node)
            return self.names[value.node]
        if id(value) not in self.names:
            raw = value._data if isinstance(value, Tensor) else value
            name = f"{'x' if isinstance(value, Tensor) else 'c'}{len(self.values) + 1}"
            self.names[id(value)], self.values[name] = name, to_host(raw)
            self._kept_alive.append(value)
        return self.names[id(value)]

    def _write(self, node: Node) -> None:
        operands = []
        for arg, raw in zip(node.args, node.inputs, strict=True):  # type: ignore[arg-type]
            name = self.name_of(arg) if isinstance(arg, Tensor) else self._literal(raw)
            cast = isinstance(arg, Tensor) and arg.dtype != raw.dtype
            operands.append(f"{name}.astype({str(raw.dtype)!r})" if cast else name)
        keywords = {name: self._literal(value) for name, value in node.kwargs.items()}
        self.names[node] = f"t{len(self.lines) + 1}"
        call = self._in_place(node.primitive, operands, keywords) or self._call(node.primitive, operands, keywords)
        place = show_location(node.location).replace("\n", " ")
        self.lines.append(f"{self.names[node]} = {call}  # {brief(node.output)} {place}")

    def _literal(self, value: Any) -> str:
        """A constant as source text; arrays become variables."""
        if type(value) is tuple:
            return f"({''.join(self._literal(part) + ', ' for part in value)})"
        if isinstance(value, np.dtype):
            return f"np.dtype({str(value)!r})"
        if hasattr(value, "dtype"):
            return self.name_of(value)
        if isinstance(value, float) and not np.isfinite(value):
            return f"float({str(value)!r})"
        if not isinstance(value, (int, float, str, slice, type(None), type(Ellipsis))):
            self._need(type(value).__name__, type(value), inspect.getsource(type(value)))
        return repr(value)

    def _in_place(self, primitive: Primitive[Any], operands: list[str], keywords: dict[str, str]) -> str | None:
        """The forward's expression with the operands put in, if it is a single one without helpers."""
        body = [line for line in _definition(primitive.forward).body if not _is_docstring(line)]
        if len(body) != 1 or not isinstance(body[0], ast.Return) or body[0].value is None:
            return None
        bound = primitive.__signature__.bind(*operands, **keywords)
        bound.apply_defaults()
        substitution = _Substitution({name: _as_source(value) for name, value in bound.arguments.items()})
        expression = substitution.visit(body[0].value)
        return None if substitution.helpers else ast.unparse(expression)

    def _call(self, primitive: Primitive[Any], operands: list[str], keywords: dict[str, str]) -> str:
        self._need(primitive.__name__, primitive.forward, ast.unparse(_definition(primitive.forward)))
        arguments = operands + [f"{name}={value}" for name, value in keywords.items()]
        return f"{primitive.__name__}({', '.join(arguments)})"

    def _need(self, name: str, of: Any, source: str) -> None:
        """Put a function or class, and whatever of the project it uses, in front of the script."""
        if name in self.functions:
            return
        self.functions[name] = _STAND_INS.get(name) or source
        if name in _STAND_INS:
            return
        module = inspect.getmodule(of)
        for used in {part.id for part in ast.walk(ast.parse(source)) if isinstance(part, ast.Name)}:
            found = getattr(module, used, None)
            if isinstance(found, types.ModuleType):
                self.imports.add(f"import {found.__name__}" + (f" as {used}" if used != found.__name__ else ""))
            elif isinstance(found, types.FunctionType):
                self._need(used, found, ast.unparse(_definition(found)))
            elif isinstance(found, Primitive):
                self._need(used, found.forward, ast.unparse(_definition(found.forward)))
            elif isinstance(found, type) and found.__module__.startswith("tinygen"):
                self._need(used, found, inspect.getsource(found))

    def text(self, loss: str, gradients: list[str]) -> str:
        if any("(NamedTuple)" in source for source in self.functions.values()):
            self.imports.add("from typing import NamedTuple")
        values = [f"{name} = {_array_text(value)}" for name, value in self.values.items()]
        if any("base64" in value for value in values):
            self.imports.add("import base64")
        parts = [
            '"""A computation and its gradients, written out by tinygen.explain."""\n',
            "from __future__ import annotations\n",
            "\n".join(sorted(self.imports)) + "\n",
            *(f"\n{source}\n" for source in self.functions.values()),
            f"\ndef gradient({', '.join(self.values)}):\n"
            + textwrap.indent("\n".join([*self.lines, f"return {loss}, ({', '.join(gradients)},)"]), "    ")
            + "\n",
            '\nif __name__ == "__main__":\n'
            + textwrap.indent("\n".join(values), "    ")
            + f"\n    print(gradient({', '.join(self.values)}))\n",
        ]
        return "\n".join(parts)


def _as_source(argument: Any) -> str:
    """An argument that is source text, a tuple of such texts (of ``*args``), or a default value."""
    if isinstance(argument, tuple) and all(isinstance(part, str) for part in argument):
        return f"({''.join(part + ', ' for part in argument)})"
    return argument if isinstance(argument, str) else repr(argument)


def _array_text(value: np.ndarray) -> str:
    """An array as an expression: readable when small, exact always."""
    if 0 < value.size <= 16 and np.all(np.isfinite(value)):
        return f"np.array({value.tolist()!r}, dtype={str(value.dtype)!r})"
    encoded = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
    return f"np.frombuffer(base64.b64decode({encoded!r}), dtype={str(value.dtype)!r}).reshape({value.shape})"


def _definition(function: Any) -> ast.FunctionDef:
    """A function's source as a tree, without its decorators."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    tree.decorator_list = []
    return tree


def _is_docstring(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)


class _Substitution(ast.NodeTransformer):
    """Operands in place of parameters, and NumPy in place of ``namespace(…)``; other names are helpers."""

    def __init__(self, operands: dict[str, str]) -> None:
        self.operands = operands
        self.helpers = False

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "namespace":
            return ast.Name("np")
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self.operands:
            return ast.parse(self.operands[node.id], mode="eval").body
        self.helpers = True
        return node


def draw(tensor: Tensor) -> str:
    """The recorded graph in Mermaid's notation, which Markdown viewers show as a picture.

    Rounded boxes are leaves, the others operations.

    >>> import tinygen as tg
    >>> print(tg.draw(tg.tensor([1.0, 2.0], requires_grad=True).sum()))
    flowchart LR
      n0(["float32[2] requires_grad"])
      n1["sum float32[]"]
      n0 --> n1
    """
    names: dict[Any, str] = {}
    lines = ["flowchart LR"]

    def name_of(value: Tensor) -> str:
        key = value.node or id(value)
        if key not in names:  # a leaf: operations are named before they are used
            names[key] = f"n{len(names)}"
            mark = " requires_grad" if value.requires_grad else ""
            lines.append(f'  {names[key]}(["{brief(value._data)}{mark}"])')
        return names[key]

    for node in recorded(tensor):
        sources = [name_of(arg) for arg in node.args or () if isinstance(arg, Tensor)]
        names[node] = f"n{len(names)}"
        lines.append(f'  {names[node]}["{node.primitive.name} {brief(node.output)}"]')
        lines += [f"  {source} --> {names[node]}" for source in sources]
    name_of(tensor)
    return "\n".join(lines)
