"""The one spelling of a piece of Python: nested lists of its syntax tree, so that equal behaviour is spelled equally.

Comments and layout are gone with the parser. Docstrings, function annotations, `pass`, overloads and empty fields go
here, so that neither a type hint nor another Python version changes a digest. What a name from outside the piece means
is not known here: such names are handed out as `Use`s, and `reach.py` writes their meaning over their spelling.
Nothing here reads a file.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from onward.engine.code.spelling import Spelling, constant
from onward.engine.code.syntax import Imported, imported_names, is_idle, root_chain


@dataclass(slots=True, eq=False)
class Use:
    """One place where a piece reads a name that is not its own, with the attributes read right after it.

    `spelling` stands in the spelled tree and is written over once the meaning is known, unless the name may also be
    something local (`is_certain` is false). `imports` are the piece's own imports that bind the name; none means that
    the module binds it.
    """

    spelling: list[Spelling]
    name: str
    attrs: tuple[str, ...]
    node: ast.expr
    call: ast.Call | None = None
    imports: tuple[Imported, ...] = ()
    is_certain: bool = True


@dataclass(frozen=True, slots=True)
class Spelled:
    """A piece of code as nested lists, and what it uses from outside."""

    tree: list[Spelling]
    uses: list[Use]


def spell(statements: Iterable[ast.AST]) -> Spelled:
    """Spell statements of a module, in order. Names that they bind are the module's, and are uses too."""
    statements = list(statements)
    speller = _Speller()
    try:
        tree: list[Spelling] = [speller.node(statement) for statement in statements]
    except _TooDeepError:
        return _spell_flat(statements)
    return Spelled(tree, speller.finish())


def spell_nested(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, *, local: Iterable[str]) -> Spelled:
    """Spell a nested function by its own code only: its decorators and defaults belong to the code around it.

    Args:
        function: Its node, found inside another function or an expression.
        local: Its free variables, which the code around it binds.
    """
    speller = _Speller(local)
    try:
        tree = speller.function(function, is_whole=False)
    except _TooDeepError:
        return _spell_flat([function])
    return Spelled([tree], speller.finish())


def _spell_flat(statements: Iterable[ast.AST]) -> Spelled:
    """Spell statements that are nested too deeply: node by node, blind to layout only, every name followed."""
    tree: list[Spelling] = []
    uses: list[Use] = []
    for node in (node for statement in statements for node in ast.walk(statement)):
        children = sum(1 for _ in ast.iter_child_nodes(node))
        fields = (value if isinstance(value, list) else [value] for _, value in ast.iter_fields(node))
        scalars = [value for values in fields for value in values if not isinstance(value, ast.AST)]
        tree.append([node.__class__.__name__, str(children), *(constant(value) for value in scalars)])
        if isinstance(node, ast.Name):
            uses.append(Use([], node.id, (), node, is_certain=False))
    return Spelled(tree, uses)


@dataclass(slots=True, eq=False)
class _Scope:
    """The names of one function, class, comprehension or module while it is being spelled."""

    kind: str
    bound: set[str] = field(default_factory=set)
    imports: dict[str, tuple[Imported, ...]] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)  # name → "global" or "nonlocal", as declared
    uses: list[Use] = field(default_factory=list)


# Deeper trees are spelled flat. A limit of our own: Python's counts the frames of whoever called us too.
_DEPTH_MAX = 100

# Fields that say nothing about behaviour, or that a handler below spells on its own.
_SILENT = frozenset({"ctx", "type_comment", "kind", "type_ignores"})
_BODIES = frozenset({"body", "orelse", "finalbody"})
_fields_of: dict[type, tuple[str, ...]] = {}


class _TooDeepError(Exception):
    """The tree is nested more deeply than it can be walked."""


class _Speller:
    """Walks one piece, once: names are spelled where they stand and sorted out when their scope ends."""

    def __init__(self, local: Iterable[str] | None = None) -> None:
        self._depth = 0
        self._outside: list[Use] = []
        self._module = _Scope("module")
        self._scopes = [self._module] if local is None else [self._module, _Scope("function", set(local))]

    def finish(self) -> list[Use]:
        """End the piece and return all that it uses from outside."""
        while len(self._scopes) > 1:
            self._leave()
        return self._outside + self._module.uses

    def node(self, node: ast.AST) -> Spelling:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise _TooDeepError
        handler = self._handlers.get(node.__class__)
        spelled = self._plain(node) if handler is None else handler(self, node)
        self._depth -= 1
        return spelled

    def _plain(self, node: ast.AST) -> Spelling:
        kind = node.__class__
        fields = _fields_of.get(kind)
        if fields is None:
            fields = _fields_of[kind] = tuple(name for name in node._fields if name not in _SILENT)
        if not fields:
            return kind.__name__
        out: list[Spelling] = [kind.__name__]
        for name in fields:
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                out += (name, self.node(value))
            elif value.__class__ is list:
                spelled = self._body(value) if name in _BODIES else self._many(value)
                if spelled:
                    out += (name, spelled)
            elif value is not None:
                out += (name, value if value.__class__ is str else constant(value))
        return out

    def _many(self, values: Iterable[Any]) -> list[Spelling]:
        node = self.node
        return [
            node(value) if isinstance(value, ast.AST) else value if value.__class__ is str else constant(value)
            for value in values
        ]

    def _body(self, statements: Sequence[ast.stmt]) -> list[Spelling]:
        spelled: list[Spelling] = []
        for statement in statements:
            if is_idle(statement):
                continue
            if isinstance(statement, ast.AnnAssign) and statement.value is None and self._scopes[-1].kind != "class":
                self.node(statement.target)  # a bare `x: int` does nothing but make x local
                continue
            spelled.append(self.node(statement))
        return spelled

    # Names

    def _name(self, node: ast.Name) -> Spelling:
        spelling: list[Spelling] = ["Name", node.id]
        scope = self._scopes[-1]
        if node.ctx.__class__ is not ast.Load:
            self._bind(node.id, scope)
            if scope.elsewhere.get(node.id) != "global":
                return spelling
        scope.uses.append(Use(spelling, node.id, (), node))
        return spelling

    def _attribute(self, node: ast.Attribute) -> Spelling:
        attrs = [node.attr]
        base = node.value
        while isinstance(base, ast.Attribute):
            attrs.append(base.attr)
            base = base.value
        attrs.reverse()
        if not isinstance(base, ast.Name):
            return ["Attribute", self.node(base), *attrs]
        spelling: list[Spelling] = ["Name", base.id, *attrs]
        self._scopes[-1].uses.append(Use(spelling, base.id, tuple(attrs), node))
        return spelling

    def _call(self, node: ast.Call) -> Spelling:
        function = self.node(node.func)
        uses = self._scopes[-1].uses
        if uses and uses[-1].node is node.func:
            uses[-1].call = node
        args = node.args
        match node.func, args:
            case ast.Name(id="getattr"), [base, ast.Constant(value=str(attr)), *_] if root_chain(base):
                args = [ast.copy_location(ast.Attribute(base, attr, ast.Load()), base), *args[1:]]  # as `base.attr`
        out: list[Spelling] = ["Call", function, self._many(args)]
        if node.keywords:
            out.append([[word.arg or "**", self.node(word.value)] for word in node.keywords])
        return out

    def _walrus(self, node: ast.NamedExpr) -> Spelling:
        scope = next(scope for scope in reversed(self._scopes) if scope.kind != "comprehension")
        self._bind(node.target.id, scope)
        return ["NamedExpr", node.target.id, self.node(node.value)]

    def _binder(self, node: ast.AST) -> Spelling:
        name = getattr(node, "rest" if isinstance(node, ast.MatchMapping) else "name", None)
        if name is not None:
            self._bind(name, self._scopes[-1])
        return self._plain(node)

    def _declaration(self, node: ast.Global | ast.Nonlocal) -> Spelling:
        kind = "global" if isinstance(node, ast.Global) else "nonlocal"
        self._scopes[-1].elsewhere.update(dict.fromkeys(node.names, kind))
        return [node.__class__.__name__, *sorted(node.names)]

    def _import(self, node: ast.Import | ast.ImportFrom) -> Spelling:
        scope = self._scopes[-1]
        for name, imported in imported_names(node):
            scope.imports[name] = (*scope.imports.get(name, ()), imported)
        # The alias is left out: wherever it is read, what it stands for is spelled.
        source = "" if isinstance(node, ast.Import) else "." * node.level + (node.module or "")
        return ["Import", source, *(alias.name for alias in node.names)]

    @staticmethod
    def _bind(name: str, scope: _Scope) -> None:
        if name not in scope.elsewhere:
            scope.bound.add(name)

    # Strings

    def _joined(self, node: ast.JoinedStr) -> Spelling:
        """Spell an f-string by its parts, however its text was cut into literals (that differs between Pythons)."""
        parts: list[list[Spelling]] = []
        for value in node.values:
            part = self.node(value)
            if isinstance(part, str) or part == ["str", ""]:
                continue
            if part[0] == "str" and parts and parts[-1][0] == "str":
                parts[-1] = ["str", f"{parts[-1][1]}{part[1]}"]
            else:
                parts.append(part)
        if not parts:
            return ["str", ""]
        return parts[0] if len(parts) == 1 and parts[0][0] == "str" else ["JoinedStr", *parts]

    def _formatted(self, node: ast.FormattedValue) -> Spelling:
        out: list[Spelling] = ["FormattedValue", self.node(node.value), str(node.conversion)]
        if node.format_spec is not None and (spec := self.node(node.format_spec)) != ["str", ""]:
            out.append(spec)
        return out

    # Statements and scopes

    def _assign(self, node: ast.Assign) -> Spelling:
        return ["Assign", self.node(node.value), *self._many(node.targets)]

    def _annotated(self, node: ast.AnnAssign) -> Spelling:
        if self._scopes[-1].kind == "class":
            if isinstance(node.annotation, ast.Constant) and isinstance(node.annotation.value, str):
                self._quoted(node.annotation.value)
            return self._plain(node)
        if node.value is None:
            return ["Declared", self.node(node.target)]
        return ["Assign", self.node(node.value), self.node(node.target)]

    def _quoted(self, annotation: str) -> None:
        """Follow the names of an annotation that is written as a string; it is spelled as the string."""
        try:
            self.node(ast.parse(annotation.strip(), mode="eval").body)
        except (SyntaxError, ValueError):
            return

    def function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, *, is_whole: bool = True
    ) -> list[Spelling]:
        args = node.args
        out: list[Spelling] = [node.__class__.__name__]
        if not isinstance(node, ast.Lambda):
            self._bind(node.name, self._scopes[-1])
            out.append(node.name)
        if is_whole:
            decorators = getattr(node, "decorator_list", ())
            out += [["decorator", self.node(decorator)] for decorator in decorators]
            defaults = (*args.defaults, *args.kw_defaults)
            out += [["default", self.node(default)] if default is not None else "default" for default in defaults]
            if any(isinstance(mark, ast.Attribute) and mark.attr == "register" for mark in decorators):
                marked = (arg.annotation for arg in (*args.posonlyargs, *args.args) if arg.annotation is not None)
                out += [["dispatch", self.node(annotation)] for annotation in marked]  # of `singledispatch`
        self._enter("function", node)
        bound = self._scopes[-1].bound
        for kind in ("posonlyargs", "args", "vararg", "kwonlyargs", "kwarg"):
            found = getattr(args, kind)
            names = [arg.arg for arg in (found if isinstance(found, list) else [found] if found else ())]
            bound.update(names)
            if names:
                out.append([kind, *names])
        body: list[Spelling] = [self.node(node.body)] if isinstance(node, ast.Lambda) else self._body(node.body)
        self._leave()
        if body:
            out.append(body)
        return out

    def _class(self, node: ast.ClassDef) -> Spelling:
        out: list[Spelling] = ["ClassDef", node.name]
        self._bind(node.name, self._scopes[-1])
        out += [["decorator", self.node(decorator)] for decorator in node.decorator_list]
        out += [["base", self.node(base)] for base in node.bases]
        out += [["keyword", word.arg or "**", self.node(word.value)] for word in node.keywords]
        self._enter("class", node)
        body = self._body(node.body)
        self._leave()
        if body:
            out.append(body)
        return out

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> Spelling:
        first = self.node(node.generators[0].iter)  # the one part that is read in the scope around
        self._scopes.append(_Scope("comprehension"))
        out: list[Spelling] = [node.__class__.__name__]
        for index, part in enumerate(node.generators):
            source = self.node(part.iter) if index else first
            out.append([str(part.is_async), self.node(part.target), source, *self._many(part.ifs)])
        if isinstance(node, ast.DictComp):
            out += [self.node(node.key), self.node(node.value)]
        else:
            out.append(self.node(node.elt))
        self._leave()
        return out

    def _enter(self, kind: str, node: ast.AST) -> None:
        parameters = getattr(node, "type_params", ())
        self._scopes.append(_Scope(kind, {parameter.name for parameter in parameters}))

    def _leave(self) -> None:
        """End the innermost scope: its own names stay as spelled, the others go outwards."""
        scope = self._scopes.pop()
        # Names of a class body are invisible to the functions in it, so uses skip the classes around.
        outer = next(around for around in reversed(self._scopes) if around.kind != "class")
        for use in scope.uses:
            if use.name in scope.elsewhere:
                (self._module if scope.elsewhere[use.name] == "global" else outer).uses.append(use)
            elif use.name in scope.imports:
                use.imports = scope.imports[use.name]
                use.is_certain = len(use.imports) == 1 and use.name not in scope.bound
                self._outside.append(use)
            elif use.name not in scope.bound:
                outer.uses.append(use)
            elif scope.kind == "class":
                use.is_certain = False  # a class body falls back to the module until it has bound the name itself
                outer.uses.append(use)

    _handlers: ClassVar[dict[type, Callable[[_Speller, Any], Spelling]]] = {
        ast.Constant: lambda _, node: constant(node.value),
        ast.Name: _name,
        ast.Attribute: _attribute,
        ast.Call: _call,
        ast.JoinedStr: _joined,
        ast.FormattedValue: _formatted,
        ast.FunctionDef: function,
        ast.AsyncFunctionDef: function,
        ast.Lambda: function,
        ast.ClassDef: _class,
        ast.Assign: _assign,
        ast.AnnAssign: _annotated,
        ast.ListComp: _comprehension,
        ast.SetComp: _comprehension,
        ast.DictComp: _comprehension,
        ast.GeneratorExp: _comprehension,
        ast.NamedExpr: _walrus,
        ast.Import: _import,
        ast.ImportFrom: _import,
        ast.Global: _declaration,
        ast.Nonlocal: _declaration,
        ast.ExceptHandler: _binder,
        ast.MatchAs: _binder,
        ast.MatchStar: _binder,
        ast.MatchMapping: _binder,
    }
