"""The modules that code lives in: where each is, under which name digests know it, and its source.

Nothing is loaded to find out, so a module that nobody imported yet is read as well as one in use.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder

from onward.engine.code.source import Source
from onward.engine.code.syntax import Imported


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """A source file under the name that imports know it by.

    `label` is the name that digests hold: for a module that was loaded from a file, or as `__main__`, it is made from
    the file's place, so that it is the same however the file was started.
    """

    name: str
    label: str
    package: str
    source: Source

    def absolute(self, imported: Imported) -> str | None:
        """Return the absolute name of the module that `imported` starts from; None above the top of the package."""
        if imported.level == 0:
            return imported.module
        parts = self.package.split(".") if self.package else []
        if imported.level > len(parts):
            return None
        base = parts[: len(parts) - imported.level + 1]
        return ".".join([*base, imported.module] if imported.module else base)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a module is: its source file, its folders if it is a package, or the paths looked at in vain."""

    exists: bool
    path: str | None = None
    folders: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class ModuleStore:
    """Finds modules by name and keeps what was read; a file is read once in the life of the store."""

    def __init__(self, roots: Sequence[str]) -> None:
        self._roots = tuple(roots)
        self._places: dict[str, Place] = {}
        self._modules: dict[str, Module | None] = {}
        self._sources: dict[str, Source | None] = {}

    def find(self, name: str) -> Module | None:
        """Return the module `name`, or None when it has no source that can be read."""
        if name not in self._modules:
            self._modules[name] = self._find(name)
        return self._modules[name]

    def _find(self, name: str) -> Module | None:
        path = self.place(name).path
        if path is None:
            return None
        if path not in self._sources:
            try:
                self._sources[path] = Source.read(path)
            except OSError:
                self._sources[path] = None
        source = self._sources[path]
        return None if source is None else Module(name, self.label(name), self._package(name, path), source)

    def place(self, name: str) -> Place:
        """Say where the module `name` is, without loading it."""
        if name not in self._places:
            parent, _, child = name.rpartition(".")
            loaded = sys.modules.get(name)
            if loaded is not None:
                self._places[name] = _place_of_loaded(loaded)
            elif not parent:
                self._places[name] = self._place_of_top(name)
            else:
                self._places[name] = _place_in(self.place(parent).folders, child)
        return self._places[name]

    def _place_of_top(self, name: str) -> Place:
        try:
            spec = importlib.util.find_spec(name) or PathFinder.find_spec(name, list(self._roots))
        except (ImportError, ValueError, AttributeError):
            spec = None
        if spec is None:
            missing = (f"{name}.py", f"{name}/__init__.py")
            return Place(False, missing=tuple(os.path.join(root, tail) for root in self._roots for tail in missing))
        return _place_of_spec(spec)

    def label(self, name: str) -> str:
        """Return the name that digests hold for the module `name`; see `Module`."""
        path = self.place(name).path
        if path is None:
            return name
        stem = path.removesuffix(".py").removesuffix("/__init__")
        if name != "__main__" and name.split(".") == stem.split("/")[-name.count(".") - 1 :]:
            return name
        spec = getattr(sys.modules.get(name), "__spec__", None) if name == "__main__" else None
        if spec is not None:
            return str(spec.name)
        folder, tail = os.path.split(stem)
        if not os.path.exists(os.path.join(folder, "__init__.py")):
            return (inside(stem, self._roots) or tail).replace("/", ".")
        parts = [tail]
        while os.path.exists(os.path.join(folder, "__init__.py")):
            folder, tail = os.path.split(folder)
            parts.insert(0, tail)
        return ".".join(parts)

    def hint(self, name: str, path: object) -> None:
        """Tell where a function of the module `name` is from: it may have been loaded from a file, or loaded twice."""
        source = _source_path(path)
        if source is not None and name not in self._modules and self.place(name).path != source:
            self._places[name] = Place(True, source, self.place(name).folders)

    def _package(self, name: str, path: str) -> str:
        loaded = sys.modules.get(name)
        package = getattr(loaded, "__package__", None)
        if isinstance(package, str):
            return package
        return name if path.endswith("/__init__.py") else name.rpartition(".")[0]


def _place_of_loaded(module: object) -> Place:
    try:
        names = object.__getattribute__(module, "__dict__")  # a lazy module must not load because we looked
    except AttributeError:
        return Place(True)
    file, folders = names.get("__file__"), names.get("__path__") or ()
    return Place(True, _source_path(file), tuple(os.path.abspath(folder) for folder in folders))


def _place_of_spec(spec: ModuleSpec) -> Place:
    folders = tuple(os.path.abspath(folder) for folder in spec.submodule_search_locations or ())
    return Place(True, _source_path(spec.origin if spec.has_location else None), folders)


def _place_in(folders: Sequence[str], name: str) -> Place:
    for folder in folders:
        package = os.path.join(folder, name)
        if os.path.isfile(init := os.path.join(package, "__init__.py")):
            return Place(True, init, (package,))
        if os.path.isfile(file := package + ".py"):
            return Place(True, file)
    spec = PathFinder.find_spec(name, list(folders)) if folders else None  # a namespace, or compiled
    if spec is not None:
        return _place_of_spec(spec)
    tails = (f"{name}/__init__.py", f"{name}.py")
    return Place(False, missing=tuple(os.path.join(folder, tail) for folder in folders for tail in tails))


def _source_path(file: object) -> str | None:
    return os.path.abspath(file) if isinstance(file, str) and file.endswith(".py") else None


def inside(path: str, roots: Sequence[str]) -> str | None:
    """Return `path` relative to the innermost of `roots` that holds it, with or without symbolic links; else None."""
    for form in (path, os.path.realpath(path)):
        found = [root for root in roots if form == root or form.startswith(root.rstrip("/") + "/")]
        if found:
            return os.path.relpath(form, max(found, key=len))
    return None
