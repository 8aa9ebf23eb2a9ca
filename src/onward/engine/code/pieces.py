"""Where the functions and classes that a step holds stand in the source, and what of their values counts.

A function or class at the top of a module is its definition there. A nested function or a lambda counts by its own code
and by what it was given. What it changes itself, a memo or a counter, is work in progress: then the function around it
counts instead, which says how the memo starts.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CodeType

from onward.engine.code.changes import changes_its_own
from onward.engine.code.modules import Module, ModuleStore
from onward.engine.code.names import WHOLE, Key, Unresolved
from onward.engine.code.reach import Definition, Reach
from onward.engine.code.source import surface
from onward.engine.code.speller import Spelled, spell_nested
from onward.engine.code.spelling import Spelling, digest
from onward.engine.code.values import ANONYMOUS, Piece, code_digest, label_of

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_Nested = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True, slots=True)
class Placed:
    """A piece found in its source: the definitions to follow, its own if it is nested, and the values that count."""

    keys: tuple[Key, ...] = ()
    own: Definition | None = None
    values: tuple[tuple[str, Spelling], ...] = ()


def place(piece: Piece, store: ModuleStore, reach: Reach) -> Placed:
    """Find `piece` in the source of its module; what is not there counts by its byte code."""
    module = store.find(piece.module)
    values = tuple(sorted(piece.values.items()))
    if module is None:
        return Placed(own=_lost(piece, store, "its source is not available"), values=values)
    if module.source.trouble or piece.qualname == WHOLE:
        return Placed(((piece.module, WHOLE),), values=values)
    names = [name for name in piece.qualname.split(".") if name not in ANONYMOUS]
    outer = ((piece.module, names[0]),) if names[0] in module.source.bindings else ()
    if piece.code is None or "<" not in piece.qualname:
        if not outer:
            return Placed(own=_lost(piece, store, "it is not in the source of its module"), values=values)
        return Placed(outer, values=values)
    around = list(_around(module.source.statements, names[:-1]))
    nodes = list(_nested(around or module.source.statements, names[-1], piece.code))
    if not nodes:
        return Placed(own=_lost(piece, store, "it is not in the source of its module"), values=values)
    own = _definition(piece, module, nodes, reach)
    memos = {
        name
        for function in around
        if isinstance(function, _Function)
        for node in nodes
        for name in changes_its_own(node, function)
    }
    lasting = tuple((name, value) for name, value in values if name not in memos)
    is_whole = len(lasting) == len(values) and not piece.is_partly_known
    return Placed(() if is_whole else outer, own, lasting)


def _definition(piece: Piece, module: Module, nodes: Iterable[_Nested], reach: Reach) -> Definition:
    assert piece.code is not None
    tree: list[Spelling] = []
    spelled = Spelled(tree, [])
    for node in nodes:
        one = spell_nested(node, local=piece.code.co_freevars)
        tree += one.tree
        spelled.uses.extend(one.uses)
    return reach.spelled(module, label_of(module.label, piece.qualname), spelled)


def _lost(piece: Piece, store: ModuleStore, why: str) -> Definition:
    label = label_of(store.label(piece.module), piece.qualname)
    text = "" if piece.code is None else code_digest(piece.code)
    return Definition(
        label=label,
        digest=digest(["onward.code.lost/1", text]),
        unresolved=(Unresolved(piece.qualname.rpartition(".")[2], label, why),),
    )


def _around(statements: Iterable[ast.stmt], names: Iterable[str]) -> Iterator[_Named]:
    """Yield the definitions that the path `names` leads to."""
    found: list[_Named] = []
    inside: Iterable[ast.stmt] = statements
    for name in names:
        if name != "<lambda>":
            found = [one for one in _definitions(inside) if one.name == name]
            inside = [statement for one in found for statement in one.body]
    return iter(found)


def _nested(around: Iterable[ast.AST], name: str, code: CodeType) -> Iterator[_Nested]:
    """Yield the functions called `name`, told apart by line and column if there are several."""
    if name == "<lambda>":
        lambdas = [part for one in around for part in ast.walk(one) if isinstance(part, ast.Lambda)]
        here = [part for part in lambdas if part.lineno == code.co_firstlineno]
        spots = set(code.co_positions())
        return iter([part for part in here if _spot(part.body) in spots] or here)
    inside = (statement for one in around for statement in getattr(one, "body", ()))
    named = [part for part in _definitions(inside) if part.name == name and isinstance(part, _Function)]
    exact = [part for part in named if _first_line(part) == code.co_firstlineno]
    return iter(exact or named)


def _definitions(statements: Iterable[ast.stmt]) -> Iterator[_Named]:
    return (part for statement in statements for part in surface(statement) if isinstance(part, _Named))


def _first_line(function: _Function) -> int:
    return min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])


def _spot(node: ast.expr) -> tuple[int | None, int | None, int | None, int | None]:
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset
