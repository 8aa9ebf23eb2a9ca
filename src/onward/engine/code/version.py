"""The code part of a fingerprint: one digest of a step's own code and of all first-party code that it reaches.

An edited helper two modules away changes the digest of the steps that reach it and of no other; a comment, a
docstring, an annotation of a function or another layout changes none. The digest depends on no path, no import order
and no hash seed. First-party is the step's own top-level package and the folders given as `roots`; what a library does
is declared with `depends=` and counts by its version (`dependencies.py`). How code is read stands in `engine/code/`.

What a step holds (bound arguments, the state of an instance, closed-over values) counts as it is when the digest is
made: make it before the work begins.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from onward.engine.code.first_party import FirstParty
from onward.engine.code.modules import ModuleStore
from onward.engine.code.names import Unresolved
from onward.engine.code.pieces import place
from onward.engine.code.reach import Definition, Reach
from onward.engine.code.source import FileSeen
from onward.engine.code.spelling import Spelling, digest
from onward.engine.code.values import Holdings, Piece, owners_of
from onward.engine.pipeline import step_name

__all__ = [
    "CodeReader",
    "CodeVersion",
    "FileSeen",
    "Unresolved",
    "code_version",
    "files_are_unchanged",
    "step_name",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeVersion:
    """The version of a step's code.

    Attributes:
        digest: `sha256:<hex>`; equal exactly when the code reached and the values held are.
        parts: The definitions reached, sorted: dotted name (`pkg.module:name`) to the digest of its own text alone.
        unresolved: What only running the step could tell, sorted; an edit there is not seen.
        files_reached: Each source file that was read for this, with its signature then. While none has changed and
            `CodeReader.key` of the step is the same, the digest is the same.
    """

    digest: str
    parts: Mapping[str, str]
    unresolved: tuple[Unresolved, ...] = ()
    files_reached: tuple[FileSeen, ...] = ()


class CodeReader:
    """Reads the code of several steps and keeps what it read, so that shared modules are parsed once.

    A reader sees files as they were when it first read them; use a new one for a new run.
    """

    def __init__(self, roots: Sequence[str | os.PathLike[str]] = ()) -> None:
        folders = [os.path.abspath(root) for root in roots]
        self._roots = tuple(dict.fromkeys([*folders, *(os.path.realpath(folder) for folder in folders)]))
        self._store = ModuleStore(self._roots)
        self._first_parties: dict[frozenset[str], FirstParty] = {}
        self._reaches: dict[frozenset[str], Reach] = {}

    def version(self, step: object, *, version: str | None = None) -> CodeVersion:
        """Return the version of `step`: a function, method, partial, class or callable instance.

        Args:
            step: What the pipeline calls; it is not called here.
            version: Declared by the user instead: nothing is read and nothing but this text counts.
        """
        if version is not None:
            return CodeVersion(digest=digest(["onward.code/1", "version", version]), parts=MappingProxyType({}))
        with _collecting_later():
            return self._read(step)

    def _read(self, step: object) -> CodeVersion:
        owners, first_party = self._first_party(step)
        reach = self._reaches.setdefault(owners, Reach(self._store, first_party))
        holdings = Holdings(self._store, first_party)
        tree = holdings.spell(step, step_name(step), "the step")
        placed = [(piece, place(piece, self._store, reach)) for piece in holdings.pieces]
        nested = [found.own for _, found in placed if found.own is not None]
        for piece, found in placed:
            own = "" if found.own is None else found.own.digest
            piece.spelling += [own, [[name, value] for name, value in found.values]]
        keys = {key for _, found in placed for key in found.keys}
        reached = reach.follow(keys.union(*(definition.keys for definition in nested)))
        gaps = reached.unresolved.union(holdings.unresolved)
        return _version(tree, [*nested, *reached.definitions], gaps, reached.files)

    def key(self, step: object) -> str:
        """Return a digest of what besides files decides the version of `step`, without reading any source.

        It holds where the step is and what it holds. Kept together with a version, it tells whether that still holds:
        same key, and `files_are_unchanged(version.files_reached)`.
        """
        owners, first_party = self._first_party(step)
        holdings = Holdings(self._store, first_party)
        tree = holdings.spell(step, step_name(step), "the step")
        pieces: list[Spelling] = [_piece_key(piece) for piece in holdings.pieces]
        return digest(["onward.code.key/1", tree, pieces, sorted(owners), list(self._roots)])

    def _first_party(self, step: object) -> tuple[frozenset[str], FirstParty]:
        owners = owners_of(step, self._store)
        found = self._first_parties.setdefault(owners, FirstParty(owners, self._roots, self._store))
        return owners, found


def code_version(
    step: object, *, roots: Sequence[str | os.PathLike[str]] = (), version: str | None = None
) -> CodeVersion:
    """Return the version of one step's code; for several steps, share a `CodeReader`.

    Args:
        step: What the pipeline calls; it is not called here.
        roots: Folders whose modules are first-party too: the folder of the pipeline's file.
        version: Declared by the user instead of all of it.
    """
    return CodeReader(roots).version(step, version=version)


def files_are_unchanged(files: Iterable[tuple[str, int, int, int]]) -> bool:
    """Say whether every file still has the signature that it had when it was read (or is still not there)."""
    return all(FileSeen.now(path) == (path, *signature) for path, *signature in files)


def _version(
    tree: Spelling, definitions: Sequence[Definition], unresolved: Iterable[Unresolved], files: Iterable[FileSeen]
) -> CodeVersion:
    parts: dict[str, set[str]] = {}
    gaps = set(unresolved).union(*(definition.unresolved for definition in definitions))
    seen = set(files)
    for definition in definitions:
        parts.setdefault(definition.label, set()).add(definition.digest)
        seen.update(definition.files)
    one = {label: found.pop() if len(found) == 1 else digest(sorted(found)) for label, found in sorted(parts.items())}
    return CodeVersion(
        digest=digest(["onward.code/1", tree, [[label, text] for label, text in one.items()]]),
        parts=MappingProxyType(one),
        unresolved=tuple(sorted(gaps)),
        files_reached=tuple(sorted(seen)),
    )


@contextmanager
def _collecting_later() -> Iterator[None]:
    """Hold the garbage collector while trees grow: none of it is garbage, and looking costs a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _piece_key(piece: Piece) -> Spelling:
    values: list[Spelling] = [[name, value] for name, value in sorted(piece.values.items())]
    if piece.code is None:
        return [piece.module, piece.qualname, values]
    spots = sorted({str(spot) for spot in piece.code.co_positions()}) if "<lambda>" in piece.qualname else []
    return [piece.module, piece.qualname, str(piece.code.co_firstlineno), [*spots], values]
