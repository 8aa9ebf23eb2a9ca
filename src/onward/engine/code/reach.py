"""What code reaches: from one definition to all the first-party definitions that its names lead to, across modules.

A definition is a name at the top of a module, with every statement there that gives it its value; a class counts whole.
What only running the code could tell is listed as `Unresolved` and never guessed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from onward.engine.code.first_party import FirstParty
from onward.engine.code.modules import Module, ModuleStore
from onward.engine.code.names import WHOLE, Key, Meaning, Names, Unresolved
from onward.engine.code.registrations import Registrations
from onward.engine.code.source import FileSeen
from onward.engine.code.speller import Spelled, spell
from onward.engine.code.spelling import digest
from onward.engine.code.syntax import Imported, is_idle, root_chain

# Ways to reach code that a syntax tree does not show, and what is unknown then.
_DYNAMIC = {
    "getattr": "the name of the attribute is made while the program runs",
    "globals": "names are looked up while the program runs",
    "eval": "code is made while the program runs",
    "exec": "code is made while the program runs",
    "__import__": "the name of the module is made while the program runs",
    "importlib.import_module": "the name of the module is made while the program runs",
    "importlib.util.spec_from_file_location": "the file of the module is chosen while the program runs",
    "runpy.run_module": "the name of the module is made while the program runs",
    "runpy.run_path": "the file of the module is chosen while the program runs",
    "sys.modules": "modules are looked up while the program runs",
}
_IMPORTERS = frozenset({"__import__", "importlib.import_module"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One definition: the digest of its own spelling, where it leads, and what was read to find out."""

    label: str
    digest: str
    keys: tuple[Key, ...] = ()
    files: frozenset[FileSeen] = frozenset()
    unresolved: tuple[Unresolved, ...] = ()


@dataclass(frozen=True, slots=True)
class Reached:
    """All definitions that were reached, and every file that was looked at to find them."""

    definitions: tuple[Definition, ...]
    files: frozenset[FileSeen]
    unresolved: frozenset[Unresolved]


class Reach:
    """Follows names within what is first-party; definitions are spelled once and kept."""

    def __init__(self, store: ModuleStore, first_party: FirstParty) -> None:
        self._store = store
        self._names = Names(store, first_party)
        self._registrations = Registrations(store, first_party, self._names)
        self._definitions: dict[Key, Definition] = {}

    def follow(self, start: Iterable[Key]) -> Reached:
        """Return everything reached from `start`, these included."""
        definitions: dict[Key, Definition] = {}
        todo = set(start)
        while True:
            while todo:
                key = todo.pop()
                if key not in definitions:
                    definitions[key] = self.definition(key)
                    todo.update(definitions[key].keys)
            # What modules do, while they load, to the definitions reached counts too, and may reach further.
            added = self._registrations.of(definitions.keys())
            todo = added.keys - definitions.keys()
            if not todo:
                found = definitions.values()
                files = added.files.union(*(one.files for one in found))
                unresolved = added.unresolved.union(*(one.unresolved for one in found))
                return Reached(tuple(found), frozenset(files), frozenset(unresolved))

    def definition(self, key: Key) -> Definition:
        """Return the definition `key`, of a module that has a source."""
        if key not in self._definitions:
            module = self._store.find(key[0])
            assert module is not None, key
            self._definitions[key] = self._define(module, key[1])
        return self._definitions[key]

    def _define(self, module: Module, name: str) -> Definition:
        label = f"{module.label}:{name}"
        if module.source.trouble:
            return _unreadable(module, label)
        keys: tuple[Key, ...] = ()
        if name == WHOLE:
            statements, keys = self._whole(module)
        elif name.startswith("~"):
            owner, _, owned = name[1:].partition(":")
            label = f"{module.label}:~{self._store.label(owner)}:{owned}"
            statements = self._registrations.statements(module, (owner, owned))
        else:
            statements = self._registrations.own_statements(module, name)
        return self.spelled(module, label, spell(statements), keys=keys)

    def _whole(self, module: Module) -> tuple[list[ast.stmt], tuple[Key, ...]]:
        """Return what a module used as a value counts for: its statements that bind nothing, and all its names."""
        bindings = module.source.bindings
        named = {id(binding.statement) for found in bindings.values() for binding in found}
        rest = [one for one in module.source.statements if id(one) not in named and not is_idle(one)]
        meanings = [self._names.of(module, name) for name in bindings]
        return rest, tuple(key for meaning in meanings for key in meaning.keys)

    def spelled(
        self,
        module: Module,
        label: str,
        spelled: Spelled,
        *,
        keys: Iterable[Key] = (),
    ) -> Definition:
        """Write the meaning of each name over its spelling, and digest the result."""
        found = list(keys)
        files = {module.source.seen}
        unresolved: list[Unresolved] = []
        for use in spelled.uses:
            if use.imports:
                meaning = self._names.of_imports(module, use.imports, use.attrs)
            else:
                meaning = self._names.of(module, use.name, use.attrs)
            if use.is_certain:
                use.spelling[:] = ["Ref", meaning.label, *use.attrs[meaning.used :]]
            found += meaning.keys
            files |= meaning.files
            why = meaning.trouble if use.is_certain else ""
            if meaning.label in _DYNAMIC or meaning.label.startswith("sys.modules."):
                more, why = self._dynamic(module, meaning.label, use.call)
                found += more
            if why:
                name = ".".join((use.name, *use.attrs))
                unresolved.append(Unresolved(name, f"{label}, line {use.node.lineno}", why))
        return Definition(
            label=label,
            digest=digest(["onward.code.part/1", spelled.tree]),
            keys=tuple(dict.fromkeys(found)),
            files=frozenset(files),
            unresolved=tuple(dict.fromkeys(unresolved)),
        )

    def _dynamic(self, module: Module, label: str, call: ast.Call | None) -> tuple[tuple[Key, ...], str]:
        """Return what a use of one of the `_DYNAMIC` names reaches all the same, and else why that is not known."""
        args = call.args if call is not None else []
        if label == "getattr":
            if len(args) < 2 or isinstance(args[1], ast.Constant):
                return (), ""  # passed on, or the attribute is seen
            names = root_chain(args[0])
            meaning = self._names.of(module, names[0], names[1:]) if names else Meaning("")
            return (), "" if any(key[1] == WHOLE for key in meaning.keys) else _DYNAMIC[label]
        if label in _IMPORTERS and args and isinstance(args[0], ast.Constant) and isinstance(args[0].value, str):
            name = args[0].value.lstrip(".")
            source = module.absolute(Imported(len(args[0].value) - len(name), name))
            return (self._names.of_module(source).keys if source else ()), ""
        return (), _DYNAMIC.get(label, _DYNAMIC["sys.modules"])


def _unreadable(module: Module, label: str) -> Definition:
    """Define a piece of a module that does not parse by the bytes of the whole file."""
    return Definition(
        label=label,
        digest=digest(["onward.code.bytes/1", sha256(module.source.text).hexdigest()]),
        files=frozenset({module.source.seen}),
        unresolved=(Unresolved(label.rpartition(":")[2], label, module.source.trouble),),
    )
