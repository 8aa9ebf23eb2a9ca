"""One source file as it is on disk: its top-level statements, by the names they bind and by what else they do.

The file is parsed, never run. What a name means in other files is `names.py`.
"""

from __future__ import annotations

import ast
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from onward.engine.code.syntax import CHANGING, Imported, imported_names, is_overload, root_chain

Manner = Literal["set", "call", "made", "passed", "decorator", "base"]

# What follows a name that is changed, on one line: a changing method, an item or an attribute that is set.
_CHANGE = re.compile(
    rb"(?:\[[^\]\n]*\])*\.(?:%s)\(|(?:\[[^\n]*\]|\.\w+)\s*\W{0,3}=(?!=)" % "|".join(sorted(CHANGING)).encode()
)
_GLOBAL = re.compile(rb"global\s+([\w, ]+)")


class FileSeen(NamedTuple):
    """A source file that was read, with the signature of its inode then; a size of -1 says that it was not there."""

    path: str
    size_bytes: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def now(cls, path: str) -> FileSeen:
        """Return the signature that `path` has now."""
        try:
            return cls.of(path, os.stat(path))
        except OSError:
            return cls(path, -1, 0, 0)

    @classmethod
    def of(cls, path: str, stat: os.stat_result) -> FileSeen:
        """Return the signature that `stat` tells."""
        return cls(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class Binding:
    """One top-level statement that gives a name its value; `imported` when the name comes from an import in it."""

    statement: ast.stmt
    imported: Imported | None = None

    @property
    def is_plain_import(self) -> bool:
        """Whether the statement is that import and nothing else."""
        return self.imported is not None and isinstance(self.statement, ast.Import | ast.ImportFrom)


@dataclass(frozen=True, slots=True)
class Effect:
    """A top-level statement that does something to `chain`, other than binding it, while its module is loaded.

    `kind` is how: `set` (an item or attribute), `call` (called as a statement), `passed` (an argument of such a call),
    `made` (called for a value that is kept), `decorator` (on a definition), `base` (of a class).
    """

    kind: Manner
    chain: tuple[str, ...]
    statement: ast.stmt


@dataclass(slots=True, eq=False)
class Source:
    """One source file, read once: its top-level statements, indexed by the names they bind."""

    seen: FileSeen
    text: bytes
    statements: list[ast.stmt] = field(default_factory=list)
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    stars: list[Imported] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    effects_on: dict[str, list[Effect]] = field(default_factory=dict)  # the same, by the first name of the chain
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)
    trouble: str = ""

    @classmethod
    def read(cls, path: str) -> Source:
        """Read and index `path`; a file that is not valid Python has no statements and says so in `trouble`.

        Raises:
            OSError: The file cannot be read.
        """
        with open(path, "rb") as file:
            seen = FileSeen.of(path, os.fstat(file.fileno()))
            text = file.read()
        source = cls(seen, text)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about escapes in literals: a linter's business
                tree = ast.parse(text, path)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            source.trouble = f"cannot be parsed: {error}"
            return source
        source.statements = list(_flattened(tree.body))
        for statement in source.statements:
            source._index(statement)
        return source

    def seems_changed(self, name: str) -> bool:
        """Say whether the text seems to change `name` somewhere, at whatever level: a quick look that says too much."""
        word = name.encode()
        at = self.text.find(word)
        while at >= 0:
            if _CHANGE.match(self.text, at + len(word)):
                return True
            at = self.text.find(word, at + 1)
        return any(word in found for found in _GLOBAL.findall(self.text))

    def _index(self, statement: ast.stmt) -> None:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self._note(statement, statement)
            case ast.Assign(targets=targets) | ast.Delete(targets=targets) if b":=" not in self.text:
                for target in targets:  # values are not walked: a table of 10,000 entries binds nothing
                    for node in ast.walk(target):
                        self._note(node, statement)
                if isinstance(statement, ast.Assign):
                    self._note(statement, statement)
            case ast.AnnAssign(value=None):
                return
            case _:
                for node in surface(statement):
                    self._note(node, statement)

    def _note(self, node: ast.AST, statement: ast.stmt) -> None:
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                self._bind(name, statement)
            case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
                self._effect("set", _container(node), statement)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                if not is_overload(node):
                    self._bind(node.name, statement)
                for decorator in node.decorator_list:
                    self._effect("decorator", _called(decorator), statement)
                for base in getattr(node, "bases", ()):
                    self._effect("base", base, statement)
            case ast.Import() | ast.ImportFrom():
                self.imports.append(node)
                for name, imported in imported_names(node):
                    if name == "*":
                        self.stars.append(imported)
                    else:
                        self._bind(name, statement, imported)
            case ast.Assign(value=ast.Call() as call) | ast.AnnAssign(value=ast.Call() as call):
                self._effect("made", _called(call), statement)
            case ast.Expr(value=ast.Call() as call):
                self._effect("call", _called(call), statement)
                for argument in (*call.args, *(word.value for word in call.keywords)):
                    self._effect("passed", argument, statement)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                self._bind(name, statement)

    def _bind(self, name: str, statement: ast.stmt, imported: Imported | None = None) -> None:
        found = self.bindings.setdefault(name, [])
        binding = Binding(statement, imported)
        if binding not in found:
            found.append(binding)

    def _effect(self, kind: Manner, node: ast.AST, statement: ast.stmt) -> None:
        if chain := root_chain(node):
            effect = Effect(kind, chain, statement)
            self.effects.append(effect)
            self.effects_on.setdefault(chain[0], []).append(effect)


def _flattened(statements: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield top-level statements; imports that only a type checker runs are taken like the others."""
    for statement in statements:
        if isinstance(statement, ast.If) and root_chain(statement.test)[-1:] == ("TYPE_CHECKING",):
            yield from _flattened([*statement.body, *statement.orelse])
        else:
            yield statement


def surface(statement: ast.stmt) -> Iterator[ast.AST]:
    """Yield the nodes that run when `statement` runs: functions, lambdas, classes are yielded, not entered."""
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            todo.extend(reversed(list(ast.iter_child_nodes(node))))


def _called(node: ast.expr) -> ast.expr:
    """Return what is called: `register` in `register("pdf")(read)`."""
    while isinstance(node, ast.Call):
        node = node.func
    return node


def _container(node: ast.AST) -> ast.AST:
    """Return what is changed: `TABLE` for `TABLE["a"]["b"]`, `rules.limit` for itself."""
    while isinstance(node, ast.Attribute | ast.Subscript) and not root_chain(node):
        node = node.value
    return node
