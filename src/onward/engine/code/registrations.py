"""What modules do, while they load, to definitions that are reached: registries, tables filled by loops, subclasses.

    RULES = []                                  the definition that a step reads
    def rule(f): RULES.append(f); return f      its registrar
    @rule                                       a registration, here or in any module that the reached ones import
    def no_empty_title(filing): ...

Without this, an edited `no_empty_title` would redo nothing. Only statements at the top of modules are registrations;
what is added later, while the program works, is a matter of data.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Set
from dataclasses import dataclass
from itertools import chain

from onward.engine.code.changes import changed_names
from onward.engine.code.first_party import FirstParty
from onward.engine.code.modules import Module, ModuleStore
from onward.engine.code.names import Key, Names, Unresolved
from onward.engine.code.source import Effect, FileSeen
from onward.engine.code.syntax import Imported, root_chain

_CONTAINERS = frozenset({"Counter", "OrderedDict", "deque", "dict", "list", "set"})
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Defined = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Added:
    """What adds to the definitions reached: definitions, the files looked at for them, and what may add unseen.

    A statement that defines nothing is the definition `~module:name` of its own module, after what it adds to.
    """

    keys: set[Key]
    files: set[FileSeen]
    unresolved: set[Unresolved]


class Registrations:
    """Finds the top-level statements that add to what is reached, within what is first-party."""

    def __init__(self, store: ModuleStore, first_party: FirstParty, names: Names) -> None:
        self._store = store
        self._first_party = first_party
        self._names = names
        self._registrars: dict[Key, frozenset[Key]] = {}
        self._open: dict[Key, bool] = {}
        self._imported: dict[str, frozenset[str]] = {}
        self._changed: dict[int, set[str]] = {}

    def of(self, reached: Set[Key]) -> Added:
        """Return what registers something with the definitions in `reached`."""
        modules = {module for module, _ in reached}
        unresolved: set[Unresolved] = set()
        if any(self._is_open(key) for key in reached):
            modules = self._loaded_with(modules)
            unresolved.update(gap for name in modules for gap in _gaps(self._module(name)))
        registrars = frozenset[Key]().union(*(self._registrars_of(key) for key in reached))
        words = {name for _, name in chain(reached, registrars)}
        found: set[Key] = set()
        filled: set[Key] = set()
        for name in modules:
            module = self._module(name)
            for effect in module.source.effects:
                if words.isdisjoint(_words(module, effect)):
                    continue
                target, rest = self._target(module, effect)
                is_call = target in registrars and not rest and effect.kind not in ("set", "base")
                is_added = target in reached and self._adds(effect, target, rest)
                if is_call or (is_added and not _is_inline(module, effect, target)):
                    found.add(_key_of(name, effect, target))
                    filled.add(target)
        unresolved.update(self._left_empty(reached - filled))
        return Added(found, {self._module(name).source.seen for name in modules}, unresolved)

    def statements(self, module: Module, target: Key) -> list[ast.stmt]:
        """Return the statements of `module` that add to `target` and define nothing, in order."""
        found = [
            effect.statement
            for effect in module.source.effects
            if not isinstance(effect.statement, _Defined) and self._target(module, effect)[0] == target
        ]
        return list({id(statement): statement for statement in found}.values())

    def own_statements(self, module: Module, name: str) -> list[ast.stmt]:
        """Return the statements of `module` that give `name` its value and add to it, in order."""
        bindings = module.source.bindings.get(name, ())
        is_one_import = len(bindings) == 1 and bindings[0].is_plain_import
        found = [binding.statement for binding in bindings] if not is_one_import else []
        effects = module.source.effects_on.get(name, ())
        found += [effect.statement for effect in effects if _is_inline(module, effect, (module.name, name))]
        unique = {id(statement): statement for statement in found}.values()
        return sorted(unique, key=lambda statement: (statement.lineno, statement.col_offset))

    def _left_empty(self, keys: Set[Key]) -> Iterator[Unresolved]:
        """Yield the empty containers among `keys` that nothing in their own module fills."""
        for module_name, name in keys:
            module = self._module(module_name)
            bindings = module.source.bindings.get(name, ())
            if len(bindings) != 1 or not _is_empty_container(bindings[0].statement):
                continue
            if len(self.own_statements(module, name)) > 1:
                continue
            functions = (one for one in module.source.statements if isinstance(one, _Defined))
            if not any(name in self._changes_of(one) for one in functions):
                yield Unresolved(name, f"{module.label}:{name}", "it is empty, and nothing seen here fills it")

    def _adds(self, effect: Effect, target: Key, rest: int) -> bool:
        match effect.kind:
            case "set" | "passed":
                return True
            case "call" | "decorator":
                return rest > 0  # a method of it; a call of itself gives it nothing
            case "base":
                return self._is_open(target)
            case "made":
                return False  # asking for a value is not giving one

    def _is_open(self, key: Key) -> bool:
        """Say whether other modules may be meant to add to a definition."""
        if key not in self._open:
            module = self._module(key[0])
            self._open[key] = bool(self._registrars_of(key)) or any(
                self._awaits(module, binding.statement) for binding in module.source.bindings.get(key[1], ())
            )
        return self._open[key]

    def _awaits(self, module: Module, statement: ast.stmt) -> bool:
        match statement:
            case ast.ClassDef(body=body):
                hooks = (part.name for part in body if isinstance(part, _Function))
                return "__init_subclass__" in hooks or any(_is_empty_container(part) for part in body)
            case ast.Assign(value=ast.Call(func=function)) | ast.AnnAssign(value=ast.Call(func=function)) if (
                names := root_chain(function)
            ):
                makers = self._names.of(module, names[0], names[1:]).keys
                return _is_empty_container(statement) or any(self._is_class(maker) for maker in makers)
            case _:
                return _is_empty_container(statement)

    def _is_class(self, key: Key) -> bool:
        bindings = self._module(key[0]).source.bindings.get(key[1], ())
        return any(isinstance(binding.statement, ast.ClassDef) for binding in bindings)

    def _registrars_of(self, key: Key) -> frozenset[Key]:
        """Return the functions beside a definition that change it."""
        if key not in self._registrars:
            self._registrars[key] = frozenset(self._find_registrars(*key))
        return self._registrars[key]

    def _find_registrars(self, module_name: str, name: str) -> Iterator[Key]:
        source = self._module(module_name).source
        bindings = source.bindings.get(name, ())
        if not any(isinstance(binding.statement, ast.Assign | ast.AnnAssign) for binding in bindings):
            return
        if not source.seems_changed(name):
            return  # most constants are never changed: the walk below is for the others
        for statement in source.statements:
            if isinstance(statement, _Function) and name in self._changes_of(statement):
                yield module_name, statement.name

    def _changes_of(self, statement: ast.stmt) -> set[str]:
        if id(statement) not in self._changed:
            self._changed[id(statement)] = changed_names(statement)
        return self._changed[id(statement)]

    def _target(self, module: Module, effect: Effect) -> tuple[Key, int]:
        """Return the definition that an effect is on, and how many attributes of it are named."""
        meaning = self._names.of(module, effect.chain[0], effect.chain[1:])
        return next(iter(meaning.keys), ("", "")), len(effect.chain) - 1 - meaning.used

    def _loaded_with(self, modules: Set[str]) -> set[str]:
        """Return the first-party modules that are loaded when `modules` are, these included."""
        found: set[str] = set()
        todo = set(modules)
        while todo:
            name = todo.pop()
            found.add(name)
            if name not in self._imported:
                self._imported[name] = frozenset(self._imports(self._module(name)))
            todo |= self._imported[name] - found
        return found

    def _imports(self, module: Module) -> Iterator[str]:
        for statement in module.source.imports:
            if isinstance(statement, ast.Import):
                wanted = [alias.name for alias in statement.names]
            else:
                base = module.absolute(Imported(statement.level, statement.module or "")) or ""
                wanted = [base, *(f"{base}.{alias.name}" for alias in statement.names)]
            for name in wanted:
                parts = name.split(".")
                for count in range(1, len(parts) + 1):
                    part = ".".join(parts[:count])
                    if self._first_party.holds(part) and self._store.find(part) is not None:
                        yield part

    def _module(self, name: str) -> Module:
        module = self._store.find(name)
        assert module is not None, name
        return module


def _words(module: Module, effect: Effect) -> set[str]:
    """Return the names by which an effect may know what it is on."""
    imports = (binding.imported for binding in module.source.bindings.get(effect.chain[0], ()))
    return {*effect.chain, *(imported.member for imported in imports if imported is not None and imported.member)}


def _gaps(module: Module) -> Iterator[Unresolved]:
    """Yield where a module, while it loads, loads others whose names are not written down."""
    for effect in module.source.effects:
        if effect.kind in ("call", "made") and effect.chain[-1] in ("import_module", "__import__"):
            where = f"{module.label}, line {effect.statement.lineno}"
            yield Unresolved(".".join(effect.chain), where, "what the modules that it loads register is not known")


def _key_of(module: str, effect: Effect, target: Key) -> Key:
    if isinstance(effect.statement, _Defined):
        return module, effect.statement.name
    return module, f"~{target[0]}:{target[1]}"


def _is_inline(module: Module, effect: Effect, target: Key) -> bool:
    """Say whether an effect is spelled with the definition itself, because it stands in the same module."""
    bindings = module.source.bindings.get(target[1], ())
    return (
        target == (module.name, effect.chain[0])
        and any(binding.imported is None for binding in bindings)
        and not isinstance(effect.statement, _Defined)
        and (effect.kind in ("set", "passed") or (effect.kind == "call" and len(effect.chain) > 1))
    )


def _is_empty_container(statement: ast.stmt) -> bool:
    match statement:
        case ast.Assign(value=value) | ast.AnnAssign(value=value):
            pass
        case _:
            return False
    match value:
        case ast.Dict(keys=[]) | ast.List(elts=[]):
            return True
        case ast.Call(func=function, args=args, keywords=keywords):
            called = root_chain(function)[-1:]
            return called == ("defaultdict",) or (not args and not keywords and not _CONTAINERS.isdisjoint(called))
        case _:
            return False
