"""`onward manifest` and `onward init`: the file a team shares by git, looked at, merged, mended, and known to git."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from onward.ledger.manifest.merge import MergeResult

_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
_LARGE_KB = 5_000


@click.group(short_help="Look after a shared manifest: check, merge, repair.")
def manifest() -> None:
    """Look after a manifest that a team shares by git."""


@manifest.command()
@click.argument("path", type=click.Path(), default=".manifest.json")
@_JSON
def check(path: str, as_json: bool) -> None:
    """Read PATH (.manifest.json by default) whole, and say how large it is and what is in it.

    What was damaged and could be restored is restored, and said. Exit code 1 when it cannot be used as it is.
    """
    from onward.cli import render
    from onward.ledger.manifest.state_manifest import StateManifest

    _refuse_missing(path)
    found = StateManifest.load(path)
    counts = found.get_statistics()
    size_bytes = found.size_bytes()
    size_kb = round(size_bytes / 1024, 1)
    render.facts(
        {
            "schema": "onward.manifest-check/1", "path": os.path.abspath(path), "files": counts["total"],
            "success": counts["success"], "failed": counts["failed"], "size_kb": size_kb, "told": list(found.told),
        },
        as_json=as_json,
    )
    if size_kb > _LARGE_KB:
        click.echo(
            f"onward: it is larger than {_LARGE_KB} KB; `StateManifest.prune_runs` forgets old runs, and above 10 MB "
            "it moves to a database beside it.",
            err=True,
        )


@manifest.command()
@click.argument("base", type=click.Path())
@click.argument("ours", type=click.Path())
@click.argument("theirs", type=click.Path())
@click.argument("path", type=click.Path(), required=False)
@_JSON
def merge(base: str, ours: str, theirs: str, path: str | None, as_json: bool) -> None:
    """Merge THEIRS into the file OURS, as git asks a merge driver (%O %A %B %P); `onward init --git` sets it up.

    The result is the union. One input with two different outputs is told of, and the later one stands.
    """
    from onward.ledger.manifest.merge import merge_files

    result = merge_files(base, ours, theirs, path=path)
    if as_json:
        _merged(path or ours, result)
    else:
        _contradictions(result)


@manifest.command()
@click.argument("path", type=click.Path(), default=".manifest.json")
@_JSON
def repair(path: str, as_json: bool) -> None:
    """Go on with the damaged manifest PATH: keep whatever is whole in it, its backup and its journal.

    What was damaged stays beside it. A file whose entry was lost is processed again.
    """
    from onward.cli import render
    from onward.ledger.manifest.repair import repair as repair_file

    done = repair_file(path)
    render.facts(
        {
            "schema": "onward.manifest-repair/1", "path": done.path, "files": done.files,
            "damaged_lines": done.damaged_lines, "kept": list(done.kept),
        },
        as_json=as_json,
    )


@click.command()
@click.argument("folder", type=click.Path(), default=".")
@click.option("--git", "for_git", is_flag=True, help="Also let git merge manifests by their meaning, in this clone.")
@_JSON
def init(folder: str, for_git: bool, as_json: bool) -> None:
    """Make the state folder in FOLDER (here by default), unless one is there; may be repeated.

    With --git the files .gitattributes and .gitignore are changed, which are to be committed; the configuration of git
    itself has to be repeated in each clone.
    """
    from onward.cli import render
    from onward.runs.workspace import STATE_FOLDER, find

    workspace = find(os.path.join(folder, STATE_FOLDER))
    is_new = not os.path.isdir(workspace.state)
    changed: list[str] = []
    if for_git:
        from onward.ledger.manifest.git import install_merge_driver

        changed = [str(path) for path in install_merge_driver(folder)]
    workspace.create()
    render.facts(
        {"schema": "onward.init/1", "state": workspace.state, "is_new": is_new, "changed": changed}, as_json=as_json
    )


# -- `onward ledger export` and `import` stand in the group of ledger.py


@click.command("export")
@click.argument("source", metavar="MANIFEST", type=click.Path())
@click.argument("file", type=click.Path(), required=False)
@_JSON
def export_manifest(source: str, file: str | None, as_json: bool) -> None:
    """Write MANIFEST as JSON to FILE (packed if it ends in .gz), or in its own place.

    Also when it has become a database, which git cannot merge.
    """
    from onward.cli import render
    from onward.ledger.manifest.state_manifest import StateManifest

    _refuse_missing(source)
    written = StateManifest.load(source).export(file)
    render.facts({"schema": "onward.manifest-export/1", "file": str(written)}, as_json=as_json)


@click.command("import")
@click.argument("target", metavar="MANIFEST", type=click.Path())
@click.argument("file", type=click.Path())
@_JSON
def import_manifest(target: str, file: str, as_json: bool) -> None:
    """Merge the manifest FILE into MANIFEST: the later entry of each file counts, and no history is lost."""
    from onward.ledger.manifest.state_manifest import StateManifest

    manifest = StateManifest.load(target)
    result = manifest.import_from(file)
    manifest.save()
    if as_json:
        _merged(target, result)
    else:
        click.echo(f"files: {result.files}, of them taken over: {result.taken}")
        _contradictions(result)


def _merged(path: str, result: MergeResult) -> None:
    from dataclasses import asdict

    from onward.cli import render

    render.document({
        "schema": "onward.manifest-merge/1", "path": path, "files": result.files, "taken": result.taken,
        "nondeterminism": [asdict(one) for one in result.nondeterminism],
    })


def _contradictions(result: MergeResult) -> None:
    from onward.model.item import printable

    for one in result.nondeterminism:
        click.echo(
            f"onward: {printable(one.key)}: not deterministic: the input {one.input_hash} gave {one.output_hash} in "
            f"run {printable(one.run_id)}, which stands, and {one.other_output_hash} in run "
            f"{printable(one.other_run_id)}.",
            err=True,
        )


def _refuse_missing(path: str) -> None:
    from onward.errors import NotFound
    from onward.ledger.manifest.places import Places
    from onward.model.item import printable

    places = Places.of(path)
    if not any(os.path.lexists(one) for one in (places.json, places.packed, places.database, places.journal)):
        raise NotFound(f"There is no manifest '{printable(path)}'. Name one; it is usually called .manifest.json.")
