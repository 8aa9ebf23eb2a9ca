"""The parser's relations in the words of Universal Dependencies, so that a gold set in these can be compared.

The model speaks ClearNLP's scheme: a preposition heads its noun, a copula its predicate, each conjunct the next one.
Universal Dependencies let the word of content head. The two differ by convention, not by what the parser saw, and what
can be turned over by rule is turned over here. Used by `accuracy.py` alone; the output keeps the model's own scheme.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["universal"]

_PLAIN = {
    "nsubj": "nsubj",
    "nsubjpass": "nsubj",
    "csubj": "csubj",
    "csubjpass": "csubj",
    "dobj": "obj",
    "dative": "iobj",
    "acomp": "xcomp",
    "oprd": "xcomp",
    "attr": "xcomp",
    "auxpass": "aux",
    "neg": "advmod",
    "relcl": "acl",
    "poss": "nmod",
    "prt": "compound",
    "quantmod": "advmod",
    "npadvmod": "obl",
    "predet": "det",
    "preconj": "cc",
    "intj": "discourse",
    "agent": "obl",
    "prep": "obl",
    "pobj": "obl",
    "pcomp": "advcl",
    "meta": "dep",
}
_PREPOSITIONS = frozenset({"prep", "agent", "dative"})
_INSIDE = frozenset({"pobj", "pcomp"})
_NOMINAL = frozenset({"NOUN", "PROPN", "PRON", "NUM", "SYM"})


def universal(tokens: Sequence[Mapping[str, Any]]) -> list[tuple[int, str]]:
    """Return head and relation of each token of a sentence, without subtypes.

    Args:
        tokens: As `dependencies` gives them.

    Returns:
        The head counted from 0 within the sentence; a root points to itself and is called `root`.
    """
    heads = [int(token["head"]) for token in tokens]
    deps = [str(token["dep"]) for token in tokens]
    for at, token in enumerate(tokens):
        if token["dep"] == "prep" and tokens[heads[at]]["pos"] in _NOMINAL:
            deps[at] = "prep:noun"
    _turn_prepositions(heads, deps)
    _turn_copulas(tokens, heads, deps)
    _hang_conjuncts_on_first(heads, deps)
    _turn_names(tokens, heads, deps)
    for at, token in enumerate(tokens):
        if token["dep"] == "aux" and token["pos"] == "PART":
            deps[at] = "mark"
        if heads[at] == at:
            deps[at] = "root"
    return [(head, _plain(dep)) for head, dep in zip(heads, deps, strict=True)]


def _plain(dep: str) -> str:
    return {"prep:noun": "nmod", "ROOT": "root"}.get(dep) or _PLAIN.get(dep, dep)


def _turn_prepositions(heads: list[int], deps: list[str]) -> None:
    """Let the noun behind a preposition take its place, and the preposition hang on it."""
    for at in range(len(heads) - 1, -1, -1):
        if deps[at].partition(":")[0] not in _PREPOSITIONS:
            continue
        inner = next((one for one in range(at + 1, len(heads)) if heads[one] == at and deps[one] in _INSIDE), None)
        if inner is None:
            continue
        is_clause = deps[inner] == "pcomp"
        is_root = heads[at] == at
        for one in range(len(heads)):
            if heads[one] == at and one != inner and deps[one] not in {"advmod", "npadvmod"}:
                heads[one] = inner
        heads[inner] = inner if is_root else heads[at]
        clause = "acl" if deps[at] == "prep:noun" else "advcl"
        deps[inner] = clause if is_clause else deps[at].replace("dative", "obl")
        heads[at], deps[at] = inner, "mark" if is_clause else "case"


def _turn_copulas(tokens: Sequence[Mapping[str, Any]], heads: list[int], deps: list[str]) -> None:
    """Let the predicate of `be` take its place, and `be` hang on it."""
    for at, token in enumerate(tokens):
        if token["lemma"] != "be" or deps[at] in {"aux", "auxpass"}:
            continue
        inner = next((one for one in range(len(heads)) if heads[one] == at and deps[one] in {"attr", "acomp"}), None)
        if inner is None:
            continue
        is_root = heads[at] == at
        for one in range(len(heads)):
            if heads[one] == at and one not in {inner, at}:
                heads[one] = inner
        heads[inner], deps[inner] = (inner, "root") if is_root else (heads[at], deps[at])
        heads[at], deps[at] = inner, "cop"


def _hang_conjuncts_on_first(heads: list[int], deps: list[str]) -> None:
    """Hang every conjunct on the first one, and a conjunction on the conjunct behind it."""
    for at, dep in enumerate(deps):
        if dep == "cc":
            behind = [one for one in range(at + 1, len(heads)) if heads[one] == heads[at] and deps[one] == "conj"]
            if behind:
                heads[at] = behind[0]
    for at, dep in enumerate(deps):
        while dep == "conj" and deps[heads[at]] == "conj" and heads[at] != at:
            heads[at] = heads[heads[at]]


def _turn_names(tokens: Sequence[Mapping[str, Any]], heads: list[int], deps: list[str]) -> None:
    """Let the first word of a person's name head it, where the words stand side by side."""
    for at in range(len(heads)):
        names = [one for one in range(at) if heads[one] == at and deps[one] == "compound"]
        parts = [one for one in names if tokens[one].get("is_person") and tokens[at].get("is_person")]
        if not parts:
            continue
        first = parts[0]
        for one in range(len(heads)):
            if heads[one] == at and one != first:
                heads[one] = first
        heads[first], deps[first] = (first, "root") if heads[at] == at else (heads[at], deps[at])
        for one in (*parts[1:], at):
            heads[one], deps[one] = first, "flat"
