"""A farm whose input is a folder of documents and whose output is a versioned store of vectors.

The embedder is the lexical one, where no test says otherwise: it needs no model, and a vector hangs on nothing but its
text.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import pytest

from farm import ONWARD, Farm, Ran
from onward.model.record import to_digest
from onward.runs.outlet import outlet

pytest.importorskip("markdown_it", reason="NOT RUN: the documents room needs onward[documents]")

from onward.pipelines.documents.library import Library
from onward.pipelines.documents.sink import library_path
from onward.pipelines.documents.stores import store_of
from onward.pipelines.documents.stores.port import digest_of

BEGAN_S = 1_700_000_000
"""When the first file of a farm was written, seconds since 1970."""

GUIDE = """\
# Guide

Onward does only what is new, and says why.

## Install

Put it into a fresh environment, and ask it for its version.

    pip install onward

## Run

Name a folder and a place for results. {run}
"""

PAGE = """\
<html><head><title>Windows</title></head><body>
<h1>Windows</h1><p>A window begins at midnight in its zone and ends before the next one begins.</p>
<h2>Late rows</h2><p>Rows that come late make a new version of the window.</p></body></html>
"""

TEXT = """\
Release notes

The second release reads older ledgers and leaves newer ones alone.
"""


def documents(run: str = "The rest is its own business.") -> dict[str, str]:
    """Return four small documents of three kinds; `run` is the end of a paragraph in one of them."""
    return {
        "guide.md": GUIDE.format(run=run),
        "tables/windows.html": PAGE,
        "notes.txt": TEXT,
        "tables/zones.rst": "Zones\n=====\n\nA zone names the calendar that days are taken from.\n",
    }


class DocumentsFarm(Farm):
    """A workspace with documents in `in/`."""

    settings: Mapping[str, object] = {"embedder": "lexical"}
    out_url: str | None = None
    written: int = 0

    def write(self, name: str | bytes, text: str | bytes) -> None:
        """Write a file, each one a minute later than the one before, so that two farms have the same timelines."""
        super().write(name, text)
        self.written += 1
        at = BEGAN_S + 60 * self.written
        os.utime(self.path(name), (at, at))

    @classmethod
    def of(
        cls, base: Path, files: Mapping[str, str | bytes] | None = None, *, workers: int = 1, **settings: object
    ) -> Self:
        farm = cls(base, workers, "documents")
        farm.settings = {**cls.settings, **settings}
        farm.input.mkdir(parents=True)
        farm.state.mkdir()
        farm.log.touch()
        for name, text in (documents() if files is None else files).items():
            farm.write(name, text)
        return farm

    # -- commands

    @property
    def target(self) -> str:
        return self.out_url or "out"

    @property
    def given(self) -> list[str]:
        return [word for name, value in self.settings.items() for word in ("--set", f"{name}={value}")]

    def command(self, verb: str, *args: str) -> list[str]:
        return [*self.prefix, *ONWARD, verb, "documents", "in", "--out", self.target, *self.given, *args]

    def plan(self, *args: str) -> Ran:
        return self.onward(*self.command("plan", "--json", *args)[len(ONWARD) :])

    # -- what can be seen

    def job(self) -> str:
        with self.ledger() as ledger:
            return ledger.jobs()[0].name

    @property
    def library_file(self) -> str:
        return library_path(outlet(self.out_url or str(self.out), self.workspace))

    def library(self) -> Library:
        return Library(self.library_file, writes=False)

    def stored(self) -> dict[str, str]:
        """Return id → digest of every chunk as the store holds it."""
        store = store_of(self.out_url or str(self.out), self.whole_settings())
        if not store.open(writes=False):
            return {}
        try:
            return {one: to_digest(digest) for one, digest in store.digests()}
        finally:
            store.close()

    def kept(self) -> dict[str, str]:
        """Return id → digest of every chunk as the library has it."""
        library = self.library()
        try:
            return {chunk.id: to_digest(digest_of(chunk)) for chunk, _ in library.every_chunk()}
        finally:
            library.close()

    def whole_settings(self) -> dict[str, Any]:
        from onward.pipelines.documents.pipeline import pipeline

        return {**(pipeline.settings or {}), **self.settings}

    def timelines(self) -> dict[str, list[tuple[int, int, str | None]]]:
        """Return document → since when, in which place, and which content, oldest first; what was corrected as well."""
        with self.ledger() as ledger:
            (job,) = ledger.jobs()
            return {
                document.key: [
                    (row.valid_from, row.sequence, None if row.content is None else to_digest(row.content))
                    for row in reversed(list(ledger.validities(document.id)))
                ]
                for document in ledger.documents(job.id)
            }

    def facts(self) -> dict[str, list[dict[str, Any]]]:
        """Return key → what the ledger keeps of each version."""
        with self.ledger() as ledger:
            (job,) = ledger.jobs()
            return {
                known.item.key: [json.loads(one.facts or "null") for one in ledger.versions(known.item.id)]
                for known in ledger.known_all(job.id)
            }

    def outlines(self) -> dict[str, list[str] | None]:
        """Return key → ids of the chunks of the current version."""
        library = self.library()
        try:
            with self.ledger() as ledger:
                (job,) = ledger.jobs()
                return {
                    known.item.key: library.outline(known.version.digest)
                    for known in ledger.known_all(job.id)
                    if known.version is not None
                }
        finally:
            library.close()

    def assert_in_step(self) -> None:
        """Assert that the store holds what the library has, and the library what every version is made of."""
        assert self.stored() == self.kept()
        library = self.library()
        try:
            with self.ledger() as ledger:
                (job,) = ledger.jobs()
                assert ledger.publishes(job.id) == []
                for known in ledger.known_all(job.id):
                    for version in ledger.versions(known.item.id):
                        assert library.outline(version.digest) is not None, known.item.key
                        assert json.loads(version.facts or "{}")["document"] in known.item.key
        finally:
            library.close()
