"""A place with documents and a service over them, for tests of the faces; and what is in it, asked from outside."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("markdown_it", reason="NOT RUN: the documents room needs onward[documents]")

from onward import BatchConfig, BatchIngestService, open_documents

FACES_SETTINGS = {"embedder": "lexical"}
"""For tests in which vectors do not matter."""


class Place:
    """A folder with a state, documents in `docs/` and an index beside them."""

    def __init__(self, root: Path, files: Mapping[str, str | bytes] | None = None) -> None:
        self.root = root
        self.docs = root / "docs"
        self.docs.mkdir(parents=True)
        for name, text in (files if files is not None else pages(5)).items():
            self.write(name, text)

    def write(self, name: str, text: str | bytes) -> Path:
        """Write a document."""
        path = self.docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def service(self, config: BatchConfig | None = None, **settings: Any) -> BatchIngestService:
        """Return a service of its own over the place."""
        return BatchIngestService(
            config or BatchConfig(), out=self.root / "index", state=self.root / "state",
            settings=FACES_SETTINGS | settings,
        )

    def histories(self) -> dict[str, int]:
        """Return how many versions each document has, deletions included."""
        with open_documents(state=os.fspath(self.root / "state")) as documents:
            return {
                one.path: len(documents.history(one.path)) for one in documents.tree("2100-01-01T00:00:00+00:00")
            }

    def texts(self) -> dict[str, bytes | None]:
        """Return what each document is now."""
        with open_documents(state=os.fspath(self.root / "state")) as documents:
            now = "2100-01-01T00:00:00+00:00"
            found = {one.path: documents.get(one.path, now) for one in documents.tree(now)}
        return {path: None if one is None else one.content for path, one in found.items()}


def pages(count: int, folder: str = "") -> dict[str, str]:
    """Return small Markdown documents."""
    return {
        f"{folder}page-{number:04}.md": f"# Page {number}\n\nWhat there is to say about number {number}.\n"
        for number in range(count)
    }


class Unreliable:
    """Takes files as the service would, but for those that a rule says fail, as often as it says."""

    def __init__(self, service: BatchIngestService, fault: Callable[[str, int], BaseException | None]) -> None:
        self._own = service.ingest_service
        self._fault = fault
        self.calls: dict[str, int] = {}
        service.ingest_service = self

    def ingest_document(self, file_path: str) -> object:
        """Fail, or take a file."""
        name = os.path.basename(file_path)
        self.calls[name] = self.calls.get(name, 0) + 1
        error = self._fault(name, self.calls[name])
        if error is not None:
            raise error
        return self._own.ingest_document(file_path)
