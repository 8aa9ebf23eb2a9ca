"""What a dotted name in a module means: which definition of which module, followed through imports and re-exports.

Names of libraries end as their dotted name. Nothing is executed: a name that only appears while the program runs has no
meaning here, and says so.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from dataclasses import dataclass, replace

from onward.engine.code.first_party import FirstParty
from onward.engine.code.modules import Module, ModuleStore
from onward.engine.code.source import Binding, FileSeen
from onward.engine.code.syntax import Imported

Key = tuple[str, str]
"""A definition: the name of its module and its own. `*` is the whole module; `~` see `registrations.py`."""

WHOLE = "*"

_BUILTINS = frozenset(dir(builtins))
# Names that every module, class or method has without binding them.
_IMPLICIT = frozenset({"__name__", "__file__", "__doc__", "__spec__", "__package__", "__loader__", "__path__"})
_IMPLICIT |= {"__cached__", "__builtins__", "__debug__", "__dict__", "__annotations__"}
_IMPLICIT |= {"__class__", "__module__", "__qualname__"}


@dataclass(frozen=True, slots=True, order=True)
class Unresolved:
    """A name whose meaning only running the code could tell: the name, where it is read, and why it is not known."""

    name: str
    where: str
    why: str


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a dotted name stands for.

    `label` is its canonical spelling, `used` how many attributes belong to it, `keys` the definitions to follow,
    `files` the sources consulted to find out. `trouble` says why it is not known, else it is empty.
    """

    label: str
    used: int = 0
    keys: tuple[Key, ...] = ()
    files: frozenset[FileSeen] = frozenset()
    trouble: str = ""


class Names:
    """Tells what names mean, for one notion of what is first-party."""

    def __init__(self, store: ModuleStore, first_party: FirstParty) -> None:
        self._store = store
        self._first_party = first_party
        self._known: dict[tuple[str, str, tuple[str, ...]], Meaning] = {}
        self._asked: set[tuple[str, str]] = set()  # names on the way, so that a circle of imports ends

    def of(self, module: Module, name: str, attrs: tuple[str, ...] = ()) -> Meaning:
        """Return what `name.attrs...` means when code of `module` reads it as a global."""
        asked = (module.name, name, attrs)
        if asked not in self._known:
            self._known[asked] = self._global(module, name, attrs)
        return self._known[asked]

    def of_imports(self, module: Module, imports: Iterable[Imported], attrs: tuple[str, ...]) -> Meaning:
        """Return what a name means that one of `imports`, in code of `module`, has bound."""
        found = [self._imported(module, imported, attrs) for imported in imports]
        return replace(found[-1], keys=_all_keys(found), files=_all_files(found))

    def of_module(self, name: str, attrs: tuple[str, ...] = ()) -> Meaning:
        """Return what `attrs` of the module `name` means; the module as a whole when there are none."""
        if not self._first_party.holds(name):
            return self._library(name, attrs)
        place = self._store.place(name)
        module = self._store.find(name)
        if attrs:
            found = self._member(name, attrs[0], attrs[1:])
            return replace(found, used=found.used + 1)
        if module is None:
            trouble = "" if place.folders else "its source is not available"
            return Meaning(name, files=self._missing(name), trouble=trouble)
        return Meaning(module.label, keys=((name, WHOLE),), files=frozenset({module.source.seen}))

    def _global(self, module: Module, name: str, attrs: tuple[str, ...]) -> Meaning:
        bindings = module.source.bindings.get(name)
        if bindings:
            return self._bound(module, name, bindings, attrs)
        starred = self._starred(module, name, attrs)
        if starred is not None and not starred.trouble:
            return starred
        if name in _BUILTINS or name in _IMPLICIT:
            return Meaning(name)
        return starred or Meaning(name, trouble="it is not defined in its module")

    def _bound(self, module: Module, name: str, bindings: list[Binding], attrs: tuple[str, ...]) -> Meaning:
        imports = [binding.imported for binding in bindings if binding.imported is not None]
        found = [self._imported(module, imported, attrs) for imported in imports]
        if len(bindings) == 1 and bindings[0].is_plain_import:
            return found[0]
        keys = ((module.name, name), *_all_keys(found))
        return Meaning(f"{module.label}:{name}", keys=keys, files=_all_files(found) | {module.source.seen})

    def _imported(self, module: Module, imported: Imported, attrs: tuple[str, ...]) -> Meaning:
        source = module.absolute(imported)
        if source is None:
            return Meaning(f"{imported.module}.{imported.member}", trouble="it is imported from outside its package")
        if imported.member is None:
            return self.of_module(source, attrs)
        return self._member(source, imported.member, attrs)

    def _member(self, source: str, member: str, attrs: tuple[str, ...]) -> Meaning:
        """Return what `member` of the module `source` means: a name it binds, else a module in it."""
        asked = (source, member)
        if asked in self._asked:
            below = f"{source}.{member}"  # `from . import member` in the package itself
            is_module = self._store.place(below).exists
            return self.of_module(below, attrs) if is_module else Meaning(below, trouble="it is imported in a circle")
        self._asked.add(asked)
        try:
            return self._member_once(source, member, attrs)
        finally:
            self._asked.discard(asked)

    def _member_once(self, source: str, member: str, attrs: tuple[str, ...]) -> Meaning:
        below = f"{source}.{member}"
        if not self._first_party.holds(source):
            return self.of_module(below, attrs) if self._first_party.holds(below) else self._library(below, attrs)
        module = self._store.find(source)
        here = self._missing(source)
        if module is not None:
            here = frozenset({module.source.seen})
            if bindings := module.source.bindings.get(member):
                return _consulting(self._bound(module, member, bindings, attrs), here)
        if self._store.place(below).exists:
            return _consulting(self.of_module(below, attrs), here)
        here |= self._missing(below)
        if module is None:
            return Meaning(below, files=here, trouble="its source is not available")
        if module.source.trouble:
            return Meaning(f"{module.label}:{member}", keys=((source, WHOLE),), files=here)
        starred = self._starred(module, member, attrs)
        if starred is not None and not starred.trouble:
            return _consulting(starred, here)
        label = f"{module.label}:{member}"
        if "__getattr__" in module.source.bindings:
            return Meaning(label, 0, ((source, "__getattr__"),), here, "it is made by the module's __getattr__")
        if member in _IMPLICIT:
            return Meaning(label, files=here)
        return Meaning(label, files=here, trouble=f"it is not defined in '{module.label}'")

    def _starred(self, module: Module, name: str, attrs: tuple[str, ...]) -> Meaning | None:
        """Return what a name means that only a star import can have bound; None when the module has none."""
        found: Meaning | None = None
        for star in module.source.stars:
            source = module.absolute(star)
            if source is not None and self._first_party.holds(source):
                found = self._member(source, name, attrs)
                if not found.trouble:
                    return found
            else:
                found = Meaning(name, trouble=f"it may come from 'from {source or star.module} import *'")
        return found

    def _library(self, name: str, attrs: tuple[str, ...]) -> Meaning:
        for count in range(len(attrs) + 1):  # `onward` is a library, one room of it may be first-party
            below = ".".join((name, *attrs[:count]))
            if count and self._first_party.holds(below):
                found = self.of_module(below, attrs[count:])
                return replace(found, used=found.used + count)
            if not any(owner.startswith(below + ".") for owner in self._first_party.owners):
                break
        top = name.partition(".")[0]
        trouble = "" if self._store.place(top).exists else "its module cannot be found"
        return Meaning(".".join((name, *attrs)), len(attrs), files=self._missing(top), trouble=trouble)

    def _missing(self, name: str) -> frozenset[FileSeen]:
        """Return where the module `name` was looked for in vain: a file that appears there changes what names mean."""
        return frozenset(FileSeen(path, -1, 0, 0) for path in self._store.place(name).missing)


def _consulting(meaning: Meaning, files: frozenset[FileSeen]) -> Meaning:
    return replace(meaning, files=meaning.files | files)


def _all_keys(meanings: Iterable[Meaning]) -> tuple[Key, ...]:
    return tuple(dict.fromkeys(key for meaning in meanings for key in meaning.keys))


def _all_files(meanings: Iterable[Meaning]) -> frozenset[FileSeen]:
    return frozenset[FileSeen]().union(*(meaning.files for meaning in meanings))
