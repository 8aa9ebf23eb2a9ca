"""What is measured, and against what: gold mentions, our own events on them, and the baseline of the literature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from link_articles import Told, article, keyed

from onward.pipelines.articles.measured.baseline import (
    Mention,
    over_all,
    with_like_articles,
    within_groups,
    word_vectors,
)
from onward.pipelines.articles.measured.links import (
    BASELINE,
    OURS,
    answer,
    compare,
    mentions_of,
    render,
    with_gold_events,
    with_rule_events,
)

BOMBED = Told("Rebels", "bombed", "Mosul", "Iraq", lemma="bomb")
BOMBS = Told("Rebels", "Bombs", "Mosul", "Iraq", lemma="Bombs")
ELECTED = Told("Germans", "elected", "Merkel", "Berlin", lemma="elect")


def parsed(key: str, topic: int, *sentences: Told) -> dict[str, Any]:
    return {**keyed(article(key, sentences)), "topic": topic, "collection": "ECB"}


def gold(document: Mapping[str, Any], *chains: str | None, trusted: tuple[int, ...] = (0, 1, 2)) -> dict[str, Any]:
    """Return the oracle's line: each trigger is a mention, in the chain named."""
    mentions = [
        {
            "id": str(number), "tag": "ACTION_OCCURRENCE", "sentence": number,
            "spans": [event["spans"]["trigger"]], **({} if chain is None else {"chain": chain}),
        }
        for number, (event, chain) in enumerate(zip(document["events"], chains, strict=True))
    ]
    other = {"id": "p", "tag": "HUMAN_PART_PER", "sentence": 0, "spans": [[0, 6]], "chain": "HUM1"}
    return {"document_id": document["key"], "validated_sentences": list(trusted), "mentions": [*mentions, other]}


DOCUMENTS = {
    "a": parsed("a", 1, BOMBED, ELECTED),
    "b": parsed("b", 1, BOMBS),
    "c": parsed("c", 12, BOMBED._replace(who="Pirates", whom="Aden", where="Yemen")),
    "d": parsed("d", 12, BOMBED._replace(who="Pirates", whom="Aden", where="Yemen")),
}
GOLD = [
    gold(DOCUMENTS["a"], "ACT1", None), gold(DOCUMENTS["b"], "ACT1"),
    gold(DOCUMENTS["c"], "ACT2"), gold(DOCUMENTS["d"], "ACT2"),
]


def test_only_actions_in_trusted_sentences_are_mentions() -> None:
    line = gold(DOCUMENTS["a"], "ACT1", "ACT2", trusted=(1,))

    (document, chains) = next(with_gold_events([line], DOCUMENTS))

    assert [event["id"] for event in document["events"]] == ["a:1"]
    assert chains == ["ACT2"]


def test_a_mention_without_a_chain_is_alone() -> None:
    _, mentions = mentions_of(with_gold_events(GOLD, DOCUMENTS))

    assert [m.chain for m in mentions if m.doc_id == "a"] == ["ACT1", "alone:a:1"]


def test_an_own_event_stands_for_one_gold_mention_that_it_overlaps() -> None:
    line = gold(DOCUMENTS["a"], "ACT1", "ACT2")
    line["mentions"][0]["spans"] = [[0, 6]]  # on 'Rebels', where no event has its trigger

    (document, chains) = next(with_rule_events([line], DOCUMENTS))

    assert [event["id"] for event in document["events"]] == ["a:1"]
    assert chains == ["ACT2"]


def test_the_baseline_has_the_parser_s_lemma_and_linking_a_base_form() -> None:
    _, mentions = mentions_of(with_gold_events(GOLD, DOCUMENTS))

    assert [(m.lemma, m.base) for m in mentions if m.doc_id == "b"] == [("bombs", "bomb")]


def test_linking_finds_what_the_baseline_misses() -> None:
    events, mentions = mentions_of(with_gold_events(GOLD, DOCUMENTS))
    found = answer(events)

    assert found["a:0"] == found["b:0"] != found["c:0"] == found["d:0"]
    _, parts = compare(events, mentions, DOCUMENTS)
    everything = parts[2]
    assert everything.conll(OURS) == pytest.approx(1)
    assert everything.conll(BASELINE) < 1
    assert "| linking | 1.000 1.000 1.000 |" in render(0.2, parts)


def mention(event_id: str, doc_id: str, lemma: str, topic: int = 1, half: str = "ECB") -> Mention:
    return Mention(
        event_id=event_id, doc_id=doc_id, lemma=lemma, base=lemma, topic=topic, half=half, chain=event_id
    )


def together(found: Mapping[str, object], *events: str) -> bool:
    return len({found[event] for event in events}) == 1


def test_the_baseline_joins_lemmas_within_its_bounds() -> None:
    mentions = [
        mention("1", "a", "kill"), mention("2", "b", "kill"), mention("3", "c", "kill", half="plus"),
        mention("4", "d", "kill", topic=2), mention("5", "a", "die"),
    ]

    assert together(over_all(mentions), "1", "2", "3", "4")
    assert not together(over_all(mentions), "1", "5")
    assert together(within_groups(mentions), "1", "2", "3")
    assert not together(within_groups(mentions), "1", "4")
    assert together(within_groups(mentions, halves=True), "1", "2")
    assert not together(within_groups(mentions, halves=True), "1", "3")


def test_alike_articles_are_closed_to_components() -> None:
    vectors = word_vectors({"a": ["x", "y"], "b": ["y", "z"], "c": ["z", "w"], "d": ["v", "u"]})
    mentions = [mention(doc_id, doc_id, "kill") for doc_id in "abcd"]

    found = with_like_articles(mentions, vectors, 0.1)

    assert together(found, "a", "b", "c")
    assert not together(found, "a", "d")
    assert len(set(with_like_articles(mentions, vectors, 0.9).values())) == 4
