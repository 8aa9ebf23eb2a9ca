"""A sentence as a tree, from words written by hand: who hangs on whom, what a phrase covers, where a line ends."""

from __future__ import annotations

from typing import Any

from onward.pipelines.articles.rules.tree import Tree


def tree(*words: tuple[str, str, int, str]) -> Tree:
    """Return a tree of (word, part of speech, head, relation), set with single blanks but around line ends."""
    tokens: list[dict[str, Any]] = []
    text = ""
    for word, pos, head, dep in words:
        if text and not text.endswith("\n") and pos != "SPACE":
            text += " "
        tokens.append({"text": word, "lemma": word.lower(), "pos": pos, "head": head, "dep": dep, "start": len(text)})
        text += word
        tokens[-1]["end"] = len(text)
    return Tree({"start": 0, "end": len(text), "tokens": tokens}, text)


HEADED = (
    ("Reuters", "PROPN", 4, "nsubj"),
    ("\n", "SPACE", 0, "dep"),
    ("Six", "NUM", 3, "nummod"),
    ("men", "NOUN", 0, "appos"),
    ("died", "VERB", 4, "ROOT"),
)


def words(of: Tree, span: tuple[int, int]) -> str:
    return of.text[span[0] : span[1]]


def test_a_phrase_is_a_noun_with_what_stands_before_it_and_no_outer_signs():
    found = tree(
        ('"', "PUNCT", 3, "punct"),
        ("the", "DET", 3, "det"),
        ("old", "ADJ", 3, "amod"),
        ("bridge", "NOUN", 3, "ROOT"),
        ("of", "ADP", 3, "prep"),
        ("stone", "NOUN", 4, "pobj"),
        (".", "PUNCT", 3, "punct"),
    )

    assert words(found, found.noun_phrase(3)) == "the old bridge"
    assert found.text[slice(*found.trimmed(0, 6, around=3))] == "the old bridge of stone"


def test_what_hangs_together_over_the_end_of_a_line_is_taken_apart():
    found = tree(*HEADED)

    assert found.children(4, "nsubj") == []
    assert found.head(0) == 0
    assert found.is_cut(3)
    assert not found.is_cut(2)
    assert words(found, found.noun_phrase(3)) == "Six men"


def test_a_line_that_is_only_wrapped_goes_on():
    wrapped = [*HEADED]
    wrapped[2] = ("six", "NUM", 3, "nummod")

    assert tree(*wrapped).children(4, "nsubj") == [0]


def test_a_blank_line_ends_a_line_whatever_follows():
    apart = [*HEADED]
    apart[1:3] = [("\n\n", "SPACE", 0, "dep"), ("six", "NUM", 3, "nummod")]

    assert tree(*apart).children(4, "nsubj") == []


def test_ancestors_lead_up_to_the_root_and_end_there():
    found = tree(
        ("He", "PRON", 1, "nsubj"),
        ("said", "VERB", 1, "ROOT"),
        ("it", "PRON", 3, "nsubj"),
        ("fell", "VERB", 1, "ccomp"),
    )

    assert list(found.ancestors(2)) == [3, 1]
    assert list(found.ancestors(1)) == []
    assert sorted(found.below(3)) == [2, 3]
