"""Lines of JSON as items: whatever bytes a file holds, each whole good line is an item, and the rest is told."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import time
import tracemalloc
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from farm import wait_until
from onward.engine.source import Entry, ScanProblem
from onward.engine.sources.line_reading import TICK_NS
from onward.engine.sources.lines_source import JsonLinesSource, LinesListing, json_lines_source
from onward.errors import InputUnreadable, ItemChanged, ItemVanished, PipelineInvalid, UsageError
from onward.model.item import quarantine_path
from onward.model.line_key import key_in_file, line_key

PACKED: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gz": gzip.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor().compress,
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
IDS = st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
LINES = (
    st.binary(max_size=40)
    | st.builds(lambda value: json.dumps(value).encode(), JSON)
    | st.builds(lambda one, more: json.dumps({"id": one, "more": more}).encode(), IDS, JSON)
    | st.sampled_from([b"", b"\r", b" ", b'{"id":1}', b'{"id":1,"x":NaN}', b'{"id":2}\r', b'\xef\xbb\xbf{"id":3}'])
)


def look(source: JsonLinesSource, place: Path) -> tuple[list[Entry], list[ScanProblem]]:
    entries: list[Entry] = []
    problems: list[ScanProblem] = []
    for found in source.scan(str(place), leave_out=()):
        if isinstance(found, LinesListing):
            entries += found.entries()
        else:
            problems.append(found)
    return entries, problems


def write(place: Path, *values: object) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"".join(json.dumps(value).encode() + b"\n" for value in values))
    os.utime(place, (1_700_000_000, 1_700_000_000))
    return place


def keys(entries: list[Entry]) -> list[str]:
    return [entry.key for entry in entries if entry.problem is None]


def refused(entries: list[Entry]) -> dict[str, str]:
    return {entry.key: entry.problem for entry in entries if entry.problem is not None}


def _strict(data: bytes) -> Any:
    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(data.decode("utf-8"), parse_constant=refuse)


def good_lines(data: bytes) -> list[tuple[int, bytes]]:
    """Return number and bytes of every line that is an object with an id; the oracle, in the plainest words."""
    found = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        bare = line.removesuffix(b"\r")
        try:
            value = _strict(bare)
        except (ValueError, RecursionError):
            continue
        if not isinstance(value, dict):
            continue
        one = next((value[f] for f in ("document_id", "doc_id", "id") if value.get(f) is not None), None)
        is_number = isinstance(one, int | float) and not isinstance(one, bool) and abs(one) != float("inf")
        if isinstance(one, str) or is_number:
            found.append((number, bare))
    return found


# -- laws


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("law") / "lines.jsonl"


@given(lines=st.lists(LINES, max_size=8), is_ended=st.booleans(), packing=st.sampled_from(sorted(PACKED)))
@settings(max_examples=400, deadline=None)
@example(lines=[b'{"id":1}', b'{"id":"x","a":"\xff"}', b'{"id":'], is_ended=False, packing="plain")
@example(lines=[b'{"id":1e999}', b'{"id":' + b"1" * 5000 + b"}"], is_ended=True, packing="plain")
def test_whatever_bytes_a_file_holds_each_whole_good_line_is_an_item_and_no_other(
    lines: list[bytes], is_ended: bool, packing: str, place: Path
) -> None:
    data = b"\n".join(lines) + (b"\n" if is_ended and lines else b"")
    # What begins like a compressed file and is none is told as a whole: the law after this one.
    assume(packing != "plain" or not data.startswith((b"\x1f\x8b", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")))
    place.write_bytes(PACKED[packing](data))
    source = json_lines_source()

    entries, problems = look(source, place)

    expected = dict(good_lines(data))
    read = {}
    for entry in entries:
        if entry.problem is None or entry.collides:
            reading = source.open(str(place), entry.key, entry.locator)
            if entry.problem is None:
                read[reading.metadata["line"]] = reading.read_bytes()
                assert source.hash(str(place), [entry]) == [reading.sha256]
                reading.finish()
    twins = {int(e.key.rpartition("-")[2]) for e in entries if e.collides}
    assert read == {number: bare for number, bare in expected.items() if number not in twins}
    assert twins <= set(expected)
    told = {int(e.key.rpartition("-")[2]) for e in entries if e.problem is not None}
    all_lines = enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1)
    filled = {number for number, one in all_lines if one.strip(b"\r \t\x0b\x0c")}
    assert told | set(read) | ({len(data.split(b"\n"))} if problems else set()) == filled
    assert len({entry.key for entry in entries}) == len(entries)


@given(data=st.binary(max_size=300), packing=st.sampled_from(sorted(PACKED)), cut=st.integers(0, 300))
@settings(max_examples=300, deadline=None)
@example(data=b'\xff\xfe{\x00', packing="plain", cut=300)
@example(data=b"\x1f\x8b", packing="plain", cut=300)
@example(data=b"\x28\xb5\x2f\xfd\x00", packing="plain", cut=300)
def test_no_bytes_make_a_look_raise_even_where_a_compressed_file_is_cut(
    data: bytes, packing: str, cut: int, place: Path
) -> None:
    place.write_bytes(PACKED[packing](data)[:cut])

    look(json_lines_source(), place)


@given(one=IDS, other=IDS)
@settings(max_examples=1000, deadline=None)
@example(one="1", other=1)
@example(one=1, other=1.0)
@example(one="#1", other=1)
@example(one='"#1"', other="#1")
@example(one="", other='""')
@example(one="\ud800", other='"\\ud800"')
@example(one="a" * 5000, other="a" * 5001)
def test_ids_that_differ_in_type_or_value_have_keys_that_differ(one: object, other: object) -> None:
    def plain(value: object) -> tuple[str, str]:
        return type(value).__name__, unicodedata.normalize("NFC", value) if isinstance(value, str) else repr(value)

    key, key_of_other = line_key(one), line_key(other)

    assert key is not None
    assert (key == key_of_other) == (plain(one) == plain(other))
    assert len(key.encode()) <= 1024
    assert "\0" not in key
    assert "\n" not in key


@given(text=st.text() | st.sampled_from(["..", ".", "/", "../../x", "a//b", "\0", "x" * 5000, "é" * 200, "a/" * 900]))
@settings(max_examples=500, deadline=None)
def test_the_evidence_of_any_id_stays_inside_the_quarantine(text: str) -> None:
    for stem in ("", "sub/a"):
        key = line_key(text)
        assert key is not None

        path = quarantine_path(key_in_file(stem, key), owns_output=False)

        assert "\0" not in path
        assert os.path.normpath(f"/out/{path}").startswith("/out/quarantine/")
        assert all(len(part.encode()) <= 255 for part in path.split("/"))


@given(one=st.tuples(st.sampled_from(["a", "a/b", "a/b/c"]), IDS), other=st.tuples(st.sampled_from(["a", "a/b"]), IDS))
@settings(max_examples=500, deadline=None)
@example(one=("a", "b/c"), other=("a/b", "c"))
@example(one=("a", "b/c"), other=("a", '"b\\u002fc"'))
def test_no_line_of_one_file_has_the_key_of_a_line_of_another(
    one: tuple[str, object], other: tuple[str, object]
) -> None:
    key, key_of_other = (key_in_file(stem, str(line_key(value))) for stem, value in (one, other))

    assert key.rpartition("/")[0] == one[0]
    assert (key == key_of_other) == (one[0] == other[0] and line_key(one[1]) == line_key(other[1]))


# -- what cannot be an item


BAD = {
    b"{": "not valid JSON",
    b"[1]": "holds a list and not an object",
    b"7": "holds a number and not an object",
    b"null": "holds null and not an object",
    b'{"id":"a\xff"}': "not valid UTF-8",
    b'{"text":"no id"}': "has no id (looked for 'document_id', 'doc_id', 'id')",
    b'{"id":null}': "has no id",
    b'{"id":true}': "has true as its 'id'",
    b'{"id":[1]}': "has a list as its 'id'",
    b'{"id":{}}': "has an object as its 'id'",
    b'{"id":1e999}': "has a number as its 'id'",
    b'{"id":1,"x":NaN}': "holds NaN, which is no JSON",
    b'{"id":1,"x":-Infinity}': "holds -Infinity, which is no JSON",
    b'{"id":1,"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}": "is nested too deep",
    b'{"id":' + b"9" * 5000 + b"}": "cannot be read",
    b'{"id":1,"x":"' + b"y" * 3000 + b'"}': "is 3,015 bytes long; the longest that is taken has 2,000",
}


@pytest.mark.parametrize("bad", BAD, ids=[text[:30] for text in BAD.values()])
def test_a_line_that_can_be_no_item_is_told_with_its_place_and_the_others_are_taken(bad: bytes, tmp_path: Path) -> None:
    place = tmp_path / "docs.jsonl"
    place.write_bytes(b'{"id":"a"}\n\n' + bad + b'\n{"id":"b"}\n')
    limit = 2_000 if bad.endswith(b'y"}') else 100_000

    entries, problems = look(json_lines_source(line_bytes_max=limit), place)

    assert keys(entries) == ["a", "b"]
    (told,) = refused(entries).items()
    assert told[0] == "#line-3"
    assert told[1].startswith("line 3 of 'docs.jsonl' (byte 12) ")
    assert BAD[bad] in told[1]
    assert problems == []


def test_a_byte_order_mark_line_ends_of_windows_and_empty_lines_are_no_part_of_a_line(tmp_path: Path) -> None:
    place = tmp_path / "docs.jsonl"
    place.write_bytes(b'\xef\xbb\xbf{"id":"a"}\r\n\r\n   \n{"id":"b"}')
    source = json_lines_source()

    entries, problems = look(source, place)

    readings = [source.open(str(place), entry.key, entry.locator) for entry in entries]
    assert [reading.read_bytes() for reading in readings] == [b'{"id":"a"}', b'{"id":"b"}']
    assert [dict(reading.metadata) for reading in readings] == [
        {"file": "docs.jsonl", "line": 1, "id": "a"}, {"file": "docs.jsonl", "line": 4, "id": "b"},
    ]
    assert problems == []


@pytest.mark.parametrize(
    ("policy", "taken", "dropped"), [("error", [1, 2], 0), ("first", [1, 2], 1), ("last", [2, 3], 1)]
)
def test_which_of_two_lines_with_one_id_counts_is_for_the_policy_to_say(
    policy: Any, taken: list[int], dropped: int, tmp_path: Path
) -> None:
    place = write(tmp_path / "docs.jsonl", {"id": "a"}, {"id": 1}, {"id": "a", "again": True})
    source = json_lines_source(duplicates=policy)

    (listing,) = source.scan(str(place), leave_out=())
    assert isinstance(listing, LinesListing)
    entries = list(listing.entries())

    good = [entry for entry in entries if entry.problem is None]
    assert [source.open(str(place), e.key, e.locator).metadata["line"] for e in good] == taken
    assert listing.dropped == dropped
    assert refused(entries) == (
        {"#line-3": "line 3 of 'docs.jsonl' (byte 22) has the same id as line 1"} if policy == "error" else {}
    )
    assert listing.count == len(entries)


def test_a_last_line_that_is_cut_short_is_told_and_taken_once_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "docs.jsonl"
    place.write_bytes(b'{"id":"a"}\n{"id":"b","text":"half')
    source = json_lines_source()

    entries, problems = look(source, place)

    assert (keys(entries), refused(entries)) == (["a"], {})
    assert problems == [
        ScanProblem(
            "docs.jsonl",
            "'docs.jsonl', line 2 (byte 11), the last one, is cut short and was left; it is taken once it is whole",
        )
    ]
    # So that it is told at each run, whatever else moves.
    assert set(source.remember([("a", entries[0].signature)], "")) == {0}
    place.write_bytes(place.read_bytes() + b' and half"}')
    assert (keys(look(source, place)[0]), look(source, place)[1]) == (["a", "b"], [])


@pytest.mark.parametrize("packing", ["gz", "xz", "zst"])
def test_of_a_compressed_file_that_is_cut_what_can_be_read_is_taken_and_the_rest_is_told(
    packing: str, tmp_path: Path
) -> None:
    place = tmp_path / f"docs.jsonl.{packing}"
    lines = b"".join(b'{"id":%d,"text":"%s"}\n' % (n, os.urandom(40).hex().encode()) for n in range(20_000))
    whole = PACKED[packing](lines)
    place.write_bytes(whole[: len(whole) // 2])

    entries, problems = look(json_lines_source(), place)

    assert keys(entries) == [f"#{n}" for n in range(len(entries))]
    assert len(entries) > 100
    told = [problem for problem in problems if "could be read only in part" in problem.error]
    assert [problem.key for problem in told] == [place.name]
    assert "cut short" in told[0].error


def test_streams_after_one_another_are_one_file(tmp_path: Path) -> None:
    for packing in ("gz", "xz", "zst"):
        place = tmp_path / f"docs.jsonl.{packing}"
        place.write_bytes(PACKED[packing](b'{"id":1}\n{"i') + PACKED[packing](b'd":2}\n'))

        assert keys(look(json_lines_source(), place)[0]) == ["#1", "#2"]


def test_a_line_of_a_hundred_megabytes_is_not_held_in_memory(tmp_path: Path) -> None:
    place = tmp_path / "docs.jsonl"
    with open(place, "wb") as file:
        file.write(b'{"id":1}\n{"id":2,"x":"')
        file.truncate(100 << 20)  # a hole reads as zeros
        file.seek(0, os.SEEK_END)
        file.write(b'"}\n{"id":3}\n')
    tracemalloc.start()
    try:
        entries, problems = look(json_lines_source(line_bytes_max=4 << 20), place)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert (keys(entries), problems) == (["#1", "#3"], [])
    assert "bytes long" in refused(entries)["#line-2"]
    assert peak < 12 << 20


def test_a_file_that_unpacks_to_gigabytes_does_not_fill_the_memory(tmp_path: Path) -> None:
    for packing in ("gz", "xz", "zst"):
        place = tmp_path / f"bomb.jsonl.{packing}"
        place.write_bytes(PACKED[packing](b'{"id":1}\n' + bytes(300 << 20)))
        tracemalloc.start()
        try:
            entries, _ = look(json_lines_source(line_bytes_max=1 << 20), place)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

        assert keys(entries) == ["#1"]
        assert peak < 32 << 20


# -- folders


def test_in_a_folder_each_file_is_a_container_and_keys_begin_with_it(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", {"id": "x"}, {"id": 1})
    write(tmp_path / "sub" / "b.ndjson", {"id": "x"}, {"id": "with/slash"})
    (tmp_path / "sub" / "c.jsonl.gz").write_bytes(gzip.compress(b'{"id":"y"}\n'))
    (tmp_path / "notes.txt").write_text('{"id":"no line of ours"}\n')
    (tmp_path / "out.jsonl").write_text('{"doc_id":"an output"}\n')
    source = json_lines_source()

    listings = list(source.scan(str(tmp_path), leave_out=[str(tmp_path / "out.jsonl")]))

    found = {one.key: keys(list(one.entries())) for one in listings if isinstance(one, LinesListing)}
    assert found == {"a": ["a/x", "a/#1"], "sub/b": ["sub/b/x", 'sub/b/"with\\u002fslash"'], "sub/c": ["sub/c/y"]}
    entry = source.find(str(tmp_path), 'sub/b/"with\\u002fslash"')
    assert entry is not None
    assert source.open(str(tmp_path), entry.key, entry.locator).metadata == {
        "file": "sub/b.ndjson", "line": 2, "id": "with/slash",
    }
    assert source.find(str(tmp_path), "sub/b/none") is None


def test_two_files_that_differ_by_their_suffix_alone_are_told_and_one_is_taken(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", {"id": "x"})
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"id":"y"}\n'))

    entries, problems = look(json_lines_source(), tmp_path)

    assert keys(entries) == ["a/x"]
    assert [problem.key for problem in problems] == ["a.jsonl.gz"]
    assert "same name as 'a.jsonl'" in problems[0].error


def test_links_out_of_the_input_pipes_and_devices_are_told_and_not_read(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "secret.jsonl", {"id": "x"})
    place = tmp_path / "in"
    write(place / "a.jsonl", {"id": "x"})
    (place / "link.jsonl").symlink_to(tmp_path / "elsewhere" / "secret.jsonl")
    os.mkfifo(place / "pipe.jsonl")
    (place / "null.jsonl").symlink_to("/dev/null")

    entries, problems = look(json_lines_source(), place)

    assert keys(entries) == ["a/x"]
    assert {problem.key for problem in problems} == {"link.jsonl", "pipe.jsonl", "null.jsonl"}


def test_an_input_that_is_no_file_of_lines_is_refused_before_anything_starts(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")

    for place in ("none.jsonl", "pipe.jsonl"):
        with pytest.raises(UsageError, match="Name a JSONL file"):
            json_lines_source().check(str(tmp_path / place))
    for wrong in ({"id_fields": ()}, {"duplicates": "all"}, {"line_bytes_max": 0}):
        with pytest.raises(PipelineInvalid):
            json_lines_source(**wrong)  # type: ignore[arg-type]


# -- what is remembered of a file


def test_a_file_that_nobody_touched_gives_what_was_remembered_of_it(tmp_path: Path) -> None:
    place = write(tmp_path / "docs.jsonl", {"id": "a"}, {"id": "b"})
    source = json_lines_source()
    entries, _ = look(source, place)

    remembered = source.remember([(e.key, e.signature) for e in entries], "")
    (again,) = source.scan(str(place), leave_out=())

    assert isinstance(again, LinesListing)
    assert again.packed == remembered
    assert again.count is None, 'it was not read'
    recalled = source.recall(remembered, "")
    assert recalled.get("a") == recalled.get("b") == entries[0].signature
    other = json_lines_source(duplicates="last")
    assert next(iter(other.scan(str(place), leave_out=()))).packed != remembered  # type: ignore[union-attr]
    assert set(source.remember([("a", entries[0].signature), ("b", b"another")], "")) == {0}


# -- how a worker reads


@pytest.mark.parametrize("packing", sorted(PACKED))
def test_a_line_is_read_at_its_place_in_any_order(packing: str, tmp_path: Path) -> None:
    lines = [b'{"id":%d,"text":"%s"}' % (n, b"x" * (n % 50)) for n in range(3000)]
    place = tmp_path / "docs.jsonl"
    place.write_bytes(PACKED[packing](b"\n".join(lines)))
    source = json_lines_source()
    entries, _ = look(source, place)

    for n in (0, 7, 3, 2999, 0, 1500, 1499):
        reading = source.open(str(place), entries[n].key, entries[n].locator)

        assert reading.read_bytes() == lines[n]
        assert json.loads(reading.read_text()) == json.load(reading.open())
        assert reading.size_bytes == len(lines[n])
        reading.finish()


@pytest.mark.parametrize("packing", ["plain", "gz"])
def test_a_line_that_changed_or_whose_file_is_gone_is_not_taken_for_the_one_that_was_listed(
    packing: str, tmp_path: Path
) -> None:
    place = tmp_path / "docs.jsonl"
    pack = PACKED[packing]
    place.write_bytes(pack(b'{"id":"a","n":1}\n{"id":"b"}\n'))
    source = json_lines_source()
    (a, b), _ = look(source, place)

    def reading(entry: Entry) -> Any:
        return source.open(str(place), entry.key, entry.locator)

    begun = reading(a)
    begun.read_bytes()
    place.write_bytes(pack(b'{"id":"a","n":2}\n{"id":"b"}\n'))
    with pytest.raises(ItemChanged, match=r"'a' \(line 1 of 'docs.jsonl'\)"):
        reading(a).read_bytes()
    with pytest.raises(ItemChanged):
        begun.finish()
    assert reading(b).read_bytes() == b'{"id":"b"}'
    place.write_bytes(pack(b'{"id":"a","n":1}'))
    with pytest.raises(ItemChanged):
        reading(b).read_bytes()
    place.write_bytes(pack(b'{"id":"a","n":1} and more'))
    with pytest.raises(ItemChanged):
        reading(a).read_bytes()
    place.unlink()
    with pytest.raises(ItemVanished):
        reading(a).read_bytes()
    with pytest.raises(ItemVanished):
        begun.finish()
    place.mkdir()
    with pytest.raises(InputUnreadable):
        reading(a).read_bytes()


def test_a_file_that_only_grew_left_its_lines_as_they_were_and_is_looked_at_again(tmp_path: Path) -> None:
    place = write(tmp_path / "docs.jsonl", {"id": "a"}, {"id": "b"})
    source = json_lines_source()
    wait_until(lambda: time.time_ns() - place.stat().st_ctime_ns > TICK_NS, what="a look that is not too fresh")
    (a, b), _ = look(source, place)
    before = source.open(str(place), a.key, a.locator)
    before.read_bytes()
    assert before.signature == a.signature

    with open(place, "ab") as file:
        file.write(b'{"id":"c"}\n')
    os.utime(place, (1_700_000_001, 1_700_000_001))

    after = source.open(str(place), b.key, b.locator)
    assert after.read_bytes() == b'{"id": "b"}'
    before.finish()
    after.finish()
    # Else a run in which every line was read after the file grew would skip what was added.
    assert set(before.signature) == set(after.signature) == {0}
    assert source.remember([("a", before.signature), ("b", after.signature)], "") != a.signature
