"""A parsed sentence as a tree: who hangs on whom, and which stretch of the text a word's phrase covers.

A parser that meets a heading or a source line takes it for a part of the sentence beside it. So what hangs together
over a blank line, or over the end of a line after which no sentence goes on in small letters, is taken apart here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from onward.pipelines.articles.rules.lexicon import words

__all__ = ["Span", "Tree"]

Span = tuple[int, int]

_OUTER = frozenset({"PUNCT", "SPACE"})
_BEFORE_NOUN = words("det amod compound poss nummod nmod quantmod predet neg advmod case punct dep")


class Tree:
    """One sentence of a document.

    Attributes:
        tokens: As `dependencies` gives them.
        text: The whole text, which all offsets index.
    """

    __slots__ = ("_children", "_lines", "text", "tokens")

    def __init__(self, sentence: Mapping[str, Any], text: str) -> None:
        self.tokens: Sequence[Mapping[str, Any]] = sentence["tokens"]
        self.text = text
        self._lines = _lines(self.tokens)
        self._children: list[list[int]] = [[] for _ in self.tokens]
        for at, token in enumerate(self.tokens):
            if token["head"] != at and self._lines[at] == self._lines[token["head"]]:
                self._children[token["head"]].append(at)

    def __len__(self) -> int:
        return len(self.tokens)

    def dep(self, at: int) -> str:
        """Return the relation of a word to its head."""
        return str(self.tokens[at]["dep"])

    def pos(self, at: int) -> str:
        """Return a word's part of speech."""
        return str(self.tokens[at]["pos"])

    def lemma(self, at: int) -> str:
        """Return a word's lemma in small letters."""
        return str(self.tokens[at]["lemma"]).lower()

    def word(self, at: int) -> str:
        """Return a word in small letters."""
        return str(self.tokens[at]["text"]).lower()

    def head(self, at: int) -> int:
        """Return what a word hangs on; a root hangs on itself."""
        above = int(self.tokens[at]["head"])
        return above if self._lines[at] == self._lines[above] else at

    def same_line(self, at: int, other: int) -> bool:
        """Say whether two words are on one line."""
        return self._lines[at] == self._lines[other]

    def is_first_line(self, at: int) -> bool:
        """Say whether a word is on the first line of its sentence."""
        return self._lines[at] == self._lines[0]

    def is_cut(self, at: int) -> bool:
        """Say whether the parser hung a word on one of another line."""
        return not self.same_line(at, int(self.tokens[at]["head"]))

    def has_verb(self, at: int) -> bool:
        """Say whether the line of a word has a verb."""
        line = self._lines[at]
        return any(self._lines[o] == line and t["pos"] in {"VERB", "AUX"} for o, t in enumerate(self.tokens))

    def children(self, at: int, *deps: str) -> list[int]:
        """Return the words that hang on a word, in order; only those of these relations, when any are named."""
        found = self._children[at]
        return [child for child in found if self.tokens[child]["dep"] in deps] if deps else found

    def child(self, at: int, *deps: str) -> int | None:
        """Return the first word of one of these relations that hangs on a word."""
        return next(iter(self.children(at, *deps)), None)

    def below(self, at: int) -> Iterator[int]:
        """Yield a word and all that hangs on it, directly or not."""
        waiting = [at]
        while waiting:
            one = waiting.pop()
            yield one
            waiting.extend(self._children[one])

    def ancestors(self, at: int) -> Iterator[int]:
        """Yield what a word hangs on, then what that hangs on, up to the root."""
        while self.head(at) != at:
            at = self.head(at)
            yield at

    def noun_phrase(self, at: int) -> Span:
        """Return the stretch of a noun with what stands before it and belongs to it; `the 33-year-old actress`."""
        first = at
        for child in reversed(self._children[at]):
            if child < at and self.dep(child) in _BEFORE_NOUN and self.dep(child) != "punct":
                first = min(first, min(self.below(child)))
        return self.trimmed(first, at, around=at)

    def whole_phrase(self, at: int) -> Span:
        """Return the stretch of a word and all that hangs on it."""
        found = list(self.below(at))
        return self.trimmed(min(found), max(found), around=at)

    def trimmed(self, first: int, last: int, *, around: int) -> Span:
        """Return the stretch from one word to another without outer punctuation, on the line of the word `around`."""
        own = self._lines[around]
        while first < around and (self._lines[first] != own or self.pos(first) in _OUTER):
            first += 1
        while last > around and (self._lines[last] != own or self.pos(last) in _OUTER):
            last -= 1
        return int(self.tokens[first]["start"]), int(self.tokens[last]["end"])


def _lines(tokens: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the line that each word of a sentence is on; a line that is only wrapped goes on."""
    lines: list[int] = []
    line = 0
    for at, token in enumerate(tokens):
        breaks = token["text"].count("\n")
        if breaks:
            after = tokens[at + 1]["text"] if at + 1 < len(tokens) else ""
            if breaks > 1 or not after[:1].islower():
                line += 1
        lines.append(line)
    return lines
