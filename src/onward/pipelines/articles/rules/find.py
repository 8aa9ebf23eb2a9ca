"""Events by rules over the parse: which words tell of a happening.

A trigger is a verb that says what happened and not how things are, a noun that names a happening and heads its phrase,
or one of a few adjectives (`three people were dead`). A verb that only lends its grammar to such a noun (`carried out
an attack`) is none. What stands around a trigger is found in `arguments.py`, how sure it is in `certainty.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onward.pipelines.articles.rules import lexicon
from onward.pipelines.articles.rules.arguments import arguments_of
from onward.pipelines.articles.rules.certainty import certainty
from onward.pipelines.articles.rules.scene import Scene
from onward.pipelines.articles.rules.tree import Tree

__all__ = ["rule_events"]

METHOD = "rules"

_CLAUSES = lexicon.words("ROOT ccomp conj advcl relcl acl pcomp xcomp csubj csubjpass parataxis appos dep pobj")
_PREDICATES = lexicon.words("acomp oprd ROOT advcl conj ccomp relcl")
_NAMES = lexicon.words("DATE TIME ORG PERSON GPE NORP WORK_OF_ART FAC LOC PRODUCT LAW MONEY QUANTITY")
"""A word inside such an entity is part of a name and tells of nothing: March 6, the Labour Party."""
_TELLING = ("prep", "poss", "nummod", "compound", "nmod", "relcl", "acl")
_LETTERS_MIN = 3
_SHORT_VERBS = frozenset({"go"})
_STEPS_DOWN = frozenset({"down", "aside", "up"})


def rule_events(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the events of a document that has `text`, `entities` and `sentences`, in the order of their triggers."""
    found: list[dict[str, Any]] = []
    entities = document["entities"]
    first = 0
    for number, sentence in enumerate(document["sentences"]):
        while first < len(entities) and entities[first]["end"] <= sentence["start"]:
            first += 1
        last = first
        while last < len(entities) and entities[last]["start"] < sentence["end"]:
            last += 1
        scene = Scene(Tree(sentence, document["text"]), entities[first:last])
        triggers = _triggers(scene)
        scene.triggers = frozenset(triggers)
        told = (_event(scene, at, kind, number) for at, kind in sorted(triggers.items()) if not _is_rubric(scene, at))
        found.extend(told)
    return found


def _is_rubric(scene: Scene, at: int) -> bool:
    """Say whether a noun is what a section is called, and no happening: a line `Disasters and accidents`."""
    tree = scene.tree
    is_plural = tree.word(at) != tree.lemma(at)
    return is_plural and tree.pos(at) != "VERB" and not tree.children(at, *_TELLING) and not tree.has_verb(at)


def _event(scene: Scene, at: int, kind: str, number: int) -> dict[str, Any]:
    tree = scene.tree
    arguments = arguments_of(scene, at, kind)
    token = tree.tokens[at]
    spans = {"trigger": [token["start"], token["end"]]}
    spans.update({name: list(span) for name, span in arguments._asdict().items() if span is not None})
    words = {name: tree.text[start:end] for name, (start, end) in spans.items()}
    return {
        "type": kind,
        "trigger": words["trigger"],
        "who": words.get("who"),
        "what": words.get("what"),
        "whom": words.get("whom"),
        "where": words.get("where"),
        "when": words.get("when"),
        "sentence": number,
        "method": METHOD,
        "confidence": certainty(tree, at, kind, arguments),
        "spans": spans,
        "lemma": tree.lemma(at),
    }


def _triggers(scene: Scene) -> dict[int, str]:
    """Return position → type of each trigger of a sentence."""
    size = range(len(scene.tree))
    nouns = {at: kind for at in size if (kind := _noun_type(scene, at))}
    verbs = {at: kind for at in size if (kind := _verb_type(scene, at, nouns) or _adjective_type(scene.tree, at))}
    return {**nouns, **verbs}


def _noun_type(scene: Scene, at: int) -> str | None:
    tree = scene.tree
    if tree.pos(at) not in {"NOUN", "PROPN"} or tree.dep(at) not in lexicon.HEADS:
        return None
    return None if scene.label(at) in _NAMES else lexicon.NOUN_TYPES.get(tree.lemma(at))


def _adjective_type(tree: Tree, at: int) -> str | None:
    if tree.pos(at) != "ADJ" or tree.dep(at) not in _PREDICATES:
        return None
    return lexicon.ADJECTIVE_TYPES.get(tree.lemma(at))


def _verb_type(scene: Scene, at: int, nouns: Mapping[int, str]) -> str | None:
    tree = scene.tree
    if tree.pos(at) != "VERB" or tree.dep(at) not in _CLAUSES or not _is_word(tree, at):
        return None
    lemma = tree.lemma(at)
    if lemma in lexicon.COPULAS or lemma in lexicon.WEAK_VERBS or _only_helps(tree, at, lemma, nouns):
        return None
    return _sense(scene, at, lemma, nouns)


def _is_word(tree: Tree, at: int) -> bool:
    """Say whether a verb is one; what a tokeniser leaves of `re-open` or `'s` is not."""
    word = tree.word(at)
    return word.replace("-", "").isalpha() and (len(word) >= _LETTERS_MIN or word in _SHORT_VERBS)


def _only_helps(tree: Tree, at: int, lemma: str, nouns: Mapping[int, str]) -> bool:
    """Say whether a verb stands for another word that tells of the happening, or for the name of something."""
    has_infinitive = tree.child(at, "xcomp") is not None
    if lemma in lexicon.LIGHT and any(child in nouns for child in tree.children(at, "dobj", "nsubjpass")):
        return True
    if lemma == "take" and any(child in nouns for child in tree.children(at, "nsubj")):
        return any(tree.word(child) == "place" for child in tree.children(at, "dobj"))
    if lemma in lexicon.ASPECT and has_infinitive:
        return True
    if lemma in lexicon.INTENTION and lemma not in lexicon.VERB_TYPES and has_infinitive:
        return True
    return lemma in lexicon.NAMING and (tree.dep(at) == "acl" or tree.child(at, "oprd") is not None)


def _sense(scene: Scene, at: int, lemma: str, nouns: Mapping[int, str]) -> str:
    """Return the type of a verb, telling apart the few words that tell of very different things."""
    tree = scene.tree
    match lemma:
        case "fire" if any(scene.is_person(child) for child in tree.children(at, "dobj", "nsubjpass")):
            return "appointment"
        case "step" if not any(tree.word(child) in _STEPS_DOWN for child in tree.children(at)):
            return lexicon.OTHER
        case "hit" | "strike" if any(nouns.get(child) == "disaster" for child in tree.children(at, "nsubj")):
            return "disaster"
        case "run" if any(tree.word(child) == "for" for child in tree.children(at, "prep")):
            return "election"
        case _:
            return lexicon.VERB_TYPES.get(lemma, lexicon.OTHER)
