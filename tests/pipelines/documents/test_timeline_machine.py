"""Versions handed over in any order, late, twice, corrected, deleted, with crashes between: as-of answers are exact.

The model is a list of everything that was ever handed over; an answer is found by looking at all of it.
"""

from __future__ import annotations

import shutil
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from documents_farm import DocumentsFarm
from onward import clock
from onward.engine.batch import Options
from onward.engine.by_hand import ByHand, Handed
from onward.model.record import to_digest
from onward.pipelines.documents.pipeline import pipeline

KEYS = ("a.md", "b/c.txt", "d.html")
TIMES = st.integers(0, 6)
CONTENTS = st.sampled_from([b"# One\n\nthe first", b"# Two\n\nthe second", b"# Three\n\nthe third", b""])


class Told(NamedTuple):
    """One version that the model knows of; `order` is its place in the order of recording."""

    document: str
    valid_from: int
    sequence: int
    order: int
    recorded_after: int
    content: bytes | None


def holds(told: list[Told], document: str, at: int) -> bytes | None:
    """Return what a document was at an instant, by looking at everything."""
    candidates = [one for one in told if one.document == document and one.valid_from <= at]
    return max(candidates, key=lambda one: one[1:4]).content if candidates else None


class Timelines(RuleBasedStateMachine):
    """One job, and everything that was handed over to it."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp())
        self.farm = DocumentsFarm.of(self.base, {})
        self.told: list[Told] = []
        self.by_hand: ByHand | None = None

    @initialize()
    def begin(self) -> None:
        options = Options(state=str(self.farm.state), settings=self.farm.settings)
        self.by_hand = ByHand(pipeline, str(self.farm.out), options=options)

    def teardown(self) -> None:
        if self.by_hand is not None:
            self.by_hand.close()
            self.farm.assert_in_step()
        shutil.rmtree(self.base)

    def tell(self, document: str, at: int, sequence: int | None, content: bytes | None) -> Handed:
        same = [one for one in self.told if (one.document, one.valid_from) == (document, at)]
        standing = max(same, key=lambda one: one[1:4], default=None)
        if sequence is None:
            is_new = standing is None or standing.content != content
            place = 0 if standing is None else standing.sequence + 1
        else:
            slot = max((one for one in same if one.sequence == sequence), key=lambda one: one.order, default=None)
            is_new = slot is None or slot.content != content
            place = sequence
        if is_new:
            self.told.append(Told(document, at, place, len(self.told), clock.now(), content))
        return Handed(document, content, at, sequence)

    @rule(document=st.sampled_from(KEYS), at=TIMES, content=st.one_of(st.none(), CONTENTS))
    def put_without_a_place(self, document: str, at: int, content: bytes | None) -> None:
        assert self.by_hand is not None
        before = len(self.told)
        assert self.by_hand.put(self.tell(document, at, None, content)) == (len(self.told) > before)

    @rule(document=st.sampled_from(KEYS), at=TIMES, place=st.integers(0, 3), content=st.one_of(st.none(), CONTENTS))
    def put_at_a_place(self, document: str, at: int, place: int, content: bytes | None) -> None:
        assert self.by_hand is not None
        before = len(self.told)
        assert self.by_hand.put(self.tell(document, at, place, content)) == (len(self.told) > before)

    @rule(many=st.lists(st.tuples(st.sampled_from(KEYS), TIMES, st.integers(0, 3), CONTENTS), max_size=8))
    def put_many(self, many: list[tuple[str, int, int, bytes]]) -> None:
        assert self.by_hand is not None
        before = len(self.told)
        versions = [self.tell(*one) for one in many]
        assert self.by_hand.put_all(versions) == len(self.told) - before

    @rule()
    def crash_between_two_versions(self) -> None:
        assert self.by_hand is not None
        self.by_hand._open.close()  # all that a process lets go of when it dies
        self.begin()

    @rule()
    def end(self) -> None:
        assert self.by_hand is not None
        self.by_hand.close()
        self.begin()

    @invariant()
    def every_answer_is_that_of_the_model(self) -> None:
        if self.by_hand is None:
            return
        with self.farm.ledger() as ledger:
            (job,) = ledger.jobs()
            for at in range(-1, 8):
                held = {key: holds(self.told, key, at) for key in KEYS}
                wanted = {key: sha256(found).hexdigest() for key, found in held.items() if found is not None}
                tree = {key: to_digest(row.content or b"") for key, row in ledger.tree_at(job.id, at)}
                assert {key: digest.removeprefix("sha256:") for key, digest in tree.items()} == wanted
                for key in KEYS:
                    document = ledger.document(job.id, key)
                    row = None if document is None else next(iter(ledger.validities(document.id, until=at)), None)
                    assert (tree.get(key) is None) == (row is None or row.content is None)

    @invariant()
    def what_was_known_earlier_can_still_be_asked_for(self) -> None:
        if not self.told:
            return
        with self.farm.ledger() as ledger:
            (job,) = ledger.jobs()
            rows = sorted(
                (row.recorded_at, document.key, row)
                for document in ledger.documents(job.id)
                for row in ledger.validities(document.id)
            )
            known_at = rows[len(rows) // 2][0]
            known = [row for row in rows if row[0] <= known_at]
            for key in KEYS:
                of_key = [row for _, document, row in known if document == key and row.valid_from <= 3]
                wanted = max(of_key, key=lambda row: row[1:4], default=None)
                document = ledger.document(job.id, key)
                found = None if document is None else next(
                    iter(ledger.validities(document.id, until=3, known_at=known_at)), None
                )
                assert found == wanted


Timelines.TestCase.settings = settings(
    max_examples=15, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTimelines = Timelines.TestCase
