"""A sentence with what is known of it: its tree, its entities, and which of its words tell of a happening."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from onward.pipelines.articles.rules.lexicon import PERSONS, PLACES, QUANTITIES, TIMES, words
from onward.pipelines.articles.rules.tree import Span, Tree

__all__ = ["PLACE_LABELS", "Scene"]

PLACE_LABELS = frozenset({"GPE", "LOC", "FAC"})
_TIME_LABELS = frozenset({"DATE", "TIME"})
_PERSON_LABELS = frozenset({"PERSON", "NORP"})
_NUMBER_LABELS = frozenset({"CARDINAL", "ORDINAL", "QUANTITY", "PERCENT"})
_PERSON_PRONOUNS = words("he him she her they them i me we us you who whom everyone someone anyone nobody")
_YEAR = re.compile(r"\b(1[5-9]|20)\d\d\b|\d[:.]\d\d|\b\d{1,2}\s?(a\.?m|p\.?m)\b", re.IGNORECASE)
_APOSTROPHES = ("'", "\u2019")
_AGE = re.compile(r"\bold\b|\baged\b", re.IGNORECASE)


class Scene:
    """One sentence.

    Attributes:
        tree: Its parse.
        triggers: Positions of all triggers in it; an argument is not looked for beyond another one of these.
    """

    __slots__ = ("_entity_at", "_reached", "tree", "triggers")

    def __init__(self, tree: Tree, entities: Sequence[Mapping[str, Any]]) -> None:
        self.tree = tree
        self.triggers: frozenset[int] = frozenset()
        self._reached: tuple[int, list[int]] = (-1, [])
        self._entity_at: dict[int, Mapping[str, Any]] = {}
        for entity in entities:
            for at, token in enumerate(tree.tokens):
                if entity["start"] <= token["start"] and token["end"] <= entity["end"]:
                    self._entity_at[at] = entity

    def label(self, at: int) -> str:
        """Return the label of the entity that a word is in; "" when it is in none, or in a mere number."""
        entity = self._entity_at.get(at)
        return "" if entity is None or entity["label"] in _NUMBER_LABELS else str(entity["label"])

    def phrase(self, at: int) -> Span:
        """Return the phrase of a noun: what stands before it, the whole of a name that it is in, what it counts."""
        start, end = self.tree.noun_phrase(at)
        entity = self._entity_at.get(at)
        if entity is not None and "\n" not in entity["text"]:
            start, end = min(start, entity["start"]), max(end, entity["end"])
        counted = self._counted(at)
        if counted is not None:
            end = max(end, self.phrase(counted)[1])
        return start, end

    def is_person(self, at: int) -> bool:
        """Say whether a noun means people."""
        label = self.label(at)
        if label:
            return label in _PERSON_LABELS
        counted = self._counted(at)
        if counted is not None:
            return self.is_person(counted)
        return self.tree.word(at) in _PERSON_PRONOUNS or self.tree.lemma(at) in PERSONS

    def is_place(self, at: int) -> bool:
        """Say whether a noun means a place."""
        label = self.label(at)
        return label in PLACE_LABELS if label else self.tree.lemma(at) in PLACES

    def is_time(self, at: int) -> bool:
        """Say whether a noun means a time; an age is none, nor is what only looks like a date."""
        label = self.label(at)
        if label and label not in _TIME_LABELS:
            return False
        if not label:
            return self.tree.lemma(at) in TIMES
        text = str(self._entity_at[at]["text"])
        named = {self.tree.lemma(at)}.union(*(_forms(word) for word in text.lower().split()))
        return not _AGE.search(text) and (bool(named & TIMES) or _YEAR.search(text) is not None)

    def reach(self, trigger: int) -> list[int]:
        """Return the words that belong to a trigger: below it, and not below another trigger on the way, in order."""
        if self._reached[0] != trigger:
            found: list[int] = []
            waiting = [trigger]
            while waiting:
                one = waiting.pop()
                found.append(one)
                waiting.extend(child for child in self.tree.children(one) if child not in self.triggers)
            self._reached = (trigger, sorted(found))
        return self._reached[1]

    def _counted(self, at: int) -> int | None:
        """Return what a noun of quantity counts: the people of `thousands of people`."""
        tree = self.tree
        if tree.lemma(at) not in QUANTITIES:
            return None
        for prep in tree.children(at, "prep"):
            if tree.word(prep) == "of":
                return tree.child(prep, "pobj")
        return None


def _forms(word: str) -> set[str]:
    """Return a word as it may stand in a list of lemmas: without a plural or an owner's s."""
    bare = word.strip(".,")
    return {bare, bare.removesuffix("s"), bare[:-2] if bare[-2:-1] in _APOSTROPHES else bare}
