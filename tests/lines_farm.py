"""A farm whose input is one file of lines and whose output is another: the toy pipeline's steps over JSONL."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from farm import Farm, Ran

LINES_TOY = '''\
import json

from onward.engine.sinks.lines_sink import json_lines
from onward.engine.sources.lines_source import json_lines_source
from onward.engine.pipeline import BySettings, Pipeline
from onward.engine.sinks.segments_sink import json_segments
from toy import act, note


def read(item):
    note(item)
    document = json.loads(item.read_bytes())
    return {"doc_id": item.metadata["id"], "text": document.get("text", ""), "key": item.key, "path": b""}


def count(value):
    return {"doc_id": value["doc_id"], "words": len(value["text"].split()), "text": value["text"]}


SETTINGS = {"duplicates": "error"}
source = BySettings(lambda settings: json_lines_source(duplicates=settings["duplicates"], line_bytes_max=1_000_000))
lines = Pipeline("lines", source=source, steps=[read, act, count], sink=json_lines(), settings=SETTINGS)
segments = Pipeline("segments", source=source, steps=[read, act, count], sink=json_segments(), settings=SETTINGS)
'''


class LinesFarm(Farm):
    """A farm with lines; `place` and `to` say where they come from and where they go."""

    place = "in/docs.jsonl"
    to = "out/o.jsonl"

    @classmethod
    def of(cls, base: Path, documents: Iterable[object] = (), *, workers: int = 1) -> LinesFarm:
        """Make a workspace with these documents in one file."""
        farm = cls.plant(base, workers=workers)
        farm.code("lines_toy.py", LINES_TOY)
        farm.pipeline = "lines_toy.py:lines"
        assert isinstance(farm, LinesFarm)
        farm.write_lines(documents)
        return farm

    def write_lines(self, documents: Iterable[object], name: str = "docs.jsonl") -> None:
        self.write(name, b"".join(json.dumps(one).encode() + b"\n" for one in documents))

    def command(self, verb: str, *args: str) -> list[str]:
        found = super().command(verb, *args)
        at = found.index("in")
        found[at : at + 3] = [self.place, "--out", self.to]
        return found

    def plan(self, *args: str) -> Ran:
        return self.onward("plan", self.pipeline, self.place, "--out", self.to, "--json", *args)

    @property
    def file(self) -> Path:
        return self.root / self.to

    def lines(self) -> list[dict[str, object]]:
        """Return the output, line by line; each must be whole."""
        data = self.file.read_bytes()
        assert data == b"" or data.endswith(b"\n")
        return [json.loads(line) for line in data.splitlines()]

    def ids(self) -> list[object]:
        return [line["doc_id"] for line in self.lines()]
