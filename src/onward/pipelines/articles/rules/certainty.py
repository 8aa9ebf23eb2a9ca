"""How sure it is that what a trigger tells of has happened, by the words around it alone.

A thing denied, wished, asked for or supposed is told of, and may not have been. Each such sign takes its factor of the
confidence; a trigger of no known type, or with nobody and nothing around it, is taken for one with less confidence.
"""

from __future__ import annotations

from collections.abc import Iterator

from onward.pipelines.articles.rules.arguments import Arguments
from onward.pipelines.articles.rules.lexicon import INTENTION, OTHER, words
from onward.pipelines.articles.rules.tree import Tree

__all__ = ["certainty"]

_VERB = 0.9
_NOUN = 0.8
_UNTYPED = 0.85
_BARE = 0.85
_NEGATED = 0.3
_MODAL = 0.5
_FUTURE = 0.7
_CONDITIONAL = 0.4
_ASKED = 0.5
_INTENDED = 0.6

_MODALS = words("may might could would should can must shall ought ca")
_FUTURES = frozenset({"will", "'ll", "wo"})
_CONDITIONS = frozenset({"if", "unless", "whether"})
_DENIALS = frozenset({"no", "without", "never", "neither"})
_SHARES = frozenset({"xcomp", "conj"})
_OF_VERB = frozenset({"nsubj", "nsubjpass", "dobj", "attr"})


def certainty(tree: Tree, trigger: int, kind: str, arguments: Arguments) -> float:
    """Return the confidence of an event, from 0 to 1, with two digits."""
    sure = _VERB if tree.pos(trigger) == "VERB" else _NOUN
    if kind == OTHER:
        sure *= _UNTYPED
    if arguments.who is None and arguments.what is None and arguments.whom is None:
        sure *= _BARE
    chain = list(_governors(tree, trigger))
    helpers = {tree.word(child) for one in chain for child in tree.children(one, "aux")}
    if helpers & _MODALS:
        sure *= _MODAL
    elif helpers & _FUTURES:
        sure *= _FUTURE
    if _is_denied(tree, trigger, chain):
        sure *= _NEGATED
    if any(tree.word(child) in _CONDITIONS for one in chain for child in tree.children(one, "mark", "advmod")):
        sure *= _CONDITIONAL
    if _is_intended(tree, trigger):
        sure *= _INTENDED
    if any(token["text"] == "?" for token in tree.tokens[-3:]):
        sure *= _ASKED
    return round(sure, 2)


def _governors(tree: Tree, trigger: int) -> Iterator[int]:
    """Yield the trigger and the verbs whose modality it shares: `might kill and injure`, `was not allowed to run`."""
    yield trigger
    at = trigger
    if tree.dep(at) in _OF_VERB and tree.head(at) != at:
        at = tree.head(at)
        yield at
    while tree.dep(at) in _SHARES and tree.head(at) != at and tree.child(at, "nsubj", "nsubjpass") is None:
        at = tree.head(at)
        yield at


def _is_denied(tree: Tree, trigger: int, chain: list[int]) -> bool:
    if any(tree.child(one, "neg") is not None for one in chain):
        return True
    if any(tree.word(child) in _DENIALS for child in tree.children(trigger, "det", "preconj")):
        return True
    return tree.dep(trigger) in {"pobj", "pcomp"} and tree.word(tree.head(trigger)) == "without"


def _is_intended(tree: Tree, trigger: int) -> bool:
    """Say whether the event is what somebody wants, orders, plans or does something for."""
    is_infinitive = any(tree.word(child) == "to" for child in tree.children(trigger, "aux"))
    match tree.dep(trigger):
        case "xcomp" | "ccomp" if tree.head(trigger) != trigger:
            return tree.lemma(tree.head(trigger)) in INTENTION
        case "advcl" | "acl" | "relcl" | "pcomp":
            return is_infinitive
        case "dobj" | "nsubjpass":
            return tree.lemma(tree.head(trigger)) in INTENTION
        case _:
            return False
