"""What a step holds besides its source: bound arguments, instances and their state, closures, wrapped functions.

Plain values are spelled by type and value, in one order. Functions and classes become `Piece`s, to be found in the
source of their modules by `pieces.py`. Anything else (an open client, a loaded model) has no version and is listed as
unresolved.
"""

from __future__ import annotations

import enum
import functools
import operator
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType

from onward.engine.code.first_party import FirstParty, is_library, owner_of
from onward.engine.code.modules import ModuleStore
from onward.engine.code.names import WHOLE, Unresolved
from onward.engine.code.spelling import Spelling, canonical, constant, digest

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))
_CONTAINERS: tuple[type, ...] = (tuple, list, set, frozenset, dict)
# Values of the standard library whose repr is their whole value.
_SPOKEN = frozenset({"datetime", "decimal", "fractions", "uuid"})
# What `functools.update_wrapper` writes into an instance that wraps a function; `__wrapped__` itself counts.
_COPIED = frozenset({*functools.WRAPPER_ASSIGNMENTS, "__annotations__", "__annotate__"})
# Parts of a qualified name that no definition has.
ANONYMOUS = frozenset({"<locals>", "<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})
_GETTERS = (operator.itemgetter, operator.attrgetter, operator.methodcaller)


@dataclass(slots=True, eq=False)
class Piece:
    """A function or class that a step holds, and what it was given when it was made.

    `spelling` stands for it in the tree of what is held. `values` are closed-over variables and defaults of a nested
    function, or the state of an instance; `code` is None for a class or a module.
    """

    module: str
    qualname: str
    spelling: list[Spelling]
    code: CodeType | None = None
    values: dict[str, Spelling] = field(default_factory=dict)
    is_partly_known: bool = False  # a value is not plain: what made it must count instead


class Holdings:
    """Spells what a step holds; `pieces` and `unresolved` fill up while it does."""

    def __init__(self, store: ModuleStore, first_party: FirstParty) -> None:
        self._store = store
        self._first_party = first_party
        self._on_the_way: set[int] = set()
        self.pieces: list[Piece] = []
        self.unresolved: list[Unresolved] = []

    def spell(self, value: object, name: str, where: str) -> Spelling:
        """Spell `value`, known as `name` to the code at `where`."""
        if type(value) in _PLAIN:
            return constant(value)
        if id(value) in self._on_the_way:
            return ["again"]
        self._on_the_way.add(id(value))
        try:
            return self._spell(value, name, where)
        finally:
            self._on_the_way.discard(id(value))

    def _spell(self, value: object, name: str, where: str) -> Spelling:
        match value:
            case enum.Enum():
                return ["enum", self._class(type(value), where), str(value.name)]
            case ModuleType():
                return self._module(value)
            case FunctionType():
                return self._function(value, where)
            case MethodType():
                owner = self.spell(value.__self__, f"{name}.__self__", where)
                return ["method", owner, self.spell(value.__func__, name, where)]
            case functools.partial():
                words = {word: self.spell(one, f"{name}.{word}", where) for word, one in value.keywords.items()}
                args = [self.spell(one, f"{name}.args[{index}]", where) for index, one in enumerate(value.args)]
                return ["partial", self.spell(value.func, name, where), args, _sorted_items(words)]
            case type():
                return self._class(value, where)
            case re.Pattern():
                return ["pattern", constant(value.pattern), str(value.flags)]
        if type(value) in _CONTAINERS:
            return self._container(value, name, where)
        if type(value).__module__ in _SPOKEN:
            return [f"{type(value).__module__}.{type(value).__qualname__}", repr(value)]
        if isinstance(value, _GETTERS):
            return ["getter", type(value).__qualname__, self.spell(value.__reduce_ex__(2)[1], name, where)]
        if isinstance(value, BuiltinFunctionType) and not isinstance(value.__self__, ModuleType | None):
            return ["method", self.spell(value.__self__, f"{name}.__self__", where), value.__name__]
        return self._instance(value, name, where)

    def _container(self, value: object, name: str, where: str) -> Spelling:
        kind = type(value).__name__
        if isinstance(value, Mapping):
            items = [
                [self.spell(key, f"a key of {name}", where), self.spell(one, f"{name}[{key!r}]", where)]
                for key, one in value.items()
            ]
            return [kind, *sorted(items, key=canonical)]
        assert isinstance(value, Iterable)
        spelled = [self.spell(one, f"an element of {name}", where) for one in value]
        return [kind, *(sorted(spelled, key=canonical) if kind in ("set", "frozenset") else spelled)]

    def _module(self, module: ModuleType) -> Spelling:
        if self._first_party.holds(module.__name__):
            return self._piece(Piece(module.__name__, WHOLE, []))
        return ["module", module.__name__]

    def _class(self, kind: type, where: str) -> Spelling:
        if not self._first_party.holds(kind.__module__):
            return ["class", f"{kind.__module__}.{kind.__qualname__}"]
        return self._piece(Piece(kind.__module__, kind.__qualname__, []))

    def _function(self, function: FunctionType, where: str) -> Spelling:
        module = str(function.__globals__.get("__name__", ""))
        code = function.__code__
        self._store.hint(module, function.__globals__.get("__file__"))
        if not self._first_party.holds(module):
            return ["library", f"{module}.{code.co_qualname}", *self._inside_library(function, where)]
        label = label_of(self._store.label(module), code.co_qualname)
        if code.co_filename.startswith("<") or self._store.place(module).path is None:
            return self._without_source(function, label)
        piece = Piece(module, code.co_qualname, [], code)
        if "<" in code.co_qualname:
            before = len(self.unresolved)
            piece.values = {name: self.spell(value, name, label) for name, value in _given(function)}
            piece.is_partly_known = len(self.unresolved) > before
        return self._piece(piece)

    def _without_source(self, function: FunctionType, label: str) -> Spelling:
        """Spell a function of a prompt or of made code by its byte code, and the globals that it names by value."""
        code = function.__code__
        self.unresolved.append(Unresolved(function.__name__, label, "its source is not available"))
        given = dict(_given(function))
        given.update((name, function.__globals__[name]) for name in _names_in(code) if name in function.__globals__)
        values = {name: self.spell(value, name, label) for name, value in given.items()}
        return ["code", code_digest(code), _sorted_items(values)]

    def _inside_library(self, function: FunctionType, where: str) -> Iterator[Spelling]:
        """Spell the functions that a library's wrapper stands around; its own variables are its own affair."""
        wrapped = _wrapped(function)
        if wrapped is not None:
            yield self.spell(wrapped, function.__name__, where)
        for _, value in _closed_over(function):
            if value is not wrapped and callable(value) and self._first_party.holds(module_of(value)):
                yield self.spell(value, function.__name__, where)

    def _instance(self, value: object, name: str, where: str) -> Spelling:
        kind = type(value)
        if not self._first_party.holds(kind.__module__):
            wrapped = _wrapped(value)
            if wrapped is not None:  # functools.cache and the like
                return ["library", f"{kind.__module__}.{kind.__qualname__}", self.spell(wrapped, name, where)]
            called = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
            if isinstance(called, str):  # written in C, or made by a library
                return ["library", f"{module_of(value)}.{called}"]
            why = f"a value of type '{kind.__module__}.{kind.__qualname__}' is not plain"
            self.unresolved.append(Unresolved(name, where, why))
            return ["unknown", f"{kind.__module__}.{kind.__qualname__}"]
        piece = Piece(kind.__module__, kind.__qualname__, [])
        label = f"{self._store.label(kind.__module__)}:{kind.__qualname__}"
        for attr, one in self._state(value, name, label):
            piece.values[attr] = self.spell(one, f"{name}.{attr}", label)
        return self._piece(piece)

    def _state(self, value: object, name: str, label: str) -> Iterator[tuple[str, object]]:
        """Yield what pickling an instance would carry, so that its `__getstate__` may leave a cache out."""
        try:
            reduced = value.__reduce_ex__(2)
        except (TypeError, ValueError, AttributeError, RuntimeError) as error:
            self.unresolved.append(Unresolved(name, label, f"its state cannot be told: {error}"))
            return
        if isinstance(reduced, str):
            yield "", reduced
            return
        _, args, state, elements, items = (*reduced, None, None, None)[:5]
        yield "()", tuple(one for one in args if one is not type(value))
        yield "[]", list(elements or ())
        yield "{}", dict(items or ())
        for part in state if isinstance(state, tuple) else (state,):
            for attr, one in part.items() if isinstance(part, dict) else [("=", part)]:
                is_made = isinstance(getattr(type(value), str(attr), None), functools.cached_property)
                if attr not in _COPIED and not is_made:
                    yield str(attr), one

    def _piece(self, piece: Piece) -> Spelling:
        piece.spelling[:] = ["piece", label_of(self._store.label(piece.module), piece.qualname)]
        self.pieces.append(piece)
        return piece.spelling


def owners_of(step: object, store: ModuleStore) -> frozenset[str]:
    """Return the packages first-party to `step`: its own, and those of what it wraps unless they are libraries."""
    found: list[str] = []
    todo: list[object] = [step]
    seen: set[int] = set()
    while todo:
        part = todo.pop(0)
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, functools.partial):
            todo.append(part.func)
            continue
        found.append(module_of(part))
        if isinstance(part, MethodType):
            todo += (part.__self__, part.__func__)
        if isinstance(part, FunctionType):
            found.append(str(part.__globals__.get("__name__", "")))
            store.hint(found[-1], part.__globals__.get("__file__"))
            if is_library(store.place(found[-1])):
                todo += (value for _, value in _closed_over(part) if isinstance(value, FunctionType | type))
        wrapped = _wrapped(part)
        if wrapped is not None:
            todo.append(wrapped)
    own = found[:1] + [module for module in found[1:] if not is_library(store.place(module))]
    return frozenset(owner for module in own if module and (owner := owner_of(module)) is not None)


def module_of(value: object) -> str:
    """Return the module that a function or class is from, or the class of anything else."""
    module = getattr(value, "__module__", None)
    if not isinstance(module, str) and isinstance(getattr(value, "__self__", None), ModuleType):
        module = value.__self__.__name__  # type: ignore[attr-defined]
    return module if isinstance(module, str) else type(value).__module__


def label_of(module: str, qualname: str) -> str:
    """Return the name of a nested function as digests hold it: without comprehensions, which Python 3.12 took out."""
    names = [name for name in qualname.split(".") if name not in ANONYMOUS or name == "<locals>"]
    while names[:1] == ["<locals>"]:
        names.pop(0)
    return f"{module}:{'.'.join(names)}"


def code_digest(code: CodeType) -> str:
    """Return the digest of byte code, for functions whose source is not there; it differs between Pythons."""
    consts = [_const(one) for one in code.co_consts]
    return digest(["onward.code.object/1", code.co_code.hex(), consts, [*code.co_names]])


def _wrapped(value: object) -> object:
    names = getattr(value, "__dict__", None)
    return names.get("__wrapped__") if isinstance(names, dict) else None


def _const(value: object) -> Spelling:
    if isinstance(value, CodeType):
        return code_digest(value)
    if isinstance(value, tuple | frozenset):
        spelled = [_const(one) for one in value]
        return [type(value).__name__, *(sorted(spelled, key=canonical) if isinstance(value, frozenset) else spelled)]
    return constant(value)


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _names_in(const)


def _given(function: FunctionType) -> Iterator[tuple[str, object]]:
    """Yield what a nested function was given when it was made: closed-over variables and defaults."""
    yield from _closed_over(function)
    code = function.__code__
    positional = code.co_varnames[: code.co_argcount]
    defaults = function.__defaults__ or ()
    yield from zip((f"{name}=" for name in positional[len(positional) - len(defaults) :]), defaults, strict=True)
    yield from ((f"{name}=", value) for name, value in (function.__kwdefaults__ or {}).items())


def _closed_over(function: FunctionType) -> Iterator[tuple[str, object]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if name != "__class__" and not _is_empty(cell):
            yield name, cell.cell_contents


def _is_empty(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - reading it is the question
    except ValueError:
        return True
    return False


def _sorted_items(values: Mapping[str, Spelling]) -> Spelling:
    return [[name, spelled] for name, spelled in sorted(values.items())]
