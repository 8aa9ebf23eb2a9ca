"""Which modules are the user's own, whose code counts, and which are libraries, whose names count.

A library's version counts where it is declared with `depends=`.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Sequence
from functools import cache

from onward.engine.code.modules import ModuleStore, Place, inside


class FirstParty:
    """Says which modules are the user's own: those of `owners` (top-level packages), and those in the folders `roots`.

    Never the standard library, what is installed beside it, and the rest of `onward`, whose release must not redo
    everybody's work; a room of `onward` may be an owner.
    """

    def __init__(self, owners: frozenset[str], roots: Sequence[str], store: ModuleStore) -> None:
        self.owners = owners
        self._roots = roots
        self._store = store
        self._known: dict[str, bool] = {}

    def holds(self, name: str) -> bool:
        """Say whether the module `name` is first-party."""
        if name not in self._known:
            self._known[name] = self._holds(name)
        return self._known[name]

    def _holds(self, name: str) -> bool:
        place = self._store.place(name)
        where = place.path or next(iter(place.folders), None)
        if any(name == owner or name.startswith(owner + ".") for owner in self.owners):
            return name not in sys.builtin_module_names and (where is None or not is_standard(where))
        if name.partition(".")[0] == "onward" or where is None or is_standard(where):
            return False
        below = inside(where, self._roots)
        return below is not None and not _is_installed("/" + below)


def owner_of(module: str) -> str | None:
    """Return the package that a step in `module` is first-party with: the top one, or a room of `onward`; else None."""
    top, *below = module.split(".")
    if top != "onward":
        return top
    return ".".join((top, *below[:2])) if below[:1] == ["pipelines"] and len(below) > 1 else None


def is_library(place: Place) -> bool:
    """Say whether a module is installed or standard, judged by its place alone."""
    where = place.path or next(iter(place.folders), None)
    return where is None or is_standard(where) or _is_installed(where)


def is_standard(path: str) -> bool:
    """Say whether `path` is in the standard library."""
    return any(
        path.startswith(folder) and not _is_installed("/" + path[len(folder) :]) for folder in _standard_folders()
    )


@cache
def _standard_folders() -> tuple[str, ...]:
    folders = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), os.path.dirname(os.__file__)}
    return tuple(sorted({form for folder in folders for form in (folder + "/", os.path.realpath(folder) + "/")}))


def _is_installed(path: str) -> bool:
    return "/site-packages/" in path or "/dist-packages/" in path
