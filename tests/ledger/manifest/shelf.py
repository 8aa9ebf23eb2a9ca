"""A folder of small files with a manifest in it: what the tests of manifests work on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from onward import StateManifest

RUN = "20251228_143022"


@dataclass
class Shelf:
    """A folder with inputs, a folder for outputs beside it, and the manifest's path."""

    folder: Path
    out: Path

    @classmethod
    def build(cls, at: Path, files: Mapping[str, str] | Iterable[str] = ()) -> Shelf:
        shelf = cls(at / "raw", at / "processed")
        shelf.folder.mkdir(parents=True)
        shelf.out.mkdir()
        contents = files if isinstance(files, Mapping) else {name: f"text of {name}" for name in files}
        for name, text in contents.items():
            shelf.put(name, text)
        return shelf

    @property
    def path(self) -> Path:
        return self.folder / ".manifest.json"

    @property
    def journal(self) -> Path:
        return self.folder / ".manifest.json.journal"

    @property
    def backup(self) -> Path:
        return self.folder / ".manifest.json.bak"

    def put(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def manifest(self) -> StateManifest:
        return StateManifest.load(self.path)

    def process(self, manifest: StateManifest, name: str, run: str = RUN, text: str | None = None) -> None:
        """Do what a batch does with one file: look, process, record."""
        path = self.folder / name
        manifest.should_process(path)
        output = self.output(name)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text if text is not None else path.read_text().upper())
        manifest.record_success(path, output, run, {"status": "PASS"})

    def output(self, name: str) -> Path:
        return (self.out / name).with_suffix(".json")

    def forget_side_files(self) -> None:
        """Leave only the document, as a fresh clone has it."""
        for name in os.listdir(self.folder):
            if name.startswith(".manifest.json."):
                (self.folder / name).unlink()


def facts(manifest: StateManifest) -> dict[str, tuple[object, ...]]:
    """Return what a manifest says of each file, without times and without where it stands."""
    files = manifest.data["files"]
    names = ("status", "hash", "output_hash", "run_id", "reason", "attempt_count")
    folder = manifest.manifest_path.parent
    told = {}
    for key in files:
        output = files[key].get("output_path")
        told[key] = (*(files[key].get(name) for name in names), output and os.path.relpath(output, folder))
    return told
