"""Mutation of every derivative rule: each change that makes a rule wrong must be caught by the tests.

The source of each rule (and of the helpers that only rules call) is parsed; each *mutant* is the rule with one
change: a sign flipped, a term or a factor dropped, arguments swapped, a transpose forgotten, a factor detached, a
wrong residual …  A mutant takes the place of the rule and the checks of ``cases.py`` that run that rule are made,
cheapest first, until one fails.  One that none catches is a *survivor*: a wrong derivative that the tests miss.

``python tests/mutation.py [primitive …]`` prints how many mutants were made and what caught them.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import functools
import inspect
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from cases import CASES, KINKS, LINALG, Case, Kink
from checks import (
    NARROW_TOLERANCE,
    TOLERANCE,
    Probe,
    check_kink,
    check_single_precision,
    discrepancies,
    ladder,
    leaves,
    reference,
)

import tinygen as tg
from tinygen.primitive import Each, Primitive

# --- which changes -----------------------------------------------------------------------------------------------

SIBLINGS = {  # primitives that are easily confused; also those that keep a zero with those that do not
    "cos": "sin", "sin": "cos", "cosh": "sinh", "sinh": "cosh", "exp": "expm1", "log": "log1p", "sqrt": "square",
    "sigmoid": "tanh", "tril": "triu", "triu": "tril", "maximum": "minimum", "greater": "less", "less": "greater",
    "greater_equal": "less_equal", "less_equal": "greater_equal", "multiply_or_zero": "multiply",
    "divide_or_zero": "divide", "xlogy": "multiply", "equal": "not_equal", "not_equal": "equal",
}  # fmt: skip
STRICTNESS = {
    "greater": "greater_equal", "greater_equal": "greater", "less": "less_equal", "less_equal": "less",
    ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
}  # fmt: skip
ARITHMETIC = {ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Div], ast.Div: [ast.Mult]}
SYMMETRIC = {"maximum", "minimum", "equal", "not_equal", "multiply", "add"}  # swapping their arguments changes nothing
# What depends on the values or shapes of its arguments but has no derivative: detaching inside changes nothing.
CONSTANT_CALLS = {
    "greater", "greater_equal", "less", "less_equal", "equal", "not_equal", "sign", "isinstance", "len", "range",
    "_identity", "device_of", "raw",
}  # fmt: skip
ABOUT_SHAPE = {"shape", "ndim", "dtype", "size"}

_WHY: dict[str, list[tuple[str, str]]] = {
    "where x₁ > x₂ (or x₁ ≥ x₂) also the maximum is; the minimum alike": [
        ("maximum[0]", "greater(a, b) → greater(y, b)"),
        ("maximum[0]", "greater_equal(a, b) → greater_equal(a, y)"),
        ("maximum[1]", "less(a, b) → less(a, y)"),
        ("maximum[1]", "less_equal(a, b) → less_equal(y, b)"),
        ("minimum[0]", "less(a, b) → less(y, b)"),
        ("minimum[0]", "less_equal(a, b) → less_equal(a, y)"),
        ("minimum[1]", "greater(a, b) → greater(a, y)"),
        ("minimum[1]", "greater_equal(a, b) → greater_equal(y, b)"),
    ],
    "given the other comparison, the clipped value stands for the bound that it may have met": [
        ("clip[0]", "less_equal(x, high) → less_equal(x, y)"),
        ("clip[1]", "less_equal(low, high) → less_equal(low, y)"),
        ("clip[1]", "less(x, low) → less(x, y)"),
        ("clip[2]", "greater(maximum(x, low), high) → greater(maximum(x, low), y)"),
    ],
    "the output is positive exactly where x is": [
        ("relu[0]", "greater(x, 0) → greater(y, 0)"),
        ("leaky_relu[0]", "greater(x, 0) → greater(y, 0)"),
    ],
    "a short cut for speed: the general formula gives the same": [
        ("_power_base", "if p == 2: → pass"),
        ("matmul[1]", "sum_to(_matmul(swapaxes(a, -1, -2), g), shape=b.shape) if b.ndim > 2 else _left(a, g) → "
                      "sum_to(_matmul(swapaxes(a, -1, -2), g), shape=b.shape)"),
        ("matmul[1]", "b.ndim > 2 → b.ndim >= 2"),
        ("matmul[1]", "b.ndim > 2 → b.ndim > 1"),
        ("matmul[1]", "b.ndim > 2 → g.ndim > 2"),
        ("matmul[1]", "b.ndim > 2 → y.ndim > 2"),
        ("cofactor", "if n > 8: → pass"),
        ("cofactor", "n > 8 → n > 9"),
    ],
    "at p = 1 both branches are g": [("_power_base", "p >= 1 → p > 1")],
    "p is a number here, which has no derivative": [
        ("_power_base", "p * (g * x ** (p - 1)) → detach(p) * (g * x ** (p - 1))"),
        ("_power_base", "p * g → detach(p) * g"),
        ("_power_base", "1 - p → 1 - detach(p)"),
        ("_power_base", "p - 1 → detach(p) - 1"),
    ],
    "matrices are square": [("cofactor", "a.shape[-1] → a.shape[-2]")],
    "0 · a gives m the shape and the device of a, no value": [("cofactor", "0.0 * a → 0.0 * detach(a)")],
    "m is a polynomial in a, so the two commute": [("cofactor", "product = _matmul(a, m) → product = _matmul(m, a)")],
    "cholesky symmetrises its argument, so only the symmetric part of its gradient is seen": [
        ("_cholesky_rule", "_solve(transposed, swapaxes(phi, -1, -2)) → _solve(transposed, phi)"),
        ("_cholesky_rule", "s + swapaxes(s, -1, -2) → s + s"),
        *(
            ("_cholesky_rule", f"swapaxes({name}, -1, -2) → swapaxes({name}, {axes})")
            for name in ("phi", "s") for axes in ("1, -2", "-2, -2", "-1, -1")
        ),
    ],
    "where regular is 1 its complement is 0; elsewhere the numerator is 0": [
        ("_norm2_rule", "regular / (y + (1.0 - regular)) → regular / (y - (1.0 - regular))"),
        ("_norm2_rule", "y + (1.0 - regular) → y + (regular - 1.0)"),
    ],
    "x has as many axes as the output": [("linear[2]", "g.ndim - 1 → x.ndim - 1")],
    "all axes but the last have the same sizes": [("_left", "a.shape[:-1] → g.shape[:-1]")],
    "x and y are only compared": [
        (rule, f"_share(g, y, x, axis, keepdims) → _share(g, {changed}, axis, keepdims)")
        for rule in ("max[0]", "min[0]") for changed in ("detach(y), x", "y, detach(x)")
    ],
    "one cut from the whole a step, or many from ever smaller parts: only the time differs": [
        ("_lstm_rule", f"(unstack(y), unstack(g)) → {changed}") for changed in ("(y, unstack(g))", "(unstack(y), g)")
    ],
    "detach leaves lists alone": [
        ("_lstm_rule", " for row in rows →  for row in detach(rows)"),
        *(("_lstm_rule", f"{name}[t] → detach({name})[t]") for name in ("rows", "cotangents", "cells")),
    ],
    "the rule uses all but the first part": [("_unpacked", "packed[:first] → detach(packed)[:first]")],
    "NumPy takes every negative size for −1": [("_packed", "reshape(x, -1) → reshape(x, -2)")],
    "any finite number will do: −∞ minus it is −∞": [
        ("_logsumexp_rule", f"where(greater(y, -float('inf')), y, 0.0) → where(greater(y, -float('inf')), y, {number})")
        for number in ("1.0", "-1.0")
    ],
}  # fmt: skip
EQUIVALENT = {change: why for why, changes in _WHY.items() for change in changes}
"""(rule, before → after) of every change that does not make the rule wrong, and why.

Each of these is tried all the same: if the rule is rewritten, or the change is caught, ``test_mutation.py`` says so."""


@dataclass(frozen=True)
class Rule:
    """The source of one rule, or of a helper of rules (``position`` None)."""

    module: ModuleType
    primitives: tuple[tuple[Primitive[Any], int | None], ...]  # whose checks apply, and for which argument
    source: ast.Lambda | ast.FunctionDef
    arrays: frozenset[str]  # parameters that hold arrays, without the cotangent
    smooth: frozenset[str]  # those of them (and the cotangent) that a derivative flows through
    options: frozenset[str]  # keyword parameters, the same as the primitive's
    cotangent: tuple[str, ...]  # the names of the cotangent and of the output, which have one shape
    is_each: bool = False

    @property
    def name(self) -> str:
        if isinstance(self.source, ast.FunctionDef):
            return self.source.name
        primitive, position = self.primitives[0]
        return f"{primitive.name}[{position}]"

    @property
    def places(self) -> list[tuple[str, int | None]]:
        return [(primitive.name, position) for primitive, position in self.primitives]


@dataclass(frozen=True)
class Mutant:
    """A rule with one change."""

    rule: Rule
    change: str  # the kind of change
    text: str  # the smallest expression around it, before → after
    source: ast.Lambda | ast.FunctionDef


# --- finding the rules -------------------------------------------------------------------------------------------


def modules() -> list[ModuleType]:
    """Every module in which a primitive is made."""
    return [sys.modules[name] for name in sorted({primitive.__module__ for primitive in Primitive.registry.values()})]


def rules_of(module: ModuleType) -> list[Rule]:
    """The rules that a module gives to its primitives, and the helpers that they call."""
    tree = ast.parse(inspect.getsource(module))
    functions = {f.name: f for f in tree.body if isinstance(f, ast.FunctionDef) and not _is_primitive(f)}
    found: list[Rule] = []
    users: dict[str, list[tuple[Primitive[Any], int | None]]] = {}

    def add(target: str, position: int | None, source: ast.expr, refused: set[int], is_each: bool = False) -> None:
        primitive = getattr(module, target)
        if isinstance(source, ast.Lambda):
            found.append(_described(module, ((primitive, position),), source, refused))
            callees = _callees(source, functions)
        else:
            assert isinstance(source, ast.Name), ast.unparse(source)
            users.setdefault(source.id, []).append((primitive, position))
            each.update({source.id} if is_each else ())
            callees = _callees(functions[source.id], functions)
        for callee in callees:
            users.setdefault(callee, []).append((primitive, position))

    each: set[str] = set()
    for statement in tree.body:
        match statement:
            case ast.Expr(ast.Call(ast.Attribute(ast.Name(target), "derivatives"), arguments)):
                refused = {i for i, a in enumerate(arguments) if isinstance(a, ast.Constant)}
                for position, argument in enumerate(arguments):
                    if position not in refused:
                        add(target, position, argument, refused)
            case ast.Expr(ast.Call(ast.Attribute(ast.Name(target), "derivatives_each"), [argument])):
                add(target, None, argument, set(), is_each=True)
    for name, primitives in users.items():
        found.append(_described(module, tuple(primitives), functions[name], set(), name in each))
    return found


def _is_primitive(function: ast.FunctionDef) -> bool:
    return any("primitive" in ast.unparse(decorator) for decorator in function.decorator_list)


def _callees(source: ast.AST, functions: dict[str, ast.FunctionDef], direct: bool = True) -> set[str]:
    """The helpers that a rule calls: private functions of its module, or public ones that are not operations."""
    found: set[str] = set()
    for node in ast.walk(source):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions:
            name = node.func.id
            helps = name.startswith("_") or (direct and name not in {*tg.ops.__all__, *LINALG})
            if helps and any(isinstance(inner, ast.Return) for inner in ast.walk(functions[name])):
                found |= {name} | _callees(functions[name], functions, direct=False)
    return found


def _described(
    module: ModuleType, primitives: Any, source: ast.Lambda | ast.FunctionDef, refused: set[int], is_each: bool = False
) -> Rule:
    """Tell a rule's array parameters from its options."""
    given = [a.arg for a in source.args.args]
    cotangent = tuple(given[:2]) if isinstance(source, ast.Lambda) else ("g", "y")
    if isinstance(source, ast.Lambda):
        forward = list(inspect.signature(primitives[0][0].forward).parameters.values())
        is_array = [p.annotation == "Array" and i not in refused for i, p in enumerate(forward)]
        names = [name for name, array in zip(given[2:], is_array, strict=False) if array]
        arrays, smooth = {given[1], *names}, {given[0], given[1], *names}
    else:
        names = [a.arg for a in source.args.args if ast.unparse(a.annotation or ast.Constant(None)) == "Any"]
        arrays, smooth = set(names) - {"g"}, set(names)
    options = {a.arg for a in source.args.args + source.args.kwonlyargs} - arrays - smooth
    return Rule(
        module, primitives, source, frozenset(arrays), frozenset(smooth), frozenset(options), cotangent, is_each
    )


# --- making mutants ----------------------------------------------------------------------------------------------


def mutants_of(rule: Rule) -> list[Mutant]:
    """All mutants of a rule, each once."""
    nodes = list(ast.walk(rule.source))
    parents = {child: parent for parent in nodes for child in ast.iter_child_nodes(parent)}
    place = {node: index for index, node in enumerate(nodes)}
    smooth = _smooth_names(rule)
    made: dict[str, Mutant] = {ast.unparse(rule.source): Mutant(rule, "none", "", rule.source)}
    for node in _body(rule.source):
        around = node if isinstance(node, (ast.If, ast.IfExp, ast.Compare)) else parents[node]
        while isinstance(around, (ast.UnaryOp, ast.Attribute)) and around in parents:  # −1, x.shape: say where
            around = parents[around]
        around = node if isinstance(around, (ast.Lambda, ast.FunctionDef)) else around
        for change, new in _changes(node, rule, parents, smooth):
            mutated = copy.deepcopy(rule.source)
            copies = list(ast.walk(mutated))
            _replace(copies[place[parents[node]]], copies[place[node]], new)
            source = ast.unparse(mutated)
            after = new if around is node else copies[place[around]]
            text = f"{_line(around)} → {_line(after)}"
            made.setdefault(source, Mutant(rule, change, text, _parsed(source)))
    return list(made.values())[1:]


def _parsed(source: str) -> Any:
    """The lambda or the function in a piece of source."""
    (statement,) = ast.parse(source).body
    return statement.value if isinstance(statement, ast.Expr) else statement


def _line(node: ast.AST) -> str:
    return ast.unparse(node).partition("\n")[0]


def _body(source: ast.Lambda | ast.FunctionDef) -> list[ast.AST]:
    """Every node that computes: not the signature, the docstring and calls that only refuse bad arguments."""
    if isinstance(source, ast.Lambda):
        return list(ast.walk(source.body))
    return [node for part in source.body if not isinstance(part, ast.Expr) for node in ast.walk(part)]


def _replace(parent: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for name, value in ast.iter_fields(parent):
        if value is old:
            setattr(parent, name, new)
        elif isinstance(value, list):
            value[:] = [new if item is old else item for item in value]


def _smooth_names(rule: Rule) -> set[str]:
    """The smooth parameters and the local variables computed from them."""
    smooth = set(rule.smooth)
    if isinstance(rule.source, ast.FunctionDef):
        for node in ast.walk(rule.source):
            if isinstance(node, ast.Assign) and _is_smooth(node.value, smooth):
                smooth |= {name.id for name in ast.walk(node.targets[0]) if isinstance(name, ast.Name)}
    return smooth


def _is_smooth(node: ast.AST, smooth: set[str]) -> bool:
    """Whether a derivative flows through an expression."""
    if isinstance(node, ast.Name):
        return node.id in smooth
    if isinstance(node, ast.Compare) or (isinstance(node, ast.Attribute) and node.attr in ABOUT_SHAPE):
        return False
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CONSTANT_CALLS:
        return False
    return any(_is_smooth(child, smooth) for child in ast.iter_child_nodes(node))


def _flows(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    """Whether a derivative flows through the place at which a name stands."""
    while node in parents:
        parent = parents[node]
        if isinstance(parent, ast.Compare) or (isinstance(parent, ast.Attribute) and parent.attr in ABOUT_SHAPE):
            return False
        if isinstance(parent, ast.Call) and isinstance(parent.func, ast.Name):
            if node is parent.func or parent.func.id in CONSTANT_CALLS:
                return False
            if parent.func.id == "where" and node is parent.args[0]:
                return False
        if isinstance(parent, ast.IfExp) and node is parent.test:
            return False
        node = parent
    return True


def _changes(
    node: ast.AST, rule: Rule, parents: dict[ast.AST, ast.AST], smooth: set[str]
) -> Iterator[tuple[str, ast.AST]]:
    """Everything that may take the place of one node of a rule."""
    parent = parents[node]
    is_result = isinstance(parent, (ast.Return, ast.Lambda)) and isinstance(node, ast.expr)
    if is_result:
        yield "flip sign", ast.UnaryOp(ast.USub(), node)
        yield "scale by 1.01", ast.BinOp(ast.Constant(1.01), ast.Mult(), node)
        if rule.name not in CONSTANT_CALLS and not isinstance(node, ast.Tuple):
            yield "detach the result", ast.Call(ast.Name("detach"), [node], [])
    match node:
        case ast.BinOp(left, operation, right):
            for other in ARITHMETIC.get(type(operation), []):
                yield f"{type(operation).__name__} to {other.__name__}", ast.BinOp(left, other(), right)
            kind = "term" if isinstance(operation, (ast.Add, ast.Sub)) else "factor"
            yield f"drop a {kind}", left
            yield f"drop a {kind}", right
            if isinstance(operation, (ast.Sub, ast.Div, ast.Pow)):
                yield "swap operands", ast.BinOp(right, operation, left)
        case ast.UnaryOp(ast.USub(), operand):
            yield "drop a minus", operand
        case ast.Constant(bool(value)):
            yield "change a constant", ast.Constant(not value)
        case ast.Constant(int(value) | float(value)):
            yield "change a constant", ast.Constant(value + 1)
            yield "change a constant", ast.Constant(value - 1)
        case ast.If(_, body, []):
            yield "never a special case", ast.Pass()
            yield "always the special case", ast.If(ast.Constant(True), body, [])
        case ast.Compare(left, [operation], [right]) if type(operation) in STRICTNESS:
            yield "change a comparison", ast.Compare(left, [STRICTNESS[type(operation)]()], [right])
        case ast.IfExp(_, first, second):
            yield "take one branch", first
            yield "take one branch", second
        case ast.Subscript(value, _):
            yield "forget to cut", value
        case ast.Attribute(value, "T" | "mT"):
            yield "forget to transpose", value
        case ast.Attribute(ast.Name(owner), attribute) if (
            attribute in ABOUT_SHAPE and owner in rule.arrays | rule.smooth
        ):
            same = attribute == "dtype" and "dtype" not in rule.options  # all arrays of an operation have one dtype
            for other in [] if same else sorted((rule.arrays | rule.smooth) - {owner}):
                if {owner, other} != set(rule.cotangent):
                    yield "another's shape", ast.Attribute(ast.Name(other), attribute)
        case ast.keyword(name, value) if name in rule.options and not isinstance(value, ast.Name):
            yield "the option as it is", ast.keyword(name, ast.Name(name))
        case ast.Call():
            yield from _changes_of_call(node, rule, smooth)
        case ast.Name():
            yield from _changes_of_name(node, rule, parents, smooth)


def _changes_of_call(node: ast.Call, rule: Rule, smooth: set[str]) -> Iterator[tuple[str, ast.AST]]:
    name, arguments = node.func.id if isinstance(node.func, ast.Name) else "", node.args
    if (
        arguments
        and not isinstance(arguments[0], (ast.GeneratorExp, ast.Starred))
        and name not in ("isinstance", "range", "tuple")
    ):
        yield f"drop {name}", arguments[0]
    for table in (SIBLINGS, STRICTNESS):
        if table.get(name, name) != name and hasattr(rule.module, table[name]):
            yield f"{name} to {table[name]}", ast.Call(ast.Name(table[name]), arguments, node.keywords)
    of_arrays = len(arguments) > 1 and all(_is_smooth(a, smooth | set(rule.arrays)) for a in arguments[:2])
    if of_arrays and name not in SYMMETRIC:
        swapped = [arguments[1], arguments[0], *arguments[2:]]
        yield "swap arguments", ast.Call(node.func, swapped, node.keywords)


def _changes_of_name(
    node: ast.Name, rule: Rule, parents: dict[ast.AST, ast.AST], smooth: set[str]
) -> Iterator[tuple[str, ast.AST]]:
    parent = parents[node]
    if isinstance(parent, ast.Attribute) or not isinstance(node.ctx, ast.Load):
        return
    if node.id in smooth and _flows(node, parents):
        yield "detach", ast.Call(ast.Name("detach"), [node], [])
    if node.id in rule.arrays | rule.smooth:
        for other in sorted((rule.arrays | rule.smooth) - {node.id}):
            yield "wrong residual", ast.Name(other)
    if node.id == "axis" and node.id in rule.options:
        another = "axis - 1" if _annotation(rule, "axis") == "int" else "axis[:-1]"
        yield "wrong axis", ast.parse(another, mode="eval").body


def _annotation(rule: Rule, name: str) -> str:
    """The declared type of an option, of the helper itself or of the primitive."""
    function = rule.source.name if isinstance(rule.source, ast.FunctionDef) else ""
    owner = getattr(rule.module, function, None) or rule.primitives[0][0].forward
    return str(inspect.signature(owner).parameters[name].annotation)


# --- what runs which rule ----------------------------------------------------------------------------------------


@functools.cache
def runs() -> dict[tuple[str, int], list[tuple[int, Case | Kink]]]:
    """For each rule, (order at which it first runs, case) of all cases and kinks that run it, most direct first."""
    found: dict[tuple[str, int], dict[Case | Kink, int]] = {}
    current: list[Any] = [None, 0]

    class Recorder:
        def __init__(self, primitive: Primitive[Any]) -> None:
            self.primitive, self.rules = primitive, primitive.rules

        def __getitem__(self, position: int) -> Callable[..., Any]:
            found.setdefault((self.primitive.name, position), {}).setdefault(current[0], current[1])
            return self.rules[position]

        def __bool__(self) -> bool:
            return bool(self.rules)

    recorders = [Recorder(primitive) for primitive in Primitive.registry.values() if primitive.rules]
    try:
        for recorder in recorders:
            recorder.primitive.rules = recorder  # type: ignore[assignment]
        with np.errstate(all="ignore"):
            for case in CASES:
                current[:] = [case, 1]
                for _ in ladder(case.function, leaves(case.arrays()), Probe(case.seed), 3):
                    current[1] += 1
            for kink in KINKS:
                current[:] = [kink, 1]
                check_kink(kink)
    finally:
        for recorder in recorders:
            recorder.primitive.rules = recorder.rules
    return {key: _sorted(key[0], cases) for key, cases in found.items()}


def _sorted(name: str, cases: dict[Case | Kink, int]) -> list[tuple[int, Case | Kink]]:
    """The primitive's own cases first, then kinks, then others by the order at which they get there."""

    def distance(item: tuple[Case | Kink, int]) -> tuple[int, int]:
        case, order = item
        if isinstance(case, Kink):
            return 1, order
        return (0 if case.operation.rpartition(".")[2] == name else 1 + order), sum(s.size for s in case.arrays())

    return [(order, case) for case, order in sorted(cases.items(), key=distance)]


# --- catching them -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def installed(mutant: Mutant) -> Iterator[None]:
    """The mutant in the place of its rule or helper."""
    rule, namespace = mutant.rule, vars(mutant.rule.module)
    before = {name: namespace[name] for name in ("detach",) if name in namespace}
    namespace["detach"] = tg.detach
    rules = {primitive: primitive.rules for primitive, _ in rule.primitives}
    if isinstance(mutant.source, ast.Lambda):
        new = eval(compile(ast.Expression(mutant.source), "<mutant>", "eval"), namespace)
    else:
        before[rule.name] = namespace[rule.name]
        exec(compile(ast.Module([mutant.source], []), "<mutant>", "exec"), namespace)
        new = namespace[rule.name]
    try:
        for primitive, position in rule.primitives:
            if rule.is_each:
                primitive.rules = Each(new)
            elif isinstance(mutant.source, ast.Lambda) or rules[primitive][position] is before[rule.name]:  # type: ignore[index]
                changed = list(primitive.rules)  # type: ignore[call-overload]
                changed[position] = new  # type: ignore[index]
                primitive.rules = tuple(changed)
        yield
    finally:
        for primitive, old in rules.items():
            primitive.rules = old
        del namespace["detach"]
        namespace.update(before)


def killer(mutant: Mutant) -> str | None:
    """What catches a mutant: "order 1" … "order 3", "kink", "float32", "error"; None if it survives."""
    relevant: list[Case | Kink] = [case for case in CASES if case.operation == f"linalg.{mutant.rule.name}"]
    for primitive, position in mutant.rule.primitives:
        positions = [position] if position is not None else range(10)
        for place in positions:
            relevant.extend(case for _, case in runs().get((primitive.name, place), []))
    cases = list(dict.fromkeys(relevant))
    for case in cases:
        if isinstance(case, Case):
            reference(case)  # of the right rules, before one is replaced
    with installed(mutant), np.errstate(all="ignore"):
        for check in (_caught_by_differences, _caught_by_dtype):
            for case in cases:
                caught = check(case)
                if caught:
                    return caught
    return None


def _caught_by_differences(case: Case | Kink) -> str | None:
    try:
        if isinstance(case, Kink):
            check_kink(case)
            return None
        errors = discrepancies(case.function, leaves(case.arrays()), Probe(case.seed), reference(case))
        for order, error in enumerate(errors, start=1):
            if error > (NARROW_TOLERANCE if case.narrow else TOLERANCE):
                return f"order {order}"
    except AssertionError:
        return "kink" if isinstance(case, Kink) else "shape, dtype or device"
    except Exception:  # a mutant may fail in any way
        return "error"
    return None


def _caught_by_dtype(case: Case | Kink) -> str | None:
    if isinstance(case, Case) and not case.narrow:
        try:
            check_single_precision(case)
        except Exception:
            return "float32"
    return None


def describe(mutant: Mutant) -> str:
    return f"{mutant.rule.name}, {mutant.change}: {mutant.text}"


@dataclass(frozen=True)
class Report:
    """What became of the mutants of some modules."""

    caught: Counter[str]
    survivors: list[Mutant]
    equivalent: list[Mutant]  # survivors that are listed as such

    def __str__(self) -> str:
        caught, left_out = self.caught.total(), len(self.equivalent)
        by = ", ".join(f"{count} by {name}" for name, count in sorted(self.caught.items()))
        return f"{caught + len(self.survivors)} mutants made, {caught} caught ({by}); {left_out} equivalent left out"


def examine(rules: list[Rule]) -> Report:
    """Make all mutants of some rules and try to catch them."""
    caught: Counter[str] = Counter()
    survivors, equivalent = [], []
    for rule in rules:
        for mutant in mutants_of(rule):
            by = killer(mutant)
            if by is not None:
                caught[by] += 1
            elif (mutant.rule.name, mutant.text) in EQUIVALENT:
                equivalent.append(mutant)
            else:
                survivors.append(mutant)
    return Report(caught, survivors, equivalent)


def main() -> None:
    import conftest  # noqa: F401 (makes the double of CuPy known)

    wanted = set(sys.argv[1:])
    start, total = time.perf_counter(), Report(Counter(), [], [])
    for module in modules():
        rules = [rule for rule in rules_of(module) if not wanted or {p.name for p, _ in rule.primitives} & wanted]
        report = examine(rules)
        print(f"{module.__name__}: {report}", flush=True)
        for mutant in report.survivors:
            print(f"    SURVIVED {describe(mutant)}")
        total = Report(
            total.caught + report.caught, total.survivors + report.survivors, total.equivalent + report.equivalent
        )
    print(f"in all: {total}; {time.perf_counter() - start:.0f} s")
    sys.exit(bool(total.survivors))


if __name__ == "__main__":
    main()
