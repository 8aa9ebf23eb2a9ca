"""What links two events and why, and that an index finds the same whatever came first or was there meanwhile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from link_articles import Told, article, keyed

from onward.pipelines.articles.linking import score as link_score
from onward.pipelines.articles.linking.clusters import divide
from onward.pipelines.articles.linking.features import Context, EventFeatures, features, from_line, line_of
from onward.pipelines.articles.linking.index import EventIndex
from onward.pipelines.articles.linking.score import LINKED, SCORE_MIN, likeness, score, signals, why

Articles = Sequence[list[EventFeatures]]

BOMBED = Told("Rebels", "bombed", "Mosul", "Iraq", "on Tuesday", "bomb")
NAMES = ["Rebels", "Mosul", "Iraq", "Merkel", "Kabul", "Boeing"]
LEMMAS = ["kill", "murder", "die", "death", "say", "announce", "quake", "earthquake", "xyzzy"]


def events(key: str, *sentences: Told, published: str | None = None) -> list[EventFeatures]:
    return features(keyed(article(key, sentences, published)))


def reasons(a: EventFeatures, b: EventFeatures) -> list[str]:
    link = why(a, b)
    assert link is not None
    return list(link.because)


@st.composite
def some_article(draw: st.DrawFn, number: int) -> list[EventFeatures]:
    words, days = st.sampled_from(NAMES), st.sampled_from(["", "yesterday"])
    sentences = [
        Told(draw(words), lemma, draw(words), draw(words | st.just("")), draw(days), lemma)
        for lemma in draw(st.lists(st.sampled_from(LEMMAS), min_size=0, max_size=4))
    ]
    published = draw(st.none() | st.dates(date(2020, 1, 1), date(2020, 3, 1)))
    return events(f"doc{number}", *sentences, published=published.isoformat() if published else None)


ARTICLES = st.integers(1, 5).flatmap(lambda count: st.tuples(*(some_article(number) for number in range(count))))


def indexed(articles: Articles) -> EventIndex:
    index = EventIndex()
    for found in articles:
        index.add(found)
    return index


# -- what is known of an event


def test_features_are_the_trigger_its_arguments_its_day_and_its_article() -> None:
    (event,) = events("a", BOMBED, published="2024-05-17")

    assert (event.event_id, event.lemma) == ("a:1", "bomb")
    assert (event.agents, event.patients, event.place) == ({"rebel"}, {"mosul"}, {"iraq"})
    assert event.day == date(2024, 5, 14)
    assert event.context.published == date(2024, 5, 17)
    assert set(event.context.names) == {"rebels", "mosul", "iraq"}


def test_a_headline_s_inflected_trigger_is_its_base_form() -> None:
    (event,) = events("a", Told("Lohan", "Checks", "Rehab", lemma="Checks"))

    assert event.lemma == "check"


def test_a_context_is_a_vector_of_length_one_thousand() -> None:
    (event,) = events("a", BOMBED)

    assert sum(value**2 for value in event.context.terms.values()) ** 0.5 == pytest.approx(1000, abs=2)


def test_features_come_back_from_their_line() -> None:
    line = keyed(article("a", [BOMBED, BOMBED._replace(when="")], "2024-05-17T10:00:00Z"))

    assert from_line(line_of(line)) == features(line)


def test_an_article_without_events_has_a_line_and_no_features() -> None:
    line = keyed(article("a", []))

    assert line_of(line)["doc_id"] == "a"
    assert from_line(line_of(line)) == []


# -- what links two


def test_two_articles_that_tell_the_same_are_linked_with_their_reasons() -> None:
    (a,) = events("a", BOMBED, published="2024-05-14")
    (b,) = events("b", BOMBED, published="2024-05-15")

    assert reasons(a, b) == [
        "same trigger 'bomb'",
        "same who 'rebel'",
        "same whom or what 'mosul'",
        "same place 'iraq'",
        "same day 2024-05-14",
        "articles share 'mosul', 'rebel', 'iraq', 'bomb'",
    ]


def test_triggers_that_mean_the_same_are_related() -> None:
    (a,) = events("a", Told("Quake", "died", "Hatay", "Turkey", lemma="die"))
    (b,) = events("b", Told("Quake", "deaths", "Hatay", "Turkey", lemma="death"))

    assert reasons(a, b)[0] == "related triggers 'death' and 'die'"


def test_unrelated_triggers_are_not_linked() -> None:
    (a,) = events("a", BOMBED)
    (b,) = events("b", BOMBED._replace(verb="praised", lemma="praise"))

    assert why(a, b) is None
    assert score(a, b) == 0


def test_articles_about_other_things_are_not_linked() -> None:
    (a,) = events("a", BOMBED)
    (b,) = events("b", Told("Separatists", "bombed", "Donetsk", "Ukraine", lemma="bomb"))

    assert score(a, b) == 0


def test_articles_far_apart_in_time_are_linked_only_by_a_day_that_both_name() -> None:
    (then,) = events("a", BOMBED._replace(when=""), published="2024-05-14")
    (later,) = events("b", BOMBED._replace(when=""), published="2024-07-01")
    (named,) = events("c", BOMBED._replace(when="14 May 2024"), published="2024-05-14")
    (recalled,) = events("d", BOMBED._replace(when="May 14, 2024"), published="2025-05-14")
    (other,) = events("e", BOMBED._replace(when="20 May 2024"), published="2025-05-14")

    assert why(then, later) is None
    assert why(named, recalled) is not None
    assert why(named, other) is None


def test_different_days_speak_against_a_link() -> None:
    (tuesday,) = events("a", BOMBED, published="2024-05-17")
    (monday,) = events("b", BOMBED._replace(when="on Monday"), published="2024-05-17")
    (wednesday,) = events("c", BOMBED._replace(when="on Wednesday"), published="2024-05-17")

    assert reasons(tuesday, monday)[4] == "a day apart, 2024-05-13 and 2024-05-14"
    assert score(monday, wednesday) < score(tuesday, monday)


# -- laws


@given(ARTICLES)
def test_law_the_order_of_two_events_is_nothing(articles: Articles) -> None:
    for a, b in combinations([event for found in articles for event in found], 2):
        assert score(a, b) == score(b, a)
        assert why(a, b) == why(b, a)


@given(ARTICLES)
def test_law_what_a_bound_decides_early_the_whole_sum_decides_alike(articles: Articles) -> None:
    for a, b in combinations([event for found in articles for event in found], 2):
        value = score(a, b)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(link_score, "_TOTAL_MIN", -math.inf)
            assert score(a, b) == value
        assert value == 0 or SCORE_MIN <= value <= 1000
        assert value == 0 or signals(a, b, likeness(a.context, b.context)) is not None
        assert (why(a, b) is not None) == (value >= LINKED)


@given(ARTICLES)
def test_law_the_index_finds_every_pair_that_has_a_score(articles: Articles) -> None:
    every = sorted((event for found in articles for event in found), key=lambda event: event.event_id)
    expected = {(a.event_id, b.event_id): value for a, b in combinations(every, 2) if (value := score(a, b))}

    assert indexed(articles).scores() == expected


@given(ARTICLES, st.randoms())
def test_law_the_order_of_articles_is_nothing(articles: Articles, random: object) -> None:
    shuffled = list(articles)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert indexed(shuffled).scores() == indexed(articles).scores()


@given(ARTICLES, st.data())
def test_law_an_article_that_was_removed_was_never_there(articles: Articles, data: st.DataObject) -> None:
    gone = data.draw(st.sets(st.sampled_from(range(len(articles)))))
    index = indexed(articles)

    for number in gone:
        index.remove(f"doc{number}")

    left = [found for number, found in enumerate(articles) if number not in gone]
    assert index.scores() == indexed(left).scores()
    for number in gone:
        index.add(articles[number])
    assert index.scores() == indexed(articles).scores()


@given(ARTICLES, st.data())
def test_law_scores_recalled_from_before_are_those_found_anew(articles: Articles, data: st.DataObject) -> None:
    before = data.draw(st.sets(st.sampled_from(range(len(articles)))))
    remembered = indexed([articles[number] for number in sorted(before)]).by_article()

    index = EventIndex()
    for number in before:
        index.restore(articles[number])
    for (a, b), pairs in remembered.items():
        index.recall(a, b, pairs)
    for number, found in enumerate(articles):
        if number not in before:
            index.add(found)

    assert index.scores() == indexed(articles).scores()
    assert divide(index.scores(), LINKED) == divide(indexed(articles).scores(), LINKED)


def test_an_article_is_added_once() -> None:
    index = indexed([events("a", BOMBED)])

    with pytest.raises(ValueError, match="'a' is in the index already"):
        index.add(events("a", BOMBED))
    assert "a" in index
    assert "b" not in index


def test_two_articles_are_as_alike_as_their_words_and_their_names() -> None:
    a = Context(doc_id="a", terms={"bomb": 600, "mosul": 800}, names={"mosul": 1000})
    b = Context(doc_id="b", terms={"bomb": 600, "kabul": 800}, names={"kabul": 1000})

    assert likeness(a, b) == (360, 0)
