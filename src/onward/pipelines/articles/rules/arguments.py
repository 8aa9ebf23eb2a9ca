"""Who did what to whom, where and when: the phrases around a trigger, found in the parse.

Each answer is one stretch of the text as it stands, on one line of it. Nothing is inferred that is not written: a
pronoun stays a pronoun. Which words are triggers is `find.py`'s to say, and how a sentence is looked at `scene.py`'s.
"""

from __future__ import annotations

from typing import NamedTuple

from onward.pipelines.articles.rules.lexicon import LIGHT, STATEMENT, SUFFERED, words
from onward.pipelines.articles.rules.scene import PLACE_LABELS, Scene
from onward.pipelines.articles.rules.tree import Span, Tree

__all__ = ["Arguments", "arguments_of"]

_RELATIVE = frozenset({"who", "whom", "which", "that"})
_NOBODY = frozenset({"what", "which", "that", "whatever", "itself", "himself", "herself", "themselves", "there"})
_PLACE_PREPOSITIONS = words(
    "in at near on off outside inside from to into across around over through throughout along toward towards within "
    "between under beneath beside by"
)
_TIME_PREPOSITIONS = words("in on at during since until till before after by from for over within between")
_OBJECT_PREPOSITIONS = frozenset({"on", "at", "against", "with", "of", "for", "to"})
_TARGET_PREPOSITIONS = frozenset({"of", "against", "on", "for", "with", "at"})
_AIM = frozenset({"against", "of"})
_AIMS = {"attack": _AIM | {"on"}}
"""Prepositions behind a noun whose place is what the happening is aimed at, and not only where it was."""
_INSIDE = frozenset({"in", "during", "by"})
_CLAUSE_CHARS_MAX = 240
_ACTIVE_ENDING = "ing"
_PARTICIPLE_ENDINGS = ("ed", "shot", "beaten")
_WITHOUT_OBJECT = words("appeal clash combat die drown escort fire perish plead rule suffocate testify try")
_HARMS = frozenset({"death", "injury", "justice", "attack", "rescue"})
"""Types whose verbs do something to somebody, so that two of them side by side share their object."""


class Arguments(NamedTuple):
    """The phrases around one trigger; None where the text has none."""

    who: Span | None = None
    what: Span | None = None
    whom: Span | None = None
    where: Span | None = None
    when: Span | None = None


def arguments_of(scene: Scene, trigger: int, kind: str) -> Arguments:
    """Return the phrases around the trigger at this position.

    Args:
        scene: The sentence, with all its triggers.
        trigger: Position of the verb, noun or adjective.
        kind: Type of the event; what was said counts as `what`.
    """
    match scene.tree.pos(trigger):
        case "VERB":
            who, patients = _of_verb(scene, trigger, kind)
        case "ADJ":
            who, patients = None, _of_adjective(scene, trigger)
        case _:
            who, patients = _of_noun(scene, trigger, kind)
    if who is not None and scene.tree.word(who) in _NOBODY:
        who = None
    what = whom = None
    for patient in patients:
        if scene.is_person(patient) or (kind in {"death", "injury"} and not scene.label(patient)):
            whom = whom or scene.phrase(patient)
        else:
            what = what or scene.phrase(patient)
    if what is None and kind == STATEMENT:
        what = _said(scene.tree, trigger)
    return Arguments(
        who=None if who is None else scene.phrase(who),
        what=what,
        whom=whom,
        where=_where(scene, trigger),
        when=_when(scene, trigger),
    )


def _of_verb(scene: Scene, verb: int, kind: str) -> tuple[int | None, list[int]]:
    """Return who does it, and to what or whom it is done."""
    tree = scene.tree
    who = _antecedent(tree, tree.child(verb, "nsubj"))
    agent = tree.child(verb, "agent")
    has_subject = who is not None or tree.child(verb, "nsubjpass", "csubj") is not None
    if agent is None and who is not None and (_is_left_so(tree, verb) or _is_headline(tree, verb, kind)):
        return None, [who]
    named = (_antecedent(tree, at) for at in tree.children(verb, "nsubjpass", "dobj", "dative"))
    patients = [at for at in named if at is not None and _is_object(scene, at)]
    if agent is not None:
        who = tree.child(agent, "pobj")
    if not has_subject:
        borrowed, suffers = _stray(scene, verb) or _borrowed(tree, verb)
        if borrowed is not None and (suffers or agent is not None):
            return who, [borrowed, *patients]
        who = borrowed if agent is None else who
    return who, patients or _shared_object(scene, verb, kind) or _object_behind(scene, verb, kind)


def _is_left_so(tree: Tree, verb: int) -> bool:
    """Say whether a participle tells how something was left: `with seven jets destroyed`."""
    return (
        tree.dep(verb) in {"pcomp", "advcl", "acl"}
        and not tree.word(verb).endswith(_ACTIVE_ENDING)
        and tree.child(verb, "mark", "aux", "advmod", "dobj", "ccomp", "xcomp") is None
    )


def _is_headline(tree: Tree, verb: int, kind: str) -> bool:
    """Say whether a verb without object is a participle that a headline leaves alone: `Woman killed in Queens`."""
    return (
        kind in _HARMS
        and tree.dep(verb) in {"ROOT", "conj", "parataxis"}
        and tree.word(verb).endswith(_PARTICIPLE_ENDINGS)
        and tree.lemma(verb) not in _WITHOUT_OBJECT
        and tree.child(verb, "dobj", "aux", "auxpass", "ccomp", "xcomp", "prt", "conj", "dative") is None
        and not any(tree.word(at) in {"at", "on", "against", "to"} for at in tree.children(verb, "prep"))
    )


def _stray(scene: Scene, verb: int) -> tuple[int, bool] | None:
    """Return the subject of a clause that begins its line, where the parser gave that place to the line before."""
    tree = scene.tree
    if tree.head(verb) != verb or tree.is_first_line(verb):
        return None
    strays = [at for at in range(verb) if tree.is_cut(at) and tree.pos(at) in {"NOUN", "PROPN", "PRON"}]
    if not strays or not tree.same_line(strays[-1], verb) or scene.is_time(strays[-1]):
        return None
    return strays[-1], tree.child(verb, "auxpass") is not None


def _shared_object(scene: Scene, verb: int, kind: str) -> list[int]:
    """Return the object of the verb beside this one: `police arrested and questioned the student`."""
    tree = scene.tree
    if kind not in _HARMS:
        return []
    return [
        at
        for other in tree.children(verb, "conj")
        if tree.child(other, "nsubj", "nsubjpass", "auxpass") is None
        for at in tree.children(other, "dobj")
        if _is_object(scene, at)
    ][:1]


def _object_behind(scene: Scene, verb: int, kind: str) -> list[int]:
    """Return what a verb without an object names behind a preposition: `accused of murder`."""
    tree = scene.tree
    if kind == "movement":
        return []
    return [
        at
        for prep in tree.children(verb, "prep")
        if tree.word(prep) in _OBJECT_PREPOSITIONS
        for at in tree.children(prep, "pobj")
        if not scene.is_place(at) and _is_object(scene, at)
    ][:1]


def _borrowed(tree: Tree, verb: int) -> tuple[int | None, bool]:
    """Return the subject that a verb without one shares with another word, and whether it suffers what is told."""
    dep, head = tree.dep(verb), tree.head(verb)
    if head == verb:
        return None, False
    is_active = tree.word(verb).endswith(_ACTIVE_ENDING)
    is_passive = tree.child(verb, "auxpass") is not None
    match dep:
        case "acl":
            # A man driving a car does it; a man accused of something suffers it; a plan to do it has no doer here.
            if tree.child(verb, "aux") is not None and not is_active:
                return None, False
            return _antecedent(tree, head), not is_active
        case "conj" if tree.pos(head) == "VERB":
            own = _subject(tree, head)
            if own is None:
                found, suffers = _borrowed(tree, head)
                return found, suffers or is_passive
            shares = tree.child(head, "nsubjpass") is not None and not is_active and tree.child(verb, "dobj") is None
            return own, is_passive or shares
        case "xcomp" | "advcl" | "pcomp":
            return _from_above(tree, verb, is_participle=not is_active and dep == "advcl", is_passive=is_passive)
        case _:
            return None, False


def _from_above(tree: Tree, verb: int, *, is_participle: bool, is_passive: bool) -> tuple[int | None, bool]:
    """Return the subject of the clause that a verb depends on; of `forced him to leave` it is the object."""
    for above in tree.ancestors(verb):
        if tree.pos(above) in {"VERB", "AUX"}:
            own = tree.child(above, "dobj") if tree.dep(verb) == "xcomp" else None
            own = own if own is not None else _subject(tree, above)
            if own is None:
                own = _borrowed(tree, above)[0]
            is_bare = tree.child(verb, "mark", "aux", "advmod") is None
            return own, is_passive or (is_participle and is_bare)
    return None, False


def _subject(tree: Tree, verb: int) -> int | None:
    return _antecedent(tree, tree.child(verb, "nsubj", "nsubjpass"))


def _antecedent(tree: Tree, at: int | None) -> int | None:
    """Return the noun that a relative pronoun stands for; any other word itself."""
    if at is None or tree.word(at) not in _RELATIVE:
        return at
    verb = tree.head(at)
    while tree.dep(verb) in {"conj", "xcomp", "ccomp"} and tree.head(verb) != verb:
        verb = tree.head(verb)
    return tree.head(verb) if tree.dep(verb) == "relcl" else at


def _is_object(scene: Scene, at: int) -> bool:
    """Say whether an object is one; a time, a reflexive and the place of `take place` are none."""
    return not scene.is_time(at) and scene.tree.word(at) not in _NOBODY | {"it", "place"}


def _of_adjective(scene: Scene, at: int) -> list[int]:
    """Return whom an adjective tells of: `three people were dead`."""
    tree = scene.tree
    holder = tree.head(at) if tree.head(at) != at else at
    subject = _subject(tree, holder)
    if subject is None:
        subject = tree.child(holder, "dobj") if tree.dep(at) == "oprd" else tree.child(at, "nsubj", "npadvmod")
    return [] if subject is None else [subject]


def _of_noun(scene: Scene, noun: int, kind: str) -> tuple[int | None, list[int]]:
    """Return who does what a noun names, and to what or whom it is done."""
    tree = scene.tree
    who: int | None = None
    patients: list[int] = []
    for prep in tree.children(noun, "prep", "agent"):
        word = tree.word(prep)
        for at in tree.children(prep, "pobj"):
            if scene.is_time(at) or (scene.is_place(at) and word not in _AIMS.get(kind, _AIM)):
                continue
            if word == "by":
                who = at
            elif word in _TARGET_PREPOSITIONS:
                patients.append(at)
    owner = tree.child(noun, "poss")
    if owner is not None and not scene.is_time(owner):
        if kind in SUFFERED:
            patients.insert(0, owner)
        elif who is None:
            who = owner
    if who is None and tree.dep(noun) == "dobj" and tree.lemma(tree.head(noun)) in LIGHT:
        verb = tree.head(noun)
        who = _antecedent(tree, tree.child(verb, "nsubj"))
        who = who if who is not None else _borrowed(tree, verb)[0]
    return who, patients


def _said(tree: Tree, verb: int) -> Span | None:
    """Return the clause that a verb of saying reports, when it is not long."""
    clause = tree.child(verb, "ccomp")
    if clause is None:
        return None
    found = sorted(tree.below(clause))
    while len(found) > 1 and tree.word(found[0]) == "that" and tree.dep(found[0]) == "mark":
        found.pop(0)
    start, end = tree.trimmed(found[0], found[-1], around=clause)
    own = tree.tokens[verb]
    is_apart = end <= own["start"] or own["end"] <= start
    return (start, end) if is_apart and end - start <= _CLAUSE_CHARS_MAX else None


def _where(scene: Scene, trigger: int) -> Span | None:
    """Return the place: a name of one behind a preposition, else a noun that means one."""
    tree = scene.tree
    best: tuple[int, int] | None = None
    for at in scene.reach(trigger):
        if at == trigger or tree.dep(at) != "pobj" or not scene.is_place(at):
            continue
        prep = tree.head(at)
        if tree.word(prep) not in _PLACE_PREPOSITIONS:
            continue
        rank = (0 if scene.label(at) else 1) + (0 if tree.head(prep) == trigger else 2)
        if best is None or rank < best[0]:
            best = rank, at
    if best is not None:
        return scene.phrase(best[1])
    if tree.pos(trigger) != "VERB":
        named = [at for at in tree.children(trigger, "compound", "nmod", "amod") if scene.label(at) in PLACE_LABELS]
        return scene.phrase(named[-1]) if named else None
    for prep in tree.children(trigger, "prep", "agent"):
        for at in tree.children(prep, "pobj"):
            # Three were killed in an attack in Kabul: where the attack was, there they were killed.
            if at in scene.triggers and tree.word(prep) in _INSIDE:
                return _where(scene, at)
    return None


def _when(scene: Scene, trigger: int) -> Span | None:
    """Return the time: a name of one in the trigger's clause, else a noun that means one where times stand."""
    tree = scene.tree
    for wants_name in (True, False):
        for at in scene.reach(trigger):
            if at == trigger or not scene.is_time(at) or bool(scene.label(at)) != wants_name:
                continue
            dep, head = tree.dep(at), tree.head(at)
            if dep in {"npadvmod", "advmod", "nmod"} and (head == trigger or tree.pos(head) in {"VERB", "AUX", "ADV"}):
                return scene.phrase(at)
            if dep == "pobj" and tree.word(head) in _TIME_PREPOSITIONS:
                return scene.phrase(at)
            if wants_name and head == trigger and dep in {"compound", "nmod", "poss", "amod", "nummod", "appos", "dep"}:
                return scene.phrase(at)
    return None
