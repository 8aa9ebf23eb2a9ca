"""Laws of the JSON form and of merging, by Hypothesis."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shelf import Shelf

from onward import StateManifest
from onward.ledger.manifest import document, journal
from onward.ledger.manifest.contents import Contents, MemoryContents, Put, SetFact
from onward.ledger.manifest.database import DatabaseContents, make
from onward.ledger.manifest.items import (
    FILES,
    RECIPES,
    RUN_CONFIGS,
    RUN_FILES,
    RUNS,
    TOMBSTONES,
    Ref,
    is_whole,
    key_of,
    line_of,
    recorded_at,
    spell,
    value_of,
)
from onward.ledger.manifest.merge import combine

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8) | st.sampled_from(
    ["a.html", 'quo"te', "back\\slash", '": {', "new\nline", "tab\t", "files", "runs", "metadata", "~", "\u2028"]
)
NAMES = st.text(max_size=4).filter(lambda key: key != "~")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.text(max_size=6)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
VALUES = st.dictionaries(NAMES, JSON, max_size=3)
TIMES = st.integers(0, 50).map(lambda at: 1_735_689_600_000_000 + at)
HASHES = st.sampled_from(["sha256:1", "sha256:2"])


def files() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({
        "status": st.just("success"), "hash": HASHES, "output_hash": HASHES, "output_path": st.sampled_from(["x", "y"]),
        "run_id": st.sampled_from(["r1", "r2", "r3"]),
    })


@st.composite
def contents(draw: st.DrawFn, values: st.SearchStrategy[dict[str, Any]] = VALUES) -> MemoryContents:
    made = MemoryContents()
    small = st.sampled_from(["a", "b", "c"])
    for key, value in draw(st.dictionaries(small | KEYS, values, max_size=4)).items():
        at = draw(TIMES)
        section = draw(st.sampled_from([FILES, FILES, TOMBSTONES]))
        ref = Ref(section, "", key)
        made.put(ref, line_of(ref, value, at))
        run = str(value.get("run_id", "r1"))
        for ref in (Ref(RUN_FILES, run, key), Ref(RUNS, "", run)):
            made.put(ref, line_of(ref, value, at))
    for section in (RUN_CONFIGS, RECIPES):
        for key, value in draw(st.dictionaries(small, VALUES, max_size=2)).items():
            ref = Ref(section, "", key)
            made.put(ref, line_of(ref, value, draw(TIMES)))
    for name, value in draw(st.dictionaries(st.text("klm", min_size=1, max_size=2), JSON, max_size=2)).items():
        made.apply([SetFact(draw(st.sampled_from(["extra", "metadata"])), name, spell(value))], 0)
    made.updated_at = draw(TIMES)
    return made


def everything(of: Contents) -> dict[Any, bytes]:
    return {
        **{place: value for place, value in of.facts.items() if place != ("", "schema_version")},
        **{ref: of.get(ref) for ref in of.refs(FILES, TOMBSTONES, RUN_CONFIGS, RECIPES, RUNS, RUN_FILES)},  # type: ignore[dict-item]
    }


@given(KEYS, VALUES, TIMES)
def test_a_line_says_what_was_put_into_it(key: str, value: dict[str, Any], at: int) -> None:
    ref = Ref(FILES, "", key)

    line = line_of(ref, value, at)

    assert b"\n" not in line
    assert b"\t" not in line
    assert key_of(line) == key
    assert value_of(line) == value
    assert recorded_at(line) == at
    assert is_whole(ref, line)
    assert not is_whole(Ref(TOMBSTONES, "", key), line)
    assert not is_whole(Ref(FILES, "", key + "x"), line)


@given(KEYS, VALUES, TIMES, st.data())
def test_an_altered_line_is_not_whole(key: str, value: dict[str, Any], at: int, data: st.DataObject) -> None:
    ref = Ref(FILES, "", key)
    line = line_of(ref, value, at)
    place = data.draw(st.integers(0, len(line) - 1))
    bit = data.draw(st.integers(0, 7))

    assert not is_whole(ref, line[:place] + bytes([line[place] ^ (1 << bit)]) + line[place + 1 :])


@given(contents())
def test_reading_what_was_written_is_no_change(made: MemoryContents) -> None:
    data, digest = document.encode(made)

    read = document.decode(data)

    assert read.digest == digest
    assert read.contents is not None
    assert everything(read.contents) == everything(made)
    assert document.encode(read.contents)[0] == data
    json.loads(data)


@given(contents(), st.sampled_from([None, 2, "\t"]), st.booleans())
def test_another_layout_of_the_same_json_is_the_same_document(
    made: MemoryContents, indent: int | str | None, sorts: bool
) -> None:
    data, digest = document.encode(made)

    laid_out = json.dumps(json.loads(data), indent=indent, sort_keys=sorts).encode()

    read = document.decode(laid_out)
    assert read.digest == digest
    assert read.contents is not None
    assert document.encode(read.contents)[0] == data


@given(contents())
def test_a_document_of_lines_is_salvaged_whole(made: MemoryContents) -> None:
    data, _ = document.encode(made)

    found = {put.ref: put.line for put in document.salvage(data)}

    assert found == {place: line for place, line in everything(made).items() if isinstance(place, Ref)}


@given(contents())
@settings(max_examples=30, deadline=None)
def test_a_database_says_what_the_document_says(made: MemoryContents) -> None:
    with TemporaryDirectory() as folder:
        path = f"{folder}/m.db"
        make(path, made)
        database = DatabaseContents(path)
        database.check(None)

        assert document.encode(database) == document.encode(made)
        assert database.counts() == made.counts()

        database.close()


@given(contents(), contents())
@settings(max_examples=30, deadline=None)
def test_a_database_with_news_over_it_says_what_memory_says(one: MemoryContents, two: MemoryContents) -> None:
    with TemporaryDirectory() as folder:
        path = f"{folder}/m.db"
        make(path, one)
        database = DatabaseContents(path)
        for into in (database, one):
            into.apply(list(two.changes()), two.updated_at)

        assert document.encode(database) == document.encode(one)
        assert database.counts() == one.counts()
        database.fold()
        database.check(None)
        assert document.encode(database) == document.encode(one)

        database.close()


@given(contents())
@settings(max_examples=50, deadline=None)
def test_a_journal_says_what_was_recorded(made: MemoryContents) -> None:
    with TemporaryDirectory() as folder:
        path = f"{folder}/j"
        journal.create(path, "", [], None)
        first, _ = journal.read(path)  # type: ignore[misc]
        first.append(made.changes(), made.updated_at)

        found = journal.read(path)
        assert found is not None
        again = MemoryContents()
        for entry in found[1]:
            again.apply(*entry.read())

        assert document.encode(again) == document.encode(made)


def merged(*sides: MemoryContents) -> MemoryContents:
    result = MemoryContents()
    for side in sides:
        changes, _ = combine(result, side, None)
        result.apply(changes, side.updated_at)
    return result


MANIFESTS = contents(files())


@pytest.mark.contract("S0-046")
@given(MANIFESTS, MANIFESTS)
def test_merging_does_not_depend_on_who_merges(one: MemoryContents, two: MemoryContents) -> None:
    assert document.encode(merged(one, two)) == document.encode(merged(two, one))


@given(MANIFESTS, MANIFESTS, MANIFESTS)
def test_merging_does_not_depend_on_the_order(one: MemoryContents, two: MemoryContents, three: MemoryContents) -> None:
    left = merged(merged(one, two), three)

    assert document.encode(left) == document.encode(merged(one, merged(two, three)))


@given(MANIFESTS, MANIFESTS)
def test_merging_twice_is_merging_once(one: MemoryContents, two: MemoryContents) -> None:
    both = merged(one, two)

    assert document.encode(merged(both, two)) == document.encode(both)
    assert document.encode(merged(both, both)) == document.encode(both)


@given(MANIFESTS, MANIFESTS)
def test_a_merge_is_the_union_and_forgets_no_output(one: MemoryContents, two: MemoryContents) -> None:
    both = merged(one, two)

    for side in (one, two):
        for ref in side.refs(FILES, TOMBSTONES):
            assert both.standing(ref) is not None
        for ref in side.refs(RUN_FILES):
            kept = [both.value(other) for other in both.refs(RUN_FILES) if other.key == ref.key]
            assert side.value(ref) in kept


@given(MANIFESTS, MANIFESTS)
def test_two_outputs_of_one_input_are_found_from_either_side(one: MemoryContents, two: MemoryContents) -> None:
    _, found = combine(one, two, None)
    _, mirrored = combine(two, one, None)

    assert [item.key for item in found] == [item.key for item in mirrored]
    for item in found:
        assert item.output_hash != item.other_output_hash
        ref = Ref(FILES, "", item.key)
        assert {item.output_hash, item.other_output_hash} == {
            (side.value(ref) or {})["output_hash"] for side in (one, two)
        }


@given(contents())
@settings(max_examples=30, deadline=None)
def test_exporting_importing_and_exporting_gives_the_same_bytes(made: MemoryContents) -> None:
    with TemporaryDirectory() as folder:
        first, second = Path(folder, "one.json"), Path(folder, "two.json")
        first.write_bytes(document.encode(made)[0])

        other = StateManifest(Path(folder, "x", ".manifest.json"))
        other.import_from(first)
        other.export(second)

        assert second.read_bytes() == first.read_bytes()
        other.save()
        assert (Path(folder, "x", ".manifest.json")).read_bytes() == first.read_bytes()


def test_an_exported_manifest_is_the_saved_one(tmp_path: Path) -> None:
    shelf = Shelf.build(tmp_path, ["a.html"])
    manifest = shelf.manifest()
    shelf.process(manifest, "a.html")
    manifest.save()

    copy = manifest.export(tmp_path / "copy.json")

    assert copy.read_bytes() == shelf.path.read_bytes()
    assert [put for put in MemoryContents().changes() if isinstance(put, Put)] == []
