"""What left a folder, and what of a manifest's history is old: questions before something is taken away."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from onward.disk.hashing import compute_file_hash
from onward.errors import NotFound, PruneRefused, SettingInvalid
from onward.ledger.manifest.contents import Contents
from onward.ledger.manifest.items import FILES, RUNS, Ref
from onward.ledger.manifest.lookup import key_below, path_of


def files_below(folder: str | os.PathLike[str], pattern: str) -> Iterator[Path]:
    """Return the regular files below a folder whose names match, sorted; hidden ones and links to folders are left out.

    Raises:
        NotFound: There is no such folder.
    """
    top = os.fspath(folder)
    if not os.path.isdir(top):
        raise NotFound(f"There is no folder '{top}'. Check the path, and that its disk is mounted.")
    for at, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = os.path.join(at, name)
            if not name.startswith(".") and fnmatchcase(name, pattern) and os.path.isfile(path):
                yield Path(path)


def gone_from(contents: Contents, root: str, directory: str | os.PathLike[str], *, yes: bool) -> list[str]:
    """Return the keys below a folder whose files are not there any more.

    Args:
        contents: What is known.
        root: The folder that keys are relative to.
        directory: The folder to look at.
        yes: Also when more than half would go.

    Raises:
        PruneRefused: The folder is missing, or more than half would go.
    """
    if not os.path.isdir(directory):
        raise PruneRefused(
            f"'{os.fspath(directory)}' is not there, which looks like a disk that is not mounted or a mistyped path. "
            "Nothing was pruned; name a folder that exists."
        )
    below = key_below(root, directory)
    keys = [key for key in sorted(contents.table(FILES)) if below == "." or key.startswith(below + "/")]
    gone = [key for key in keys if not os.path.isfile(path_of(root, key))]
    if gone:
        # On disk the same name may be spelled in another Unicode form, or in bytes that are no text.
        there = _keys_below(root, directory)
        gone = [key for key in gone if key not in there]
    if 2 * len(gone) > len(keys) and not yes:
        raise PruneRefused(
            f"{len(gone)} of {len(keys)} files are gone from '{os.fspath(directory)}', which looks like a mistake. "
            "Nothing was pruned; if they are meant to be gone, say so with `yes=True` (`--yes`)."
        )
    return gone


def _keys_below(root: str, directory: str | os.PathLike[str]) -> set[str]:
    return {
        key_below(root, os.path.join(at, name)) for at, _, names in os.walk(os.fspath(directory)) for name in names
    }


def remove_outputs(root: str, entries: Iterable[Mapping[str, Any]]) -> None:
    """Delete outputs that still are what was recorded; one that somebody changed is somebody's."""
    for entry in entries:
        output, digest = entry.get("output_path"), entry.get("output_hash")
        if output is None or digest is None:
            continue
        path = path_of(root, output)
        try:
            if compute_file_hash(path) == digest:
                os.unlink(path)
        except OSError:
            continue  # not here, or not readable: nothing of ours to delete


def older_runs(contents: Contents, keep: int) -> list[str]:
    """Return all runs but the last `keep`, by when they began.

    Raises:
        SettingInvalid: `keep` is negative.
    """
    if keep < 0:
        raise SettingInvalid(f"The number of runs to keep must not be negative, and it is {keep}.")
    runs = contents.run_ids()
    begun = {run: str((contents.value(Ref(RUNS, "", run)) or {}).get("started_at") or "") for run in runs}
    runs.sort(key=lambda run: (begun[run], run))
    return runs[: len(runs) - keep]
