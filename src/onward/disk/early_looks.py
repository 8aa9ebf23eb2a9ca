"""A child process that looks at folders while its parent still imports what a run needs.

A run that finds nothing to do in 10,000 files takes as long to start as to look, and neither waits for the other.
These looks are taken before the job is held and before recovery, so they can say one thing alone: that a folder stood
as the ledger, which is read afterwards, says it was left. Wherever they say anything else, `engine/scan.py` looks
again. So a run sees whatever was changed before it was started; what is changed while it starts may wait for the next.

The pipeline's own file may write inputs while it is imported, and those are to be seen: outputs are looked at from the
start, inputs once the parent says that the file was run.

The child writes into memory that it shares with its parent, and is ended when the parent asks what it saw: that
serves, and the rest is looked at as without it. So it may look at what nobody asks for, but only for as long as a
start takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from mmap import mmap
from signal import SIGKILL
from struct import Struct
from typing import Self

from onward import clock
from onward.disk import walk

_ROOM_BYTES = 8 << 20
_END_S = 1.0
_LOOK_S = 0.0002
_DESCRIPTORS = 4096
_STATE = Struct("=QQ")
_MAY = Struct("=Q")
_WRITTEN_AT = _MAY.size
_SIZES = Struct("=5Q")


class Glimpse:
    """What stood in one input folder, and in the output folder of the same name.

    Attributes:
        names: Of the input files, sorted, with a NUL between them.
        inputs: Their records, packed as `walk.Look` packs them.
        folders: Names of the folders in it, sorted.
        outputs: As `walk.look_at_outputs` gives them.
    """

    __slots__ = ("folders", "inputs", "names", "outputs")

    def __init__(self, names: bytes, inputs: bytes, folders: bytes, outputs: bytes) -> None:
        self.names = names
        self.inputs = inputs
        self.folders = folders.split(b"\0") if folders else []
        self.outputs = outputs

    def matching(self, matches: walk.NameFilter) -> tuple[bytes, int]:
        """Return the records of the input files whose name matches, packed, and how many they are."""
        names = self.names.split(b"\0") if self.names else []
        wanted = list(map(matches, names))
        if all(wanted):
            return self.inputs, len(names)
        records = [record for record, takes in zip(walk.records(self.inputs), wanted, strict=True) if takes]
        return b"".join(records), len(records)


class EarlyLooks:
    """Looks at an output folder from now on, and from `look_at_inputs` to `end` at the inputs that it mirrors.

    As a context it ends when the block does.
    """

    def __init__(self, place: str, out: str) -> None:
        """Start the child, unless there is nothing that it could find as it was left.

        Args:
            place: The input.
            out: Where outputs go.
        """
        self._seen: dict[bytes, Glimpse] = {}
        self._pid = 0
        if os.path.isdir(place) and os.path.isdir(out):
            try:
                self._room = mmap(-1, _ROOM_BYTES)
                self._start(os.path.realpath(os.fsencode(place)), os.path.realpath(os.fsencode(out)))
            except OSError:
                pass  # no room for it: everything is looked at later

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def glimpse(self, folder: bytes) -> Glimpse | None:
        """Return what was seen of a folder, by its path below the input; None when it was not looked at."""
        return self._seen.get(folder)

    def look_at_inputs(self) -> None:
        """Let the inputs be looked at: whatever this process does to them is done."""
        if self._pid:
            _MAY.pack_into(self._room, 0, 1)

    def end(self) -> None:
        """End the child; what it has seen by now can be asked for."""
        if not self._pid:
            return
        if _has_ended(self._pid):
            self._seen = dict(_read(self._room))
        self._pid = 0
        self._room.close()

    def _start(self, root: bytes, mirror: bytes) -> None:
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.closerange(0, _DESCRIPTORS)  # whoever waits for one of the parent's must not wait for its child
                _look(root, mirror, self._room, parent)
            finally:
                os._exit(0)  # never the parent's exit handlers, nor a traceback over what it prints


def _has_ended(pid: int) -> bool:
    """End a child; say whether it has, which one that waits for a file system that hangs does not."""
    until = clock.monotonic() + _END_S
    try:
        os.kill(pid, SIGKILL)
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if clock.monotonic() >= until:
                return False
            clock.sleep(_LOOK_S)
    except OSError:
        pass  # it has, and whoever started us wants no word of that
    return True


def _look(root: bytes, mirror: bytes, room: mmap, parent: int) -> None:
    def may_look_at_inputs() -> bool:
        return _MAY.unpack_from(room)[0] == 1 or os.getppid() != parent

    outputs = _look_at_outputs(mirror, may_look_at_inputs)
    while not may_look_at_inputs():
        clock.sleep(_LOOK_S)
    at = _STATE.size
    waiting = [b""]
    while waiting and os.getppid() == parent:
        relative = waiting.pop()
        folder = os.path.join(root, relative)
        try:
            seen = walk.look(folder, _is_shown, root=root)
            if relative not in outputs:
                outputs[relative] = walk.look_at_outputs(os.path.join(mirror, relative))
        except OSError:
            continue  # the parent looks for itself, and says what is wrong
        below = [name for name in seen.folders if _is_shown(name)]
        waiting += [os.path.join(relative, name) for name in reversed(below) if os.path.join(folder, name) != mirror]
        if seen.problems:
            continue
        names = b"\0".join([walk.split(record)[0] for record in seen.records])
        parts = (relative, names, seen.packed, b"\0".join(below), outputs[relative])
        frame = b"".join((_SIZES.pack(*map(len, parts)), *parts))
        if at + len(frame) > len(room):
            return
        room[at : at + len(frame)] = frame
        at += len(frame)
        _MAY.pack_into(room, _WRITTEN_AT, at)  # the frame is whole before it is told of


def _look_at_outputs(mirror: bytes, is_enough: Callable[[], bool]) -> dict[bytes, bytes]:
    """Return what stands in an output folder and in those below it, by their paths below it, until it is enough."""
    found: dict[bytes, bytes] = {}
    waiting = [b""]
    while waiting and not is_enough():
        relative = waiting.pop()
        below: list[bytes] = []
        with suppress(OSError):
            found[relative] = walk.look_at_outputs(os.path.join(mirror, relative), below)
        waiting += [os.path.join(relative, name) for name in reversed(below) if _is_shown(name)]
    return found


def _is_shown(name: bytes) -> bool:
    return not name.startswith(b".")


def _read(room: mmap) -> Iterator[tuple[bytes, Glimpse]]:
    """Return what a child has told, by folder."""
    _, end = _STATE.unpack_from(room)
    at = _STATE.size
    while at < end:
        sizes = _SIZES.unpack_from(room, at)
        at += _SIZES.size
        relative, names, inputs, folders, outputs = (
            room[at + sum(sizes[:n]) : at + sum(sizes[: n + 1])] for n in range(len(sizes))
        )
        at += sum(sizes)
        yield relative, Glimpse(names, inputs, folders, outputs)
