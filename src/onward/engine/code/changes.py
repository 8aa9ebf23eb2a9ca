"""What a piece of code changes besides its own results: the names it rebinds, fills or empties.

A registry is filled by functions that are called while modules load (`registrations.py`); a memo is filled while a step
works (`pieces.py`). Both are seen here by their syntax alone, and rather once too often than once too little.
"""

from __future__ import annotations

import ast

from onward.engine.code.syntax import CHANGING, root_chain


def changed_names(node: ast.AST) -> set[str]:
    """Return the names that the code under `node` changes.

    A name counts when it is declared `global` or `nonlocal`, when an item or attribute of it is set or deleted, or when
    one of the usual changing methods is called on it.
    """
    names: set[str] = set()
    for part in ast.walk(node):
        match part:
            case ast.Global(names=declared) | ast.Nonlocal(names=declared):
                names.update(declared)
            case ast.Subscript(ctx=ast.Store() | ast.Del()) | ast.Attribute(ctx=ast.Store() | ast.Del()):
                names.update(_root(part))
            case ast.Call(func=ast.Attribute(attr=attr, value=owner)) if attr in CHANGING:
                names.update(_root(owner))
    return names


def changes_its_own(function: ast.AST, around: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Return the variables of `around` that `function`, nested in it, changes and that start the same each time.

    Those are memos and counters: `seen = set()` in `around`, `seen.add(x)` in `function`. A variable that is a
    parameter, or starts from one, carries a choice of whoever called `around`, and is not returned.
    """
    args = around.args
    local = {arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg) if arg}
    starts: dict[str, list[ast.expr]] = {}
    for part in ast.walk(around):
        match part:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    starts.setdefault(target.id if isinstance(target, ast.Name) else "", []).append(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                starts.setdefault(name, []).append(value)
            case ast.Name(id=name, ctx=ast.Store()):
                local.add(name)
    inside = {id(part) for part in ast.walk(function)}
    return {
        name
        for name in changed_names(function)
        if (values := [value for value in starts.get(name, ()) if id(value) not in inside])
        and all(local.isdisjoint(_names_in(value)) for value in values)
    }


def _names_in(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _root(node: ast.expr) -> tuple[str, ...]:
    """Return the name that holds what is changed: `TABLE` in `TABLE["a"].rows[0] = 1`."""
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    return root_chain(node)[:1]
