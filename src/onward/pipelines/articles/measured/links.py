"""Measures linking on ECB+: `python -m onward.pipelines.articles.measured.links ARTICLES_FOLDER`.

The folder holds `ecbplus.jsonl.xz` and `oracles/ecbplus.events.jsonl.xz`. Mentions of events inside the validated
sentences are linked over all topics at once, and the clusters are held against the gold chains, twice: with the gold
mentions, and with our own rule events that stand on gold mentions. Weights and thresholds were chosen on topics 1 to
11, with `--fit`; on topics 12 to 22 nothing was. Mentions without a chain are clusters of one, and count.
"""

from __future__ import annotations

import argparse
import json
import lzma
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, groupby
from pathlib import Path
from typing import Any, NamedTuple

from onward.pipelines.articles.linking.clusters import divide
from onward.pipelines.articles.linking.features import EventFeatures, features, head_of, sentence_at
from onward.pipelines.articles.linking.index import EventIndex
from onward.pipelines.articles.linking.score import LINKED, Signals, likeness, signals
from onward.pipelines.articles.measured import baseline as link_baseline
from onward.pipelines.articles.measured import measures as link_measures
from onward.pipelines.articles.measured.baseline import Mention

TUNED_TO = 11
"""The last topic that weights and thresholds were chosen on."""

Document = Mapping[str, Any]


def read_gold(folder: Path) -> list[Document]:
    """Return the oracle's lines."""
    return list(_lines(folder / "oracles" / "ecbplus.events.jsonl.xz"))


def parse(folder: Path) -> dict[str, Document]:
    """Return the articles as the room's first steps leave them, with the events of the rules, by id."""
    from onward.pipelines.articles.dependencies import dependencies
    from onward.pipelines.articles.entities import entities
    from onward.pipelines.articles.rules.find import rule_events

    parsed: dict[str, Document] = {}
    for line in _lines(folder / "ecbplus.jsonl.xz"):
        document = dependencies(entities({**line, "key": line["document_id"], "doc_id": line["document_id"]}))
        parsed[line["document_id"]] = {**document, "events": rule_events(document)}
    return parsed


def _lines(path: Path) -> Iterator[Document]:
    with lzma.open(path, "rt", encoding="utf-8") as file:
        yield from (json.loads(line) for line in file)


def gold_mentions(gold: Iterable[Document]) -> Iterator[tuple[Document, Document]]:
    """Yield each event mention that can be trusted, with its document's line."""
    for line in gold:
        trusted = set(line["validated_sentences"])
        for mention in line["mentions"]:
            if "ACTION" in mention["tag"] and mention["sentence"] in trusted:
                yield line, mention


def with_gold_events(gold: Iterable[Document], parsed: Mapping[str, Document]) -> Iterator[tuple[Document, list[str]]]:
    """Yield each article with the gold mentions as its events, and their chains."""
    for line in gold:
        found = [mention for _, mention in gold_mentions([line])]
        key = line["document_id"]
        events = [
            {"id": f"{key}:{m['id']}", "spans": {"trigger": _longest(m["spans"])}} for m in found
        ]
        yield {**parsed[key], "events": events}, [_chain(key, m) for m in found]


def with_rule_events(gold: Iterable[Document], parsed: Mapping[str, Document]) -> Iterator[tuple[Document, list[str]]]:
    """Yield each article with those of its own events whose trigger overlaps a gold mention, one each."""
    for line in gold:
        key = line["document_id"]
        events: list[Document] = []
        chains = []
        left = [mention for _, mention in gold_mentions([line])]
        for number, event in enumerate(parsed[key]["events"]):
            start, end = event["spans"]["trigger"]
            hit = next((m for m in left if any(b < end and start < e for b, e in m["spans"])), None)
            if hit is not None:
                left.remove(hit)
                events.append({**event, "id": f"{key}:{number}"})
                chains.append(_chain(key, hit))
        yield {**parsed[key], "events": events}, chains


def _longest(spans: Sequence[Sequence[int]]) -> list[int]:
    """Return the span from the first to the last word that belong together."""
    return [min(start for start, _ in spans), max(end for _, end in spans)]


def _chain(key: str, mention: Document) -> str:
    return str(mention.get("chain") or f"alone:{key}:{mention['id']}")


def mentions_of(documents: Iterable[tuple[Document, list[str]]]) -> tuple[list[EventFeatures], list[Mention]]:
    """Return the features of all events, and what the baseline needs of them."""
    events, mentions = [], []
    for document, chains in documents:
        key = document["key"]
        for told, event, chain in zip(document["events"], features(document), chains, strict=True):
            events.append(event)
            mentions.append(
                Mention(
                    event_id=event.event_id,
                    doc_id=key,
                    lemma=_head_lemma(document, told),
                    base=event.lemma,
                    topic=int(document["topic"]),
                    half=str(document["collection"]),
                    chain=chain,
                )
            )
    return events, mentions


def _head_lemma(document: Document, event: Document) -> str:
    """Return the lemma of a mention's head as the parser has it."""
    start, end = event["spans"]["trigger"]
    tokens = sentence_at(document["sentences"], start)["tokens"]
    return str(tokens[head_of(tokens, start, end)]["lemma"]).lower()


def answer(events: Iterable[EventFeatures]) -> dict[str, object]:
    """Link events and return each one's cluster."""
    index = EventIndex()
    found: dict[str, object] = {}
    for _, article in groupby(events, key=lambda event: event.context.doc_id):
        together = list(article)
        index.add(together)
        found.update({event.event_id: event.event_id for event in together})
    for cluster in divide(index.scores(), LINKED):
        found.update(dict.fromkeys(cluster, cluster[0]))
    return found


def _lemmas(document: Document) -> list[str]:
    return [
        token["lemma"].lower()
        for sentence in document["sentences"]
        for token in sentence["tokens"]
        if token["pos"] in {"NOUN", "PROPN", "VERB", "ADJ", "NUM"}
    ]


class Row(NamedTuple):
    """How one way of linking did.

    Attributes:
        way: Which one.
        scores: Over all topics at once.
        topic_mean: Mean CoNLL F1 over topics, each measured alone.
    """

    way: str
    scores: link_measures.Scores
    topic_mean: float


class Part(NamedTuple):
    """Some topics, and how each way of linking did on them."""

    name: str
    mentions: int
    articles: int
    chains: int
    rows: list[Row]

    def conll(self, way: str) -> float:
        """Return the CoNLL F1 of one way."""
        return next(row.scores.conll for row in self.rows if row.way == way)


OURS = "linking"
BASELINE = "lemma, alike articles"


def compare(
    events: Sequence[EventFeatures], mentions: Sequence[Mention], parsed: Mapping[str, Document]
) -> tuple[float, list[Part]]:
    """Return the threshold chosen for the baseline, and every measure of every way of linking."""
    vectors = link_baseline.word_vectors({key: _lemmas(parsed[key]) for key in {m.doc_id for m in mentions}})
    tuned = [m for m in mentions if m.topic <= TUNED_TO]
    grid = [step / 100 for step in range(5, 60, 5)]
    best = max(grid, key=lambda least: _measure(tuned, link_baseline.with_like_articles(tuned, vectors, least)).conll)
    ways: dict[str, Callable[[Sequence[Mention]], Mapping[str, object]]] = {
        "lemma, over all": link_baseline.over_all,
        "lemma, within gold topic": link_baseline.within_groups,
        BASELINE: lambda m: link_baseline.with_like_articles(m, vectors, best),
        "base form, alike articles": lambda m: link_baseline.with_like_articles(_by_base(m), vectors, best),
        "lemma, within gold story": lambda m: link_baseline.within_groups(m, halves=True),
        OURS: lambda m: answer(_those_of(m, events)),
    }
    parts = []
    for name, chosen in (
        (f"topics 1-{TUNED_TO}, tuned on", tuned),
        (f"topics {TUNED_TO + 1}-22", [m for m in mentions if m.topic > TUNED_TO]),
        ("all topics", list(mentions)),
    ):
        rows = []
        for way, link in ways.items():
            found = link(chosen)
            rows.append(Row(way, _measure(chosen, found), _topic_mean(chosen, found)))
        articles, chains = {m.doc_id for m in chosen}, {m.chain for m in chosen}
        parts.append(Part(name, len(chosen), len(articles), len(chains), rows))
    return best, parts


def _those_of(mentions: Iterable[Mention], events: Iterable[EventFeatures]) -> list[EventFeatures]:
    wanted = {mention.event_id for mention in mentions}
    return [event for event in events if event.event_id in wanted]


def _by_base(mentions: Iterable[Mention]) -> list[Mention]:
    """Return mentions that the baseline takes for one lemma where linking does: headlines are read as text is."""
    return [replace(mention, lemma=mention.base) for mention in mentions]


def _measure(mentions: Iterable[Mention], found: Mapping[str, object]) -> link_measures.Scores:
    gold = {m.event_id: m.chain for m in mentions}
    return link_measures.measure(gold, {event: found[event] for event in gold})


def _topic_mean(mentions: Sequence[Mention], found: Mapping[str, object]) -> float:
    topics = sorted({m.topic for m in mentions})
    return sum(_measure([m for m in mentions if m.topic == t], found).conll for t in topics) / len(topics)


def render(best: float, parts: Iterable[Part]) -> str:
    """Return the measures as tables of text."""
    lines = [f"Articles are alike from a cosine of {best} on."]
    for part in parts:
        lines += [
            "",
            f"{part.name}: {part.mentions:,} mentions in {part.articles} articles, {part.chains} chains",
            "",
            "| | MUC R P F | B-cubed R P F | CEAF-e R P F | CoNLL | mean of topics |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for row in part.rows:
            columns = [f"{one.recall:.3f} {one.precision:.3f} {one.f1:.3f}" for one in row.scores]
            lines.append(f"| {row.way} | {' | '.join(columns)} | {row.scores.conll:.3f} | {row.topic_mean:.3f} |")
    return "\n".join(lines) + "\n"


def fit(events: Sequence[EventFeatures], mentions: Sequence[Mention]) -> tuple[list[float], float]:
    """Return weights and bias of a logistic regression on the pairs of the topics tuned on."""
    import numpy as np

    chain = {m.event_id: m.chain for m in mentions if m.topic <= TUNED_TO}
    chosen = [e for e in events if e.event_id in chain]
    rows, labels = [], []
    for a, b in combinations(sorted(chosen, key=lambda e: e.event_id), 2):
        found = signals(a, b, likeness(a.context, b.context))
        if found is not None:
            rows.append([*found, 1.0])
            labels.append(float(chain[a.event_id] == chain[b.event_id]))
    x, y = np.array(rows), np.array(labels)
    w = np.zeros(x.shape[1])
    ridge = np.eye(len(w))
    ridge[-1, -1] = 0.0
    for _ in range(40):
        p = 1 / (1 + np.exp(-x @ w))
        w -= np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + ridge, x.T @ (p - y) + ridge @ w)
    return [round(float(v), 2) for v in w[:-1]], round(float(w[-1]), 2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print, 1 when linking is not ahead of the baseline on topics not tuned on; or fit the weights."""
    parser = argparse.ArgumentParser(description="Measures linking on ECB+.")
    parser.add_argument("articles", type=Path, help="folder with ecbplus.jsonl.xz and oracles/")
    parser.add_argument("--fit", action="store_true", help="print weights fitted to the topics tuned on")
    given = parser.parse_args(arguments)
    gold, parsed = read_gold(given.articles), parse(given.articles)
    if given.fit:
        weights, bias = fit(*mentions_of(with_gold_events(gold, parsed)))
        sys.stdout.write(f"{Signals(*weights)} {bias}\n")
        return 0
    is_ahead = True
    for name, documents in (("Gold mentions", with_gold_events), ("Events of the rules", with_rule_events)):
        best, parts = compare(*mentions_of(documents(gold, parsed)), parsed)
        sys.stdout.write(f"# {name}\n\n{render(best, parts)}\n")
        is_ahead &= all(part.conll(OURS) > part.conll(BASELINE) for part in parts[1:])
    return 0 if is_ahead else 1


if __name__ == "__main__":
    sys.exit(main())
