"""What documents were at an instant: exactly what was handed over, whatever came late, twice, or was corrected."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from documents_farm import DocumentsFarm
from onward import open_documents
from onward.engine.by_hand import ByHand
from onward.engine.options import Options
from onward.engine.sources.handed_over import Handed
from onward.errors import NotFound, UsageError, VersionDropped
from onward.model.item import printable
from onward.pipelines.documents.pipeline import pipeline
from onward.pipelines.documents.reading import Documents

T = 1_700_000_000_000_000


def hand_over(farm: DocumentsFarm, versions: Iterable[Handed]) -> None:
    options = Options(state=str(farm.state), settings=farm.settings)
    with ByHand(pipeline, str(farm.out), options=options) as by_hand:
        by_hand.put_all(versions)


def version(document: str, content: bytes | None, at: int, sequence: int | None = None) -> Handed:
    return Handed(document, content, T + at, sequence, {})


def opened(farm: DocumentsFarm) -> Documents:
    return open_documents(state=str(farm.state))


def contents(found: Documents, at: int, known_at: int | None = None) -> dict[str, str | None]:
    return {one.path: one.sha256 for one in found.tree(T + at, known_at=known_at)}


def test_a_document_is_what_it_was_from_the_instant_on_until_the_next_one(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    hand_over(farm, [version("a.md", b"one", 10), version("a.md", b"two", 20), version("a.md", None, 30)])

    with opened(farm) as documents:
        found = [documents.get("a.md", T + at) for at in (9, 10, 19, 20, 29, 30, 99)]
        history = documents.history("a.md")

    assert [None if one is None else one.content for one in found] == [
        None, b"one", b"one", b"two", b"two", None, None,
    ]
    assert [(one.valid_from - T, one.is_deletion) for one in history] == [(10, False), (20, False), (30, True)]


def test_of_equal_instants_the_greater_sequence_holds_and_a_late_arrival_takes_its_place(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    hand_over(farm, [version("a.md", b"second", 10, 2), version("a.md", b"first", 10, 1)])
    hand_over(farm, [version("a.md", b"late", 5)])

    with opened(farm) as documents:
        assert [getattr(documents.get("a.md", T + at), "content", None) for at in (5, 10)] == [b"late", b"second"]
        assert [(one.valid_from - T, one.sequence) for one in documents.history("a.md")][1:] == [(10, 1), (10, 2)]


def test_what_was_known_before_a_correction_can_be_asked_for(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    hand_over(farm, [version("a.md", b"wrong", 10, 1)])
    with opened(farm) as documents:
        before = documents.history("a.md")[0].recorded_at
    hand_over(farm, [version("a.md", b"right", 10, 1), version("b.md", b"new", 10, 1)])

    with opened(farm) as documents:
        now, then = documents.get("a.md", T + 10), documents.get("a.md", T + 10, known_at=before)
        assert (now and now.content, then and then.content) == (b"right", b"wrong")
        assert documents.get("a.md", T + 10, known_at=before - 1) is None
        assert list(contents(documents, 10, known_at=before)) == ["a.md"]
        assert [one.sha256 for one in documents.history("a.md")] == [now and now.sha256]  # one slot, told once
        assert [one.sha256 for one in documents.history("a.md", known_at=before)] == [then and then.sha256]


def test_a_difference_names_what_came_went_and_changed(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    hand_over(farm, [
        version("same", b"s", 1), version("gone", b"g", 1), version("other", b"o", 1), version("back", b"b", 1),
        version("gone", None, 5), version("other", b"p", 5), version("new", b"n", 5),
        version("back", None, 5), version("back", b"b", 6),
    ])

    with opened(farm) as documents:
        assert documents.diff(T + 1, T + 9) == (["new"], ["gone"], ["other"])
        assert documents.diff(T + 9, T + 1) == (["gone"], ["new"], ["other"])
        assert documents.diff(T + 9, T + 9) == ([], [], [])


def test_a_document_is_found_by_its_key_and_by_the_path_of_its_file_also_once_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm = DocumentsFarm.of(tmp_path, {"sub/a.md": "one"})
    farm.write(b"caf\xe9.md", "two")
    farm.run().ok()
    os.remove(farm.path("sub/a.md"))
    (tmp_path / "link").symlink_to(farm.input)
    monkeypatch.chdir(farm.input / "sub")
    now = T + 10**15

    with opened(farm) as documents:
        for name in ("sub/a.md", "a.md", "../sub/a.md", str(farm.path_of("sub/a.md")), str(tmp_path / "link/sub/a.md")):
            found = documents.get(name, now)
            assert found is not None, name
            assert found.path == "sub/a.md"
        for name in ("caf\\xe9.md", "caf\udce9.md", "../caf\udce9.md"):
            assert documents.get(name, now) is not None, name
        for name in ("", "\0", "sub", "..", "/", "b.md", "\ud800"):
            assert documents.get(name, now) is None, name
        with pytest.raises(NotFound, match=r"never had a document 'b\.md'"):
            documents.history("b.md")


@pytest.mark.parametrize("at", ["2024-01-01T00:00:00", "yesterday", True, 1 << 80, None, 1.5])
def test_what_is_no_instant_is_refused(at: object, tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    hand_over(farm, [version("a.md", b"one", 10)])

    with opened(farm) as documents, pytest.raises(UsageError, match="is no instant"):
        documents.get("a.md", at)  # type: ignore[arg-type]  # that is what is tested


# -- restoring


def test_a_restored_folder_is_the_tree_of_that_instant_with_its_times(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    hand_over(farm, [
        version("a.md", b"one", 10), version("d/b.md", b"caf\xe9, as Latin-1 has it", 10), version("a.md", b"two", 20),
        version("d/b.md", None, 20),
    ])

    with opened(farm) as documents:
        assert documents.restore(T + 10, str(tmp_path / "then")) == 2
        assert documents.restore(T + 20, str(tmp_path / "later")) == 1
        assert documents.restore(T + 9, str(tmp_path / "before")) == 0

    assert {str(p.relative_to(tmp_path / "then")): p.read_bytes() for p in (tmp_path / "then").rglob("*.md")} == {
        "a.md": b"one", "d/b.md": b"caf\xe9, as Latin-1 has it",
    }
    assert (tmp_path / "later/a.md").read_bytes() == b"two"
    assert (tmp_path / "later/a.md").stat().st_mtime_ns == (T + 20) * 1000
    assert os.listdir(tmp_path / "before") == []


@pytest.mark.parametrize(
    "name",
    ["../evil.md", "/tmp/evil.md", "a/../../evil.md", "..", ".", "a//b.md", "a\0b", "ok/x", "d/" + "\N{SNOWMAN}" * 86,
     "x" * 256 + "/b.md", "/".join(["x" * 200] * 21)],
    ids=lambda name: printable(name[:20]),
)
def test_a_name_that_leads_elsewhere_or_that_no_file_can_have_is_refused_before_anything_is_written(
    name: str, tmp_path: Path
) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    hand_over(farm, [version("a.md", b"one", 10), version("ok", b"a file", 10), version(name, b"evil", 10)])
    before = sorted(tmp_path.rglob("*"))

    told = r"cannot be written below that folder: its (name|path) .* so nothing was\."
    with opened(farm) as documents, pytest.raises(UsageError, match=told):
        documents.restore(T + 10, str(tmp_path / "restored"))

    assert [path for path in sorted(tmp_path.rglob("*")) if path not in before and farm.state not in path.parents] == []


def test_the_longest_name_that_a_file_can_have_is_written(tmp_path: Path) -> None:
    name = "\N{SNOWMAN}" * 85
    assert len(name.encode()) == 255
    farm = DocumentsFarm.of(tmp_path, {})
    hand_over(farm, [version(name, b"cold", 10)])

    with opened(farm) as documents:
        assert documents.restore(T + 10, str(tmp_path / "restored")) == 1

    assert (tmp_path / "restored" / name).read_bytes() == b"cold"


def test_a_folder_with_something_in_it_is_not_written_to(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    hand_over(farm, [version("a.md", b"one", 10)])
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")

    with opened(farm) as documents:
        for name in ("full", "full/mine", "dangling"):
            with pytest.raises(UsageError, match="is not an empty folder"):
                documents.restore(T + 10, str(tmp_path / name))

    assert os.listdir(tmp_path / "full") == ["mine"]


# -- what is not to be had


def test_bytes_that_were_lost_or_altered_are_told_and_nothing_else_is_given_for_them(tmp_path: Path) -> None:
    import apsw

    farm = DocumentsFarm.of(tmp_path, {})
    hand_over(farm, [version("a.md", b"one", 10)])
    db = apsw.Connection(farm.library_file)
    db.execute("DELETE FROM content")
    db.close()

    with opened(farm) as documents, pytest.raises(VersionDropped, match=r"The bytes of 'a\.md'"):
        documents.get("a.md", T + 10)


def test_where_nothing_was_stored_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="onward run documents"):
        open_documents(state=str(tmp_path / "none"))


def test_a_job_is_found_by_its_place_also_once_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    hand_over(farm, [version("a.md", b"one", 10)])
    shutil.rmtree(farm.out)
    monkeypatch.chdir(farm.root)

    for name in ("out", "./out", str(farm.out), farm.job()):
        with open_documents(name, state=str(farm.state)) as documents:
            assert documents.get("a.md", T + 10) is not None, name
            with pytest.raises(NotFound, match="The next run fills it again"):
                documents.search("one", at=T + 10)
    for name in ("none", "./none", "o\0ut", ""):
        with pytest.raises(NotFound, match="There is no job"):
            open_documents(name, state=str(farm.state))


# -- the law


EVENTS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([None, b"x", b"y", b"z"]), st.integers(0, 6), st.integers(0, 2)),
    max_size=14,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS)
def test_every_answer_is_that_of_a_walk_over_all_events(
    events: list[tuple[str, bytes | None, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    farm = DocumentsFarm.of(tmp_path_factory.mktemp("law"), {})
    hand_over(farm, [version(key, content, at, place) for key, content, at, place in events])

    with opened(farm) as documents:
        for at in range(7):
            expected: dict[str, bytes] = {}
            slots = {(key, since, place): content for key, content, since, place in events if since <= at}
            for key, since, place in sorted(slots, key=lambda slot: slot[1:]):
                expected.pop(key, None)
                content = slots[key, since, place]
                if content is not None:
                    expected[key] = content
            assert [one.path for one in documents.tree(T + at)] == sorted(expected)
            for key in "abc":
                found = documents.get(key, T + at)
                assert (None if found is None else found.content) == expected.get(key)
