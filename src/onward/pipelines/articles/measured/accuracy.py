"""Measures the articles room: `python -m onward.pipelines.articles.measured.accuracy ARTICLES_FOLDER`.

The folder has `gum`, `wikigold` and `ecbplus` as `.jsonl.xz`, and their answers in `oracles/`; any may be missing.
First of all, what the steps give must be what the model gives when it is called directly, to the last word: exit code
1 when one document differs. The other figures say how good the model and the rules are; what right means there is
`oracles.py`'s to say.
"""

from __future__ import annotations

import argparse
import json
import lzma
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from onward.engine.receipts import NoReceipts
from onward.errors import LlmAnswerInvalid
from onward.pipelines.articles.dependencies import dependencies
from onward.pipelines.articles.entities import entities
from onward.pipelines.articles.events import METHODS, events
from onward.pipelines.articles.measured import oracles
from onward.pipelines.articles.measured.oracles import Arcs, Score
from onward.pipelines.articles.spacy_model import MODEL

_ANSWERS = {"gum": "gum.gold", "wikigold": "wikigold.gold", "ecbplus": "ecbplus.events"}


def analysed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document of a set with its entities and sentences."""
    return dependencies(entities({**document, "key": document["document_id"]}))


def bare(model: Any, text: str) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return what the model says of a text by itself: entities and words, in the terms of our output."""
    doc = model(text)
    spans = [(span.text, span.label_, span.start_char, span.end_char) for span in doc.ents]
    words = [
        (
            token.text,
            token.lemma_,
            token.pos_,
            token.head.i - token.sent.start,
            token.dep_,
            token.idx,
            token.idx + len(token),
            token.sent.start_char,
        )
        for token in doc
    ]
    return spans, words


def ours(document: Mapping[str, Any]) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return the same of an analysed document."""
    spans = [(one["text"], one["label"], one["start"], one["end"]) for one in document["entities"]]
    words = [
        (*(word[name] for name in ("text", "lemma", "pos", "head", "dep", "start", "end")), sentence["start"])
        for sentence in document["sentences"]
        for word in sentence["tokens"]
    ]
    return spans, words


def measure(
    folder: Path, *, limit: int | None = None, config: Mapping[str, Any] | None = None, compares: bool = True
) -> dict[str, Any]:
    """Return all figures.

    Args:
        folder: Where the sets are.
        limit: Take only the first so many documents of each.
        config: Settings of `events`, e.g. `events.method`.
        compares: Call the model directly too, and say how many documents differ.
    """
    import spacy

    config = {"events.method": METHODS[0], **(config or {})}
    receipts = NoReceipts()
    model = spacy.load(MODEL) if compares else None
    differing: list[str] = []
    documents: Counter[str] = Counter()
    spans: dict[str, Score] = {}
    words = Arcs(0, 0, 0, 0)
    triggers = Score(0, 0, 0)
    agree: Counter[str] = Counter()
    told: Counter[str] = Counter()
    invalid = 0
    began = time.perf_counter()
    for name, document, gold in _sets(folder, limit):
        documents[name] += 1
        found = analysed(document)
        text = document["text"]
        if model is not None and bare(model, text) != ours(found):
            differing.append(f"{name} {document['document_id']}")
        if name == "ecbplus":
            # Only these sentences count, and asking about another one costs money.
            lines = oracles.validated_lines(gold, text)
            heard = [one for one in found["sentences"] if any(a < one["end"] and one["start"] < b for a, b in lines)]
            try:
                answered = events({**found, "sentences": heard}, config, receipts)["events"]
            except LlmAnswerInvalid:
                answered, invalid = [], invalid + 1
            score, right, all_told = oracles.trigger_hits(answered, gold, text)
            triggers, agree, told = triggers.plus(score), agree + right, told + all_told
        else:
            there = oracles.gum_names(gold, text) if name == "gum" else oracles.wikigold_names(gold, text)
            score = oracles.score_spans(oracles.names(found["entities"], text, name), there)
            spans[name] = spans.get(name, Score(0, 0, 0)).plus(score)
        if name == "gum":
            persons = [(one["start"], one["end"]) for one in found["entities"] if one["label"] == "PERSON"]
            words = words.plus(oracles.arcs(found["sentences"], gold, persons))
    return {
        "documents": dict(documents),
        "compared": compares,
        "differing": differing,
        "entities": {name: _figures(score) for name, score in spans.items()},
        "arcs": {
            "words": words.there,
            "aligned": _share(words.aligned, words.there),
            "uas": _share(words.head, words.aligned),
            "las": _share(words.both, words.aligned),
        },
        "events": {
            "method": config["events.method"],
            "invalid": invalid,
            **_figures(triggers),
            "arguments": {
                role: {"told": told[role], "agree": _share(agree[role], told[role])} for role in oracles.ROLE_TAGS
            },
        },
        "elapsed_s": round(time.perf_counter() - began, 1),
    }


def _figures(score: Score) -> dict[str, Any]:
    return {
        "there": score.there,
        "found": score.found,
        "precision": round(score.precision, 4),
        "recall": round(score.recall, 4),
        "f1": round(score.f1, 4),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _sets(folder: Path, limit: int | None) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield set, document and answer of each document that has one."""
    for name, answer in _ANSWERS.items():
        documents, answers = folder / f"{name}.jsonl.xz", folder / "oracles" / f"{answer}.jsonl.xz"
        if not (documents.is_file() and answers.is_file()):
            continue
        gold = {line["document_id"]: line for line in _lines(answers)}
        for number, document in enumerate(_lines(documents)):
            if limit is not None and number >= limit:
                break
            if document["document_id"] in gold:
                yield name, document, gold[document["document_id"]]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def render(figures: Mapping[str, Any]) -> str:
    """Return the figures as text for a person."""
    lines = [f"{'documents':<26}" + ", ".join(f"{n} {name}" for name, n in figures["documents"].items())]
    if figures["compared"]:
        lines.append(f"{'unlike the bare model':<26}{len(figures['differing'])}")
        lines.extend(f"  {name}" for name in figures["differing"])
    for name, score in figures["entities"].items():
        lines.append(f"{'names, ' + name:<26}{_line(score)}")
    arcs = figures["arcs"]
    if arcs["words"]:
        lines.append(
            f"{'heads, gum':<26}UAS {arcs['uas']:.4f}  LAS {arcs['las']:.4f}  "
            f"of {arcs['words']:,} words, {arcs['aligned']:.2%} of them words on both sides"
        )
    told = figures["events"]
    if told["there"]:
        lines.append(f"{'events, ecbplus, ' + told['method']:<26}{_line(told)}")
        if told["invalid"]:
            lines.append(f"{'  without valid answer':<26}{told['invalid']} documents")
        for role, share in told["arguments"].items():
            if share["told"]:
                lines.append(f"{'  ' + role:<26}{share['agree']:.4f} of {share['told']} agree")
    lines.append(f"{'time':<26}{figures['elapsed_s']} s")
    return "\n".join(lines) + "\n"


def _line(score: Mapping[str, Any]) -> str:
    return (
        f"F1 {score['f1']:.4f}  (precision {score['precision']:.4f}, recall {score['recall']:.4f}; "
        f"{score['found']:,} found, {score['there']:,} there)"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a document differs from what the model gives by itself."""
    parser = argparse.ArgumentParser(prog="python -m onward.pipelines.articles.measured.accuracy", description=__doc__)
    parser.add_argument("articles", type=Path, help="folder of sets")
    parser.add_argument("--json", action="store_true", help="print everything as one JSON document")
    parser.add_argument("--limit", type=int, help="take only the first so many documents of each set")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of `events`")
    parser.add_argument("--no-bare", action="store_true", help="do not call the model directly too")
    given = parser.parse_args(arguments)
    config = {name: _value(value) for name, _, value in (pair.partition("=") for pair in given.set)}
    figures = measure(given.articles, limit=given.limit, config=config, compares=not given.no_bare)
    sys.stdout.write(json.dumps(figures, indent=1) + "\n" if given.json else render(figures))
    return 1 if figures["differing"] else 0


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


if __name__ == "__main__":
    sys.exit(main())
