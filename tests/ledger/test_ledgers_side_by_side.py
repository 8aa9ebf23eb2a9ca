"""A machine that drives a real ledger beside the memory one: every answer is the same after every step.

And the law of the journal: what all entries fold to is what the tables hold.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from ledger_rows import (
    NOW,
    a_container,
    a_control,
    a_document,
    a_job,
    a_publish,
    a_receipt,
    a_recipe,
    a_run,
    a_validity,
    a_version,
    an_attempt,
    an_item,
    answers,
    digest,
)

from onward.errors import LeaseLost, OutputTaken
from onward.ledger import audit, journal
from onward.ledger.base import Archive, SignatureRow, open_ledger
from onward.ledger.care import rebuild
from onward.ledger.memory import MemoryLedger
from onward.model.record import TABLES
from onward.model.states import ItemState, Outcome, Request, RunStatus

KINDS = ("job", "run", "recipe", "container", "item", "attempt", "version", "publish", "confirm", "control", "receipt",
         "document", "validity", "validity", "signature", "forget", "forget all", "memo", "archive")
SMALL = st.integers(0, 7)
OPERATIONS = st.lists(st.tuples(st.sampled_from(KINDS), SMALL, SMALL), max_size=8)


class Abandoned(Exception):
    pass


class SideBySide(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.path = self.new_place()
        self.real = open_ledger(self.path)
        self.memory = MemoryLedger()
        self.memory.uuid = self.real.uuid
        self.now = NOW

    def new_place(self) -> str:
        return tempfile.mkdtemp() + "/ledger.db"

    def remove(self) -> None:
        shutil.rmtree(os.path.dirname(self.path))

    def teardown(self) -> None:
        self.real.close()
        self.remove()

    @property
    def both(self) -> tuple[Any, Any]:
        return self.real, self.memory

    @rule(name=st.sampled_from("abc"), out=st.sampled_from("xyz"))
    def create_a_job(self, name, out):
        self.now += 1
        ends = []
        for ledger in self.both:
            try:
                ends.append(ledger.create_job(a_job(name, out=out), now=self.now))
            except OutputTaken:
                ends.append(None)
        assert ends[0] == ends[1]

    @precondition(lambda self: self.memory.jobs())
    @rule(which=SMALL, operations=OPERATIONS, ends=st.sampled_from(["well", "well", "well", "badly"]))
    def write(self, which, operations, ends):
        self.now += 1
        jobs = self.memory.jobs()
        job = jobs[which % len(jobs)]
        try:
            with (
                self.real.transaction(job.id, now=self.now) as one,
                self.memory.transaction(job.id, now=self.now) as two,
            ):
                world = World(job, two)
                for kind, a, b in operations:
                    world.apply(kind, a, b, (one, two))
                if ends == "badly":
                    raise Abandoned
        except Abandoned:
            pass

    @precondition(lambda self: self.memory.jobs())
    @rule(which=SMALL, fence=SMALL)
    def write_with_a_fence(self, which, fence):
        jobs = self.memory.jobs()
        job = jobs[which % len(jobs)]
        ends = []
        for ledger in self.both:
            try:
                with ledger.transaction(job.id, now=self.now, fence=fence) as tx:
                    tx.put(job._replace(options='{"fenced":true}'))
                ends.append("written")
            except LeaseLost:
                ends.append("refused")
        assert ends[0] == ends[1] == ("written" if job.run_id == fence else "refused")

    @rule(writes=st.booleans())
    def open_again(self, writes):
        self.real.close()
        if not writes:
            reader = open_ledger(self.path, writes=False)
            assert answers(reader) == answers(self.memory)
            reader.close()
        self.real = open_ledger(self.path)
        assert self.real.lost == {}

    @rule()
    def rebuild_from_the_journal(self):
        self.real.close()
        rebuild(self.path)
        self.real = open_ledger(self.path)
        # What is not journaled a rebuilt ledger does not have.
        for cached in (self.memory._signatures, self.memory._memos, self.memory._archives):
            cached.clear()

    @invariant()
    def every_answer_is_the_same(self):
        assert answers(self.real) == answers(self.memory)

    @invariant()
    def the_journal_folds_to_the_tables(self):
        assert audit.problems(self.real, {}) == []
        tables = {name: {} for name in TABLES}
        for job in self.memory.jobs():
            for table, rows in journal.fold(self.memory.journal(job.id)).items():
                tables[table].update(rows)
        assert tables == self.memory._tables


class World:
    """Makes rows that the schema allows, from two small numbers and what is there."""

    def __init__(self, job, reader) -> None:
        self.job = job
        self.reader = reader
        self.runs = [run.id for run in reader.runs(job.id)]
        self.recipes = [row.id for row in reader.recipes(job.id)]
        self.containers = [row.id for row in reader.containers(job.id)]
        self.controls = [row.id for row in reader.controls(job.id)]
        self.items = {known.item.id: known.item for known in reader.known_all(job.id)}
        self.documents = [row.id for row in reader.documents(job.id)]
        self.receipts = [row.id for item_id in self.items for row in reader.receipts_of_item(item_id)]

    def apply(self, kind, a, b, txs) -> None:
        match kind:
            case "job":
                self._put(txs, self.job._replace(status=list(RunStatus)[a % 7].value, run_id=b))
            case "run":
                run_id = self._id(txs, "run", self.runs, a)
                status = list(RunStatus)[b % 7]
                finished = None if status is RunStatus.RUNNING else NOW + b
                self._put(txs, a_run(run_id, self.job.id, status=status.value, finished_at=finished))
            case "recipe":
                self._put(txs, a_recipe(self._id(txs, "recipe", self.recipes, a), self.job.id))
            case "container":
                self._put(txs, a_container(self._id(txs, "container", self.containers, a), self.job.id))
            case "item" if self.containers:
                item_id = self._id(txs, "item", self.items, a)
                state = list(ItemState)[b % 5].value
                item = an_item(item_id, self.job.id, self.containers[b % len(self.containers)], state=state,
                               version=a % 3 or None, serial=b, note=None if a % 2 else "ä\n")
                self.items[item_id] = item
                self._put(txs, item)
            case "attempt" if self.items and self.runs:
                outcome = [None, *Outcome][a % 5]
                self._put(txs, an_attempt(
                    self._pick(list(self.items), a), b + 1, self._pick(self.runs, b), outcome=outcome and outcome.value,
                    finished_at=None if outcome is None else NOW + a * 7 % 5, content=digest(b) if b % 2 else None,
                ))
            case "version" if self.items and self.recipes:
                row = a_version(self._pick(list(self.items), a), b % 3 + 1, self._pick(self.recipes, b))
                self._put(txs, row._replace(output=f"shared-{b % 2}.json"))
            case "publish" if self.items:
                kind = ("output", "quarantine", "retract")[b % 3]
                self._put(txs, a_publish(self._pick(list(self.items), a), b, kind=kind))
            case "confirm" if self.items:
                for tx in txs:
                    tx.drop_publish(self._pick(list(self.items), a))
            case "control":
                row = a_control(self._id(txs, "control", self.controls, a), self.job.id, list(Request)[b % 4].value)
                self._put(txs, row._replace(obeyed_at=NOW + b if a % 2 else None))
            case "receipt" if self.items and self.runs:
                item_id, run_id = self._pick(list(self.items), a), self._pick(self.runs, b)
                row = a_receipt(self._id(txs, "receipt", self.receipts, a), self.job.id, item_id, run_id)
                self._put(txs, row._replace(digest=digest(("question", b % 4)), tokens_in=a, cost_micro=a * b))
            case "document":
                document_id = self._id(txs, "document", self.documents, a)
                self._put(txs, a_document(document_id, self.job.id, f"doc-{'ä' * b}{document_id}.md"))
            case "validity" if self.documents and self.items:
                row = a_validity(self._pick(self.documents, a), NOW + b % 3, self._pick(list(self.items), b))
                self._put(txs, row._replace(
                    sequence=a % 3 - 1, serial=a // 3 + 1, recorded_at=NOW + a, number=b or None,
                    content=None if (a + b) % 3 == 0 else digest(b),
                ))
            case "signature" if self.containers:
                for tx in txs:
                    tx.put_signature(SignatureRow(self._pick(self.containers, a), bytes([b]), b"o", "[]", "[1]"))
            case "forget" if self.containers:
                for tx in txs:
                    tx.drop_signature(self._pick(self.containers, a))
            case "forget all":
                for tx in txs:
                    tx.drop_signature()
            case "memo":
                for tx in txs:
                    tx.put_memo("abc"[a % 3], bytes([b]))
            case "archive":
                for tx in txs:
                    tx.put_archive(Archive(self.job.id, a + 1, digest(b), f"part-{b}", NOW))

    def _id(self, txs, table, ids, a):
        """Return an id that is there, or a new one, the same from both ledgers."""
        if ids and a % 2:
            return self._pick(list(ids), a)
        one, two = (tx.allocate(table) for tx in txs)
        assert one == two
        if isinstance(ids, list):
            ids.append(one)
        return one

    @staticmethod
    def _pick(ids, at):
        return ids[at % len(ids)]

    @staticmethod
    def _put(txs, row) -> None:
        for tx in txs:
            tx.put(row)


def _drive(examples: int, steps: int, machine: type[SideBySide] = SideBySide) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


def _beside_postgres(postgres) -> type[SideBySide]:
    class PostgresSideBySide(SideBySide):
        def new_place(self) -> str:
            return postgres.url

        def remove(self) -> None:
            import psycopg

            with psycopg.connect(postgres.url, autocommit=True) as db:
                db.execute("SET client_min_messages = warning")
                for (schema,) in db.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'onward%'").fetchall():
                    db.execute(f"DROP SCHEMA {schema} CASCADE".encode())

    return PostgresSideBySide


def test_law_sqlite_and_memory_never_differ():
    _drive(25, 15)


def test_law_postgres_and_memory_never_differ(postgres):
    _drive(5, 10, _beside_postgres(postgres))


@pytest.mark.long
def test_law_sqlite_and_memory_never_differ_over_many_steps():
    _drive(300, 60)


@pytest.mark.long
def test_law_postgres_and_memory_never_differ_over_many_steps(postgres):
    _drive(60, 40, _beside_postgres(postgres))
