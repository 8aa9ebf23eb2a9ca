"""Search answers from exactly the versions that held: what was written later or is gone changes nothing."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from documents_farm import DocumentsFarm
from onward import open_documents
from onward.engine.by_hand import ByHand
from onward.engine.options import Options
from onward.engine.sources.handed_over import Handed
from onward.errors import NotFound, OutputRefused, UsageError, VersionDropped
from onward.model.item import printable
from onward.pipelines.documents.library import Library
from onward.pipelines.documents.pipeline import pipeline
from onward.pipelines.documents.search import Hit, joined, word_scores

T = 1_700_000_000_000_000
WORDS = ("alpha", "beta", "gamma", "delta", "Été")


def hand_over(farm: DocumentsFarm, versions: Iterable[Handed]) -> None:
    options = Options(state=str(farm.state), settings=farm.settings)
    with ByHand(pipeline, str(farm.out), options=options) as by_hand:
        by_hand.put_all(versions)


def version(document: str, text: str | None, at: int) -> Handed:
    return Handed(document, None if text is None else text.encode(), T + at, None, {})


def found(farm: DocumentsFarm, text: str, at: int, limit: int = 10, known_at: int | None = None) -> list[Hit]:
    with open_documents(state=str(farm.state)) as documents:
        return documents.search(text, at=T + at, known_at=known_at, limit=limit)


def test_a_hit_says_where_since_when_until_when_and_in_which_version(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    hand_over(farm, [
        version("guide.md", "# Guide\n\n## Install\n\nPut it into a fresh environment.\n", 10),
        version("guide.md", "# Guide\n\n## Install\n\nAsk the administrator.\n", 20),
        version("copy.md", "# Guide\n\n## Install\n\nPut it into a fresh environment.\n", 12),
    ])

    (then, *_), (now, *_) = found(farm, "fresh environment", 15), found(farm, "administrator", 25)

    assert (then.path, then.heading, then.valid_from - T, then.valid_to) == ("copy.md", "Guide > Install", 12, None)
    assert "fresh environment" in then.text
    assert [(place.path, place.valid_from - T) for place in then.places] == [("copy.md", 12), ("guide.md", 10)]
    with open_documents(state=str(farm.state)) as documents:
        was = documents.get("guide.md", T + 20)
        assert was is not None
        assert (now.path, now.valid_from, now.version) == ("guide.md", was.valid_from, was.sha256)
        early = documents.search("fresh environment", at=T + 11)[0]
        assert (early.path, early.valid_from - T, (early.valid_to or 0) - T) == ("guide.md", 10, 20)


def test_what_is_gone_or_not_there_yet_is_not_found(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    hand_over(farm, [version("a.md", "Only alpha here.", 10), version("a.md", None, 20), version("b.md", "beta", 15)])

    assert [hit.path for hit in found(farm, "alpha", 9)] == []
    assert [hit.path for hit in found(farm, "alpha", 10)] == ["a.md"]
    assert [hit.path for hit in found(farm, "alpha", 20)] == ["b.md"]  # the only one left, far as it is
    assert found(farm, "   ", 20) == []
    assert found(farm, "alpha", 10, known_at=T) == []


@pytest.mark.parametrize(
    "text", ["a AND (", "NEAR(", "alpha\0beta", "\ud800 alpha", "x" * 1_000_000, "alpha " * 200_000, "' OR 1=1 --"],
    ids=lambda text: printable(text[:12]),
)
def test_any_text_with_a_word_in_it_can_be_asked(text: str, tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    hand_over(farm, [version("a.md", "Only alpha here.", 10)])

    assert [hit.path for hit in found(farm, text, 10)] == ["a.md"]


@pytest.mark.parametrize("text", ["", "  \n", '"', "*", "\0", "?!...", "-", "\N{GRINNING FACE}"], ids=printable)
def test_nothing_answers_a_text_without_a_word(text: str, tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    hand_over(farm, [version("a.md", "Only alpha here.", 10)])

    assert found(farm, text, 10) == []


def test_a_limit_below_one_is_refused_and_a_huge_one_shows_all(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    hand_over(farm, [version("a.md", "Only alpha here.", 10), version("b.md", "beta", 10)])

    for limit in (0, -1):
        with pytest.raises(UsageError, match=f"The limit is {limit}"):
            found(farm, "alpha", 10, limit)
    assert [hit.path for hit in found(farm, "alpha", 10, 1 << 80)] == ["a.md", "b.md"]


def test_a_store_that_was_lost_is_told(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    hand_over(farm, [version("a.md", "Only alpha here.", 10)])
    for path in farm.out.glob("*.sqlite*"):
        path.unlink()

    with pytest.raises(NotFound, match="The next run fills it again"):
        found(farm, "alpha", 10)


def test_vectors_of_another_embedder_are_not_compared(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    hand_over(farm, [version("a.md", "Only alpha here.", 10)])
    library = Library(farm.library_file, writes=True)
    library.put_note("embedder", b"endpoint:other")
    library.close()

    with pytest.raises(OutputRefused, match=r"'endpoint:other'.* 'lexical/1"):
        found(farm, "alpha", 10)


@pytest.mark.parametrize("damage", [
    "DELETE FROM outline WHERE record LIKE '%b.md%'",
    "DELETE FROM chunk WHERE text LIKE '%beta%'",
    "UPDATE chunk SET text = 'beta, and something else' WHERE text LIKE '%beta%'",
])
def test_no_answer_is_given_where_a_version_that_counts_is_not_to_be_had(damage: str, tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    hand_over(farm, [version("a.md", "Only alpha here.", 10), version("b.md", "beta", 20)])
    db = apsw.Connection(farm.library_file)
    db.execute(damage)
    db.close()

    assert [hit.path for hit in found(farm, "alpha", 10)] == ["a.md"]
    with pytest.raises(VersionDropped, match=r"version of 'b\.md'.* `onward verify --repair`.* a backup"):
        found(farm, "alpha", 20)


# -- laws


class Event(NamedTuple):
    document: str
    text: str | None
    at: int


TEXTS = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join), min_size=1, max_size=3)
PAGES = TEXTS.map(lambda parts: "".join(f"# Part {n}\n\n{text}\n\n" for n, text in enumerate(parts)))
EVENTS = st.lists(
    st.builds(Event, st.sampled_from("abcd"), st.none() | PAGES, st.integers(0, 9)), min_size=1, max_size=10,
    unique_by=lambda event: (event.document, event.at),
)


def live(events: Sequence[Event], at: int) -> list[Event]:
    """Return the versions that hold at an instant, by walking over all of them."""
    newest: dict[str, Event] = {}
    for event in sorted(events, key=lambda event: event.at):
        if event.at <= at:
            newest[event.document] = event
    return [event for _, event in sorted(newest.items()) if event.text is not None]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS, text=st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join))
def test_what_is_found_at_an_instant_is_what_an_index_of_only_those_versions_finds(
    events: list[Event], text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = DocumentsFarm.of(tmp_path_factory.mktemp("whole"), {})
    hand_over(whole, [version(*event) for event in events])

    for at in (4, 9):
        only = DocumentsFarm.of(tmp_path_factory.mktemp("only"), {})
        held = live(events, at)
        if not held:
            assert found(whole, text, at) == []
            continue
        hand_over(only, [version(*event) for event in held])
        there, expected = found(whole, text, at, 50), found(only, text, at, 50)
        assert [hit._replace(valid_to=None) for hit in there] == expected


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold().replace("é", "e"))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS, text=st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join))
def test_words_score_as_the_formula_says_over_the_chunks_that_count(
    events: list[Event], text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    farm = DocumentsFarm.of(tmp_path_factory.mktemp("words"), {})
    hand_over(farm, [version(*event) for event in events])
    at = 6
    with open_documents(state=str(farm.state)) as documents:
        library = documents.library
        every = documents.search(" ".join(WORDS), at=T + at, limit=1000)
        counting = {hit.id: Counter(words_of(f"{hit.heading} {hit.text}")) for hit in every}
        scores = word_scores(library, text, counting)

    average = sum(sum(words.values()) for words in counting.values()) / max(len(counting), 1)
    for one, words in counting.items():
        expected = 0.0
        for term in set(words_of(text)):
            having = sum(1 for other in counting.values() if other[term])
            idf = math.log(1 + (len(counting) - having + 0.5) / (having + 0.5))
            norm = 1.2 * (1 - 0.75 + 0.75 * sum(words.values()) / average)
            expected += idf * words[term] * 2.2 / (words[term] + norm) if words[term] else 0.0
        assert scores.get(one, 0.0) == pytest.approx(expected)


@given(orders=st.lists(st.permutations(list("abcdef")).map(lambda order: order[:4]), max_size=3))
def test_orders_are_joined_by_reciprocal_ranks(orders: list[list[str]]) -> None:
    expected = {one: sum(1 / (60 + order.index(one) + 1) for order in orders if one in order) for one in "abcdef"}

    order = sorted((one for one in expected if expected[one]), key=lambda one: (-expected[one], one))
    found = joined(orders)
    assert [score for _, score in found] == pytest.approx([expected[one] for one in order])
    assert sorted(one for one, _ in found) == sorted(order)
    assert found == sorted(found, key=lambda scored: (-scored[1], scored[0]))
