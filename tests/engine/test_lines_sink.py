"""One file of lines: whatever happens on the way, it ends as one line a key, in the order of the source."""

from __future__ import annotations

import json
import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onward.disk.group_file import GroupFile
from onward.disk.hashing import hash_bytes
from onward.engine.sink import KeepsHistory
from onward.engine.sinks.lines_sink import JsonLinesSink, json_lines
from onward.errors import ResultInvalid, UsageError
from onward.model.line_fields import filled, nulled
from onward.model.line_key import line_key

KEYS = ["a", "b", "#1", "c/d", '"#x"']
IDS: dict[str, object] = {"a": "a", "b": "b", "#1": 1, "c/d": "c/d", '"#x"': "#x"}


def line(key: str, n: int, **more: object) -> bytes:
    value = {"doc_id": IDS[key], "n": n, **more}
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


@contextmanager
def prepared(out: Path, **options: Any) -> Iterator[JsonLinesSink]:
    sink = json_lines(**options)
    sink.prepare(str(out))
    try:
        yield sink
    finally:
        sink.close()


class Writer:
    """What a run does with a sink, and what the ledger would know; may be killed on the way."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.serial = 0
        self.live: dict[str, int] = {}
        self.pending: dict[str, tuple[str, str]] = {}
        self.begin()

    @property
    def staged(self) -> Path:
        return self.out.parent / ".onward" / self.out.name / "staging"

    def begin(self) -> None:
        """Prepare and recover, as every run does."""
        self.sink = json_lines()
        self.sink.prepare(str(self.out))
        for name, (key, digest) in self.pending.items():
            output = self.sink.output_of(key)
            if self.sink.has_staged(name, digest):
                self.sink.publish(name, output)
            else:
                assert self.sink.has_published(output, digest), "a committed line is lost"
                self.sink.published_before(output)
        self.sink.sync_published()
        self.sink.discard(set())
        self.pending = {}
        assert os.listdir(self.staged) == []
        self.sink.discard(set())

    def group(self, values: list[tuple[str, int]], crash: tuple[float, float, bool] | None) -> None:
        """Publish a group; a crash comes when so large a part was written, or so large a part was cleared away.

        With a loss of power what was not synced is gone: the files in which the lines were staged one by one.
        """
        group = dict(values)  # one line a key, as a group has
        for key, n in group.items():
            self.serial += 1
            name = f"1.{self.serial}.1.staged"
            staged = self.sink.stage(name, {"doc_id": IDS[key], "n": n}, key=key)
            assert (staged.digest, staged.mtime_ns) == (hash_bytes(line(key, n)), 0)
            self.pending[name] = (key, staged.digest)
            self.live[key] = n
        before = self.out.read_bytes() if self.out.exists() else b""
        kept = {name: (self.staged / name).read_bytes() for name in self.pending}
        self.sink.sync(list(self.pending))
        synced = (self.staged / "group.staged").read_bytes()
        for name, (key, _) in self.pending.items():
            self.sink.publish(name, self.sink.output_of(key))
        self.sink.sync_published()
        if crash is None:
            self.pending = {}
            return
        written, cleared, is_power_lost = crash
        after = self.out.read_bytes()
        assert after.startswith(before)
        if written < 1:
            with open(self.out, "r+b") as file:
                file.truncate(len(before) + int(written * (len(after) - len(before))))
            cleared = 0.0
        assert (self.staged / "group.staged").read_bytes() == synced
        for name in list(kept)[int(cleared * len(kept)) :]:
            if not is_power_lost:
                (self.staged / name).write_bytes(kept[name])
            elif len(name) % 2:
                (self.staged / name).write_bytes(b"")  # as file systems leave them
        self.die()

    def die(self) -> None:
        (self.staged / ".onward-1-abc.part").write_bytes(b"half a file")
        self.begin_again()

    def begin_again(self) -> None:
        self.sink._file_system.close()  # type: ignore[union-attr]  # what a death does; nothing else is told
        self.begin()

    def retract(self, key: str) -> None:
        self.live.pop(key, None)
        self.sink.retract(self.sink.output_of(key))
        self.sink.sync_published()

    def end(self) -> None:
        self.sink.close()
        self.begin()

    def finish(self) -> None:
        self.sink.finish(lambda: KEYS)

    def check(self) -> None:
        """Every line that counts is the one that was published last; nothing is torn."""
        seen = {}
        if self.out.exists():
            for text in self.out.read_bytes().splitlines(keepends=True):
                assert text.endswith(b"\n")
                seen[line_key(json.loads(text)["doc_id"])] = text
        assert seen == {key: line(key, n) for key, n in self.live.items()}
        outputs = [self.sink.output_of(key) for key in KEYS]
        assert self.sink.digests(outputs) == [hash_bytes(seen[key]) if key in seen else None for key in KEYS]
        assert [self.sink.read(output) for output in outputs] == [seen.get(key) for key in KEYS]
        assert sorted(self.sink.outputs()) == sorted(self.sink.output_of(key) for key in seen)  # type: ignore[arg-type]


PART = st.floats(0, 1)
GROUP = st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 10**6)), min_size=1, max_size=4)
STEPS = st.lists(
    st.tuples(st.just("group"), GROUP, st.none() | st.tuples(PART, PART, st.booleans()))
    | st.tuples(st.just("retract"), st.sampled_from(KEYS))
    | st.sampled_from([("die",), ("end",), ("finish",)]),
    max_size=12,
)


@given(steps=STEPS)
@settings(max_examples=300, deadline=None)
def test_whatever_is_published_retracted_and_killed_the_file_ends_as_that_of_an_unbroken_run(steps: list[Any]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        writer = Writer(folder / "out.jsonl")
        for name, *arguments in steps:
            getattr(writer, name)(*arguments)
            writer.check()
        writer.finish()

        assert writer.out.read_bytes() == b"".join(line(key, writer.live[key]) for key in KEYS if key in writer.live)
        before = writer.out.stat()
        writer.finish()
        writer.end()
        writer.finish()
        assert writer.out.stat() == before, "what is in its final form is left alone"
        writer.sink.close()
        assert os.listdir(writer.staged) == []
    finally:
        shutil.rmtree(folder)


# -- what a result must be


def test_a_result_that_is_no_object_or_has_no_id_fails_its_item(tmp_path: Path) -> None:
    bad: list[object] = [
        ["a"], "a", None, {}, {"doc_id": None}, {"doc_id": True}, {"doc_id": "a", "x": float("nan")},
        {"doc_id": "a", "x": object()}, {"doc_id": "a", "item_key": "b"},
    ]
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    with prepared(tmp_path / "out.jsonl") as sink:
        for value in [*bad, {"doc_id": "a", "x": nested}]:
            with pytest.raises(ResultInvalid):
                sink.stage("1.1.1.staged", value, key="a")
        assert not list(sink.staging.orphans(set()))


def test_a_line_whose_key_is_not_its_id_says_its_key(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with prepared(out) as sink:
        for n, key in enumerate(["one/7", "two/7"]):
            sink.stage(f"1.{n}.1.staged", {"doc_id": "7", "n": n}, key=key)
            sink.publish(f"1.{n}.1.staged", sink.output_of(key))
        sink.sync_published()

        sink.finish(lambda: ["two/7", "one/7"])

    assert out.read_bytes() == b'{"item_key":"two/7","doc_id":"7","n":1}\n{"item_key":"one/7","doc_id":"7","n":0}\n'


def test_texts_that_no_utf8_has_and_line_breaks_in_texts_stay_in_one_line(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    value = {"doc_id": "a", "text": "\ud800 \u2028 \n \x85 é"}
    with prepared(out) as sink:
        sink.stage("1.1.1.staged", value, key="a")
        sink.publish("1.1.1.staged", sink.output_of("a"))
        sink.sync_published()
        sink.finish(lambda: ["a"])
        assert list(sink.outputs()) == ["out.jsonl#a"]

    assert json.loads(out.read_bytes()) == value
    assert out.read_bytes().count(b"\n") == 1


# -- what others do


def published(out: Path, *keys: str) -> None:
    with prepared(out) as sink:
        for n, key in enumerate(keys):
            sink.stage(f"1.{n}.1.staged", {"doc_id": IDS[key], "n": n}, key=key)
            sink.publish(f"1.{n}.1.staged", sink.output_of(key))
        sink.sync_published()
        sink.finish(lambda: keys)


def test_a_file_that_is_not_ours_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_bytes(b'{"doc_id":"a"}\n')

    with pytest.raises(UsageError, match=r"out\.jsonl' has lines that onward did not write"):
        json_lines().prepare(str(out))

    assert out.read_bytes() == b'{"doc_id":"a"}\n'
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_an_output_that_can_be_no_file_of_lines_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()

    for out in (tmp_path / "out.txt", tmp_path, tmp_path / "folder.jsonl"):
        with pytest.raises(UsageError, match="no JSONL file"):
            json_lines().check(str(out))
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(UsageError, match="pipe"):
        json_lines().prepare(str(tmp_path / "pipe.jsonl"))


def test_while_nobody_touches_the_file_a_look_is_what_was_packed_and_does_not_read_it(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    published(out, "a", "b")
    out.chmod(0)  # to read it would be seen, but for root
    sink = json_lines()
    sink.attach(str(out))

    look = sink.look("")

    assert look == sink.pack({sink.output_of("a"): sink.packed(17, 0)}, "")
    assert sink.unpack(look, "").get("out.jsonl#a") == sink.packed(17, 0)
    assert sink.file._index is None


TOUCHES: dict[str, Callable[[bytes], bytes]] = {
    "an edited line": lambda data: data.replace(b'"n":0', b'"n":9'),
    "a deleted line": lambda data: data.partition(b"\n")[2],
    "a torn line": lambda data: data[:-3],
    "a line that was added": lambda data: data + b"x\n",
    "no line any more": lambda _: b"",
}


@pytest.mark.parametrize("touch", TOUCHES)
def test_a_touched_file_is_compared_line_by_line(touch: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    published(out, "a", "b")
    before = out.read_bytes()
    digests = {key: hash_bytes(line(key, n)) for n, key in enumerate("ab")}
    whole = [key for n, key in enumerate("ab") if line(key, n) in TOUCHES[touch](before)]
    out.write_bytes(TOUCHES[touch](before))
    sink = json_lines()
    sink.attach(str(out))

    look = sink.look("")
    there = sink.unpack(look, "")

    assert look != sink.pack({}, "")
    assert sink.unpack(sink.pack({}, ""), "") == {}, "nothing that was remembered is believed"
    assert all(there.get(f"out.jsonl#{key}") != sink.packed(17, 0) for key in "ab")
    assert [key for key in "ab" if sink.has_published(f"out.jsonl#{key}", digests[key])] == whole
    assert out.read_bytes() == TOUCHES[touch](before), "a look changes nothing"


def test_what_was_not_compared_after_a_touch_is_not_sealed(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    published(out, "a", "b")
    out.write_bytes(out.read_bytes().replace(b'"n":1', b'"n":7'))

    with prepared(out) as sink:
        assert sink.has_published("out.jsonl#a", hash_bytes(line("a", 0)))
        sink.finish(lambda: ["a", "b"])
    with prepared(out) as again:
        assert again.look("") != again.pack({}, "")
        assert not again.has_published("out.jsonl#b", hash_bytes(line("b", 1)))


@pytest.mark.parametrize("seal", [b"", b"{}", b"[" * 5000, b'{"schema":"onward.seal/1","size_bytes":"x"}', b"\xff"])
def test_a_seal_that_cannot_be_read_is_no_seal(seal: bytes, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    published(out, "a")
    (tmp_path / ".onward" / "out.jsonl" / "seal.json").write_bytes(seal)

    with prepared(out) as sink:
        assert sink.look("") != sink.pack({}, "")
        assert sink.has_published("out.jsonl#a", hash_bytes(line("a", 0)))
        sink.finish(lambda: ["a"])
    with prepared(out) as again:
        assert again.look("") == again.pack({}, "")


def test_lines_that_are_nobodys_and_lines_of_keys_without_a_place_go_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    published(out, "a", "b")
    with open(out, "ab") as file:
        file.write(b'\n{"no":"id"}\n[1]\n' + line("c/d", 1) + b'{"doc_id":"torn')
    sink = json_lines()
    sink.attach(str(out))
    assert list(sink.outputs()) == [
        "out.jsonl#a", "out.jsonl#b", "out.jsonl##line-3", "out.jsonl##line-4", "out.jsonl##line-5", "out.jsonl#c/d",
        "out.jsonl##line-7",
    ]

    with prepared(out) as sink:
        sink.finish(lambda: ["b", "a"])

    assert out.read_bytes() == line("b", 1) + line("a", 0)


def test_an_order_that_moved_is_seen_without_a_line_being_published(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    published(out, "a", "b")

    with prepared(out) as sink:
        sink.finish(lambda: pytest.fail("nothing moved"))
        sink.unpack(sink.look(""), "")  # as a plan does that looks into a container
        sink.finish(lambda: ["b", "a"])

    assert out.read_bytes() == line("b", 1) + line("a", 0)


# -- disks that fail


def test_a_group_that_is_torn_or_of_another_kind_is_none(tmp_path: Path) -> None:
    group = GroupFile(str(tmp_path / "group.staged"))
    lines = [("1.1.1.staged", b"one\ntwo\n"), ("1.2.1.staged", b""), ("1.3.1.staged", b"x" * 5000)]
    assert group.read() == {}
    group.write(lines)
    group.write(lines[:2])
    assert group.read() == dict(lines[:2]), "what stands behind it is of the group before"
    group.write(lines)
    data = Path(group.path).read_bytes()

    for length in range(0, len(data), 7):
        Path(group.path).write_bytes(data[:length])
        assert group.read() == {}
    for at in range(0, len(data), 11):
        Path(group.path).write_bytes(data[:at] + b"?" + data[at + 1 :])
        assert group.read() in ({}, dict(lines))
    group.remove()
    group.remove()


def test_a_disk_that_takes_half_a_group_leaves_the_file_as_it_was_and_the_group_to_be_published_again(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out.jsonl"
    published(out, "a")
    before = out.read_bytes()
    sink = json_lines()
    sink.prepare(str(out))
    staged = sink.stage("1.2.1.staged", {"doc_id": "b", "n": 1, "text": "x" * 5000}, key="b")
    sink.sync(["1.2.1.staged"])
    sink.publish("1.2.1.staged", sink.output_of("b"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            sink.sync_published()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sink.close()

    assert out.read_bytes() == before
    with prepared(out) as again:
        assert again.has_staged("1.2.1.staged", staged.digest)
        again.publish("1.2.1.staged", again.output_of("b"))
        again.sync_published()
        assert again.has_published(again.output_of("b"), staged.digest)


def test_somebody_who_adds_a_line_while_the_file_is_written_takes_none_of_ours_away(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with prepared(out) as sink:
        for n, key in enumerate("ab"):
            sink.stage(f"1.{n}.1.staged", {"doc_id": key, "n": n}, key=key)
        sink.publish("1.0.1.staged", sink.output_of("a"))
        sink.sync_published()
        with open(out, "ab") as file:
            file.write(b'{"doc_id":"theirs"}\n{"torn')
        sink.publish("1.1.1.staged", sink.output_of("b"))
        sink.sync_published()

        assert out.read_bytes() == line("a", 0) + b'{"doc_id":"theirs"}\n' + line("b", 1)
        sink.finish(lambda: ["a", "b"])
    assert out.read_bytes() == line("a", 0) + line("b", 1)


# -- evidence, history, names


def test_evidence_is_a_file_beside_the_lines(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    place = "quarantine/a_FAILED.json"
    with prepared(out) as sink:
        staged = sink.stage_evidence("1.1.1.staged", {"key": "a"})
        sink.publish("1.1.1.staged", place)
        sink.sync_published()
        assert json.loads((tmp_path / place).read_bytes()) == {"key": "a"}
        assert sink.has_published(place, staged.digest)
        sink.retract(place)
        sink.sync_published()
        assert not (tmp_path / place).exists()
        sink.finish(list)
    assert out.read_bytes() == b"", "a job without results has a file without lines"


def test_lines_that_were_replaced_cannot_be_had_again() -> None:
    assert not isinstance(json_lines(), KeepsHistory)


# -- what is put into lines later


CLUSTERS = st.lists(st.none() | st.text(max_size=8), max_size=4)


TEXTS = st.text() | st.sampled_from([',"cluster":"x"', '{"cluster":null', '\\"cluster'])


@given(before=CLUSTERS, after=CLUSTERS, text=TEXTS)
@settings(max_examples=500, deadline=None)
def test_a_text_comes_and_goes_in_its_field_and_no_other_byte_moves(
    before: list[str | None], after: list[str | None], text: str
) -> None:
    def made(clusters: list[str | None]) -> bytes:
        events = [{"what": text, text + ',"cluster': text, "cluster": cluster} for cluster in clusters]
        return json.dumps({"doc_id": "a", "text": text, "events": events}, separators=(",", ":")).encode() + b"\n"

    values = [*after, *[None] * len(before)][: len(before)]

    assert nulled(made(before), "cluster") == made([None] * len(before))
    assert filled(made(before), "cluster", values) == made(values)
    assert nulled(filled(made(before), "cluster", values), "cluster") == nulled(made(before), "cluster")


def test_what_decorate_puts_in_counts_as_nothing_when_lines_are_compared(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    clusters = {"a": "c1", "b": "c2"}
    asked: list[str] = []

    def decorate(key: str, data: bytes) -> bytes:
        asked.append(key)
        return filled(data, "cluster", [clusters[key]])

    def mask(data: bytes) -> bytes:
        return nulled(data, "cluster")

    with prepared(out, mask=mask, decorate=decorate) as sink:
        sink.decoration = "first"
        for n, key in enumerate("ab"):
            sink.stage(f"1.{n}.1.staged", {"doc_id": key, "n": n, "cluster": "early"}, key=key)
            sink.publish(f"1.{n}.1.staged", sink.output_of(key))
        sink.sync_published()
        sink.finish(lambda: ["a", "b"])

        assert out.read_bytes() == line("a", 0, cluster="c1") + line("b", 1, cluster="c2")
        assert sink.read("out.jsonl#a") == line("a", 0, cluster=None)
        assert sink.digests(["out.jsonl#a"]) == [hash_bytes(line("a", 0, cluster=None))]
    clusters["b"] = "c1"
    asked.clear()
    with prepared(out, mask=mask, decorate=decorate) as sink:
        sink.decoration = "first"
        sink.finish(lambda: ["a", "b"])
        assert asked == [], "it would say the same"
        sink.decoration = "second"
        sink.finish(lambda: ["a", "b"])
    assert out.read_bytes() == line("a", 0, cluster="c1") + line("b", 1, cluster="c1")
    with prepared(out, mask=mask) as plain:
        plain.finish(lambda: ["a", "b"])
        assert plain.look("") == plain.pack({}, "")
    assert out.read_bytes() == line("a", 0, cluster="c1") + line("b", 1, cluster="c1")
