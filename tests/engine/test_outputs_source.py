"""A job whose items are what another job has live: real chains over text files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.engine.pipeline import Pipeline
from onward.engine.sinks.file_sink import json_files
from onward.engine.source import Entry
from onward.engine.sources.file_source import files
from onward.engine.sources.outputs_source import outputs_of
from onward.engine.sources.told_listing import ToldListing
from onward.errors import ItemChanged, UsageError

RECORDS = st.dictionaries(st.text(max_size=5), st.binary(min_size=1, max_size=40), max_size=6)


def read(item: Any) -> dict[str, Any]:
    return {"words": item.read_text().split()}


def count(item: Any) -> dict[str, Any]:
    return {"key": item.key, "count": len(json.loads(item.read_bytes())["words"])}


words = Pipeline("words", source=files("*.txt"), steps=[read], sink=json_files())


class Chain:
    """Texts, the job that reads them, and the job that counts what it read."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.texts = base / "texts"
        self.texts.mkdir()
        self.state = str(base / ".onward")

    def write(self, **texts: str) -> None:
        for name, text in texts.items():
            (self.texts / f"{name}.txt").write_text(text)

    def read(self, **options: object) -> Mapping[str, Any]:
        return words.run(self.texts, out=self.base / "words", job="words", state=self.state, workers=1, **options)

    def count(self, **options: object) -> Mapping[str, Any]:
        counts = Pipeline("counts", source=outputs_of(words, state=self.state), steps=[count], sink=json_files())
        answer = counts.run(self.base / "words", out=self.base / "counts", state=self.state, workers=1, **options)
        numbers = answer["counts"]
        return {name: numbers[name] for name in ("total", "processed", "skipped") if numbers[name]}

    def counted(self) -> dict[str, int]:
        found = (json.loads(path.read_text()) for path in (self.base / "counts").glob("*.json"))
        return {one["key"]: one["count"] for one in found}


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    chain = Chain(tmp_path)
    chain.write(a="one two", b="three")
    chain.read()
    return chain


def test_the_items_are_the_other_job_s_outputs_under_its_keys(chain: Chain) -> None:
    assert chain.count() == {"total": 2, "processed": 2}
    assert chain.counted() == {"a.txt": 2, "b.txt": 1}


def test_nothing_is_done_again_while_the_other_job_did_nothing(chain: Chain) -> None:
    chain.count()
    chain.read()

    assert chain.count() == {"total": 2, "skipped": 2}


def test_only_outputs_that_changed_are_done_again(chain: Chain) -> None:
    chain.count()
    chain.write(a="one two three", c="four")
    chain.read()

    assert chain.count() == {"total": 3, "processed": 2, "skipped": 1}
    assert chain.counted() == {"a.txt": 3, "b.txt": 1, "c.txt": 1}


def test_one_output_of_many_that_changed_is_done_alone(chain: Chain) -> None:
    chain.write(**{f"more{number}": "x" for number in range(8)})
    chain.read()
    chain.count()
    chain.write(a="now four words here")
    chain.read()

    assert chain.count() == {"total": 10, "processed": 1, "skipped": 9}
    assert chain.counted()["a.txt"] == 4


def test_an_output_that_is_made_anew_and_is_the_same_is_not_done_again(chain: Chain) -> None:
    chain.count()
    chain.read(full=True)

    assert chain.count() == {"total": 2, "skipped": 2}


def test_an_item_with_a_tombstone_is_no_output_any_more(chain: Chain) -> None:
    chain.count()
    (chain.texts / "b.txt").unlink()
    chain.read(prune_deleted=True)

    assert chain.count(prune_deleted=True, yes=True) == {"total": 1, "skipped": 1}


def test_an_item_that_only_left_the_other_source_still_counts(chain: Chain) -> None:
    (chain.texts / "b.txt").unlink()
    chain.read()

    assert chain.count() == {"total": 2, "processed": 2}


def test_a_place_that_no_job_writes_to_is_refused(chain: Chain) -> None:
    source = outputs_of(words, state=chain.state)

    with pytest.raises(UsageError, match="There is no job that writes to"):
        source.check(str(chain.base / "elsewhere"))
    with pytest.raises(UsageError, match="There is no job called 'news'"):
        outputs_of(words, "news", state=chain.state).check(str(chain.base / "words"))


def test_an_output_that_somebody_changed_is_not_taken(chain: Chain) -> None:
    source = outputs_of(words, state=chain.state)
    place = str(chain.base / "words")
    entry = source.find(place, "a.txt")
    assert entry is not None
    (chain.base / "words" / "a.json").write_text("{}")

    with pytest.raises(ItemChanged, match=r"'a\.txt' is not what was recorded"):
        source.open(place, entry.key, entry.locator).read_bytes()
    assert source.find(place, "z.txt") is None


@given(RECORDS)
def test_law_what_is_remembered_is_what_a_look_gives(records: dict[str, bytes]) -> None:
    source = outputs_of(words)
    listing = ToldListing("", [Entry(key, b"", signature) for key, signature in sorted(records.items())], 0)

    assert source.remember(records.items(), "") == listing.packed
    assert source.recall(listing.packed, "") == records
    assert {entry.key: entry.signature for entry in listing.entries()} == records


@given(RECORDS, st.data())
def test_law_what_moved_since_and_what_did_not_make_a_look(records: dict[str, bytes], data: st.DataObject) -> None:
    source = outputs_of(words)
    before = {key: data.draw(st.sampled_from([signature, b"old"])) for key, signature in records.items()}
    listing = ToldListing("", [Entry(key, b"", signature) for key, signature in sorted(records.items())], 0)

    found = listing.moved_since(source.remember(before.items(), ""))

    assert found is not None
    moved, kept = found
    assert {entry.key: old for entry, old in moved} == {k: v for k, v in before.items() if v != records[k]}
    assert source.remember([(entry.key, entry.signature) for entry, _ in moved], "", kept) == listing.packed
    assert listing.moved_since(source.remember({**before, "one more": b"x"}.items(), "")) is None
