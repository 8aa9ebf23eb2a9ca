"""Small questions about syntax that all readers of code ask: what an import binds, what a dotted name starts from."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

# Methods by which the standard containers, and registries written like them, take something in or let it go.
CHANGING = frozenset({"add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem"})
CHANGING |= {"popleft", "put", "register", "remove", "setdefault", "update"}


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import binds a name to: a module, or `member` of it. `level` counts the dots of a relative import."""

    level: int
    module: str
    member: str | None = None


def is_idle(statement: ast.stmt) -> bool:
    """Say whether a statement does nothing: a docstring, `...`, `pass`, an overload."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass) or is_overload(statement)


def is_overload(statement: ast.AST) -> bool:
    """Say whether a definition is only a type hint, `@overload def ...`."""
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return any(
        (isinstance(mark, ast.Name) and mark.id == "overload")
        or (isinstance(mark, ast.Attribute) and mark.attr == "overload")
        for mark in statement.decorator_list
    )


def root_chain(node: ast.AST) -> tuple[str, ...]:
    """Return `("a", "b", "c")` for the expression `a.b.c`, and `()` when it does not start with a name."""
    attrs: list[str] = []
    while isinstance(node, ast.Attribute):
        attrs.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        return (node.id, *reversed(attrs))
    return ()


def imported_names(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Imported]]:
    """Yield the names that an import statement binds; a star import binds the name `*`."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            if alias.asname is None:
                top = alias.name.partition(".")[0]
                yield top, Imported(0, top)
            else:
                yield alias.asname, Imported(0, alias.name)
        return
    for alias in statement.names:
        yield alias.asname or alias.name, Imported(statement.level, statement.module or "", alias.name)
