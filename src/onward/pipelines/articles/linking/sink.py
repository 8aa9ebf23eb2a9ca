"""Where linking writes to: features of each article into a private file of lines, and at the end `links.jsonl`.

The features are the outputs that the ledger knows: durable one by one, redone one by one. What is told of clusters is
made from all of them when a run has ended, in one rename: whole after any crash, and the same whatever the order and
the runs in which the articles came.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence

from onward.disk.durable import write_atomic
from onward.disk.hashing import hash_bytes, hash_file
from onward.disk.lines_file import LinesFile
from onward.disk.seal import seal_of
from onward.engine.sinks.lines_sink import JsonLinesSink
from onward.pipelines.articles.linking.clusters import divide
from onward.pipelines.articles.linking.features import EventFeatures, from_line
from onward.pipelines.articles.linking.file import link_lines
from onward.pipelines.articles.linking.index import EventIndex
from onward.pipelines.articles.linking.memory import NOTHING, Memory, linking_version
from onward.pipelines.articles.linking.score import LINKED
from onward.runs.outlet import private_folder

__all__ = ["LinksSink"]

_FEATURES = "features.jsonl"
_MEMORY = "scores.jsonl"
_LINKED = "linked.json"


class LinksSink(JsonLinesSink):
    """Results are lines of features; `--out` is the `links.jsonl` that is made of them."""

    def __init__(self) -> None:
        super().__init__("doc_id", lambda line: line, None)
        self._out = ""

    def attach(self, out: str) -> None:
        """Look at the features without making or changing anything."""
        super().attach(out)
        self._out = out
        private = private_folder(out)
        self._file = LinesFile(os.path.join(private, _FEATURES), private, self._key_of, self._mask)

    def finish(self, order: Callable[[], Iterable[str]]) -> None:
        """Link the events of all articles, and replace `links.jsonl` when that says something else."""
        keys = list(order())
        super().finish(lambda: keys)
        stands = {"linking": linking_version(), "articles": _digest(keys), "features": seal_of(self.file.path)}
        links = _hash_or_none(self._out)
        if self.file.is_sealed and links is not None and self._told() == _plain({**stands, "links": links}):
            return
        self._link(keys)
        stands.update(features=seal_of(self.file.path), links=_hash_or_none(self._out))
        self._write(_LINKED, [json.dumps(stands).encode()])

    def _link(self, keys: Sequence[str]) -> None:
        index = self.file.index()
        digests = {key: row.digest.hex() for key in keys if (row := index.get(key)) is not None}
        before = self._remembered()
        articles = {key: self._features(key) for key in digests}
        known = {key for key, digest in digests.items() if before.articles.get(key) == digest}
        linked = EventIndex()
        for key in sorted(known):
            linked.restore(articles[key])
        for (a, b), pairs in before.scores.items():
            if a in known and b in known:
                linked.recall(a, b, pairs)
        for key in sorted(digests.keys() - known):
            linked.add(articles[key])
        scores = linked.scores()
        events = {event.event_id: event for found in articles.values() for event in found}
        lines = link_lines(divide(scores, LINKED), scores, events.__getitem__)
        # The memory first: after a crash between the two the next run finds that nothing was told of it yet.
        self._write(_MEMORY, Memory(digests, linked.by_article()).lines())
        write_atomic(self._out, lines, scratch=self.staging.folder)

    def _features(self, key: str) -> list[EventFeatures]:
        line = self.file.read(key)
        assert line is not None, "the index has it"
        return from_line(json.loads(line))

    def _remembered(self) -> Memory:
        try:
            with open(self._private(_MEMORY), "rb") as file:
                return Memory.of_lines(file)
        except OSError:
            return NOTHING

    def _told(self) -> object:
        try:
            with open(self._private(_LINKED), "rb") as file:
                return json.load(file)
        except (OSError, ValueError):
            return None

    def _private(self, name: str) -> str:
        return os.path.join(private_folder(self._out), name)

    def _write(self, name: str, lines: Iterable[bytes]) -> None:
        write_atomic(self._private(name), lines, scratch=self.staging.folder)


def _digest(keys: Iterable[str]) -> str:
    return hash_bytes(json.dumps(sorted(keys)).encode())


def _plain(value: object) -> object:
    """Return a value as it comes back from a file."""
    return json.loads(json.dumps(value))


def _hash_or_none(path: str) -> str | None:
    try:
        return hash_file(path)
    except OSError:
        return None
