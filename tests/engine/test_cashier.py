"""A machine that asks, pays, gives up and dies at random: nobody pays for what is being paid, nobody waits for ever."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from onward.engine.cashier import Asker, Cashier, Kept

DIGESTS = [bytes([n]) * 32 for n in range(3)]
WORKERS = ["ada", "bob", "cyd"]


class Turns:
    """Turns as a ledger keeps them, with another process that has some."""

    def __init__(self) -> None:
        self.theirs: set[bytes] = set()
        self.ours: set[bytes] = set()

    def take(self, digest: bytes) -> bool:
        if digest in self.theirs:
            return False
        self.ours.add(digest)
        return True

    def give_back(self, digest: bytes) -> None:
        self.ours.discard(digest)


class Counter(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.durable: dict[bytes, str] = {}
        self.turns = Turns()
        self.cashier = Cashier(self.durable.get, self.turns)
        self.open: dict[Asker, bytes] = {}  # asked, and not answered
        self.asking: dict[Asker, bytes] = {}  # told to ask the service
        self.brought: dict[Asker, bytes] = {}  # paid, and not answered
        self.taken: list[Kept] = []
        self.calls = 0
        self.payments: list[bytes] = []

    def _next(self, worker: str) -> Asker:
        self.calls += 1
        return Asker(worker, self.calls)

    @rule(worker=st.sampled_from(WORKERS), digest=st.sampled_from(DIGESTS))
    def ask(self, worker, digest):
        asker = self._next(worker)
        self.open[asker] = digest
        self.cashier.ask(asker, digest)

    @precondition(lambda self: self.asking)
    @rule(data=st.data())
    def pay(self, data):
        was = data.draw(st.sampled_from(sorted(self.asking)))
        digest = self.asking.pop(was)
        asker = self._next(was.worker)
        self.brought[asker] = digest
        self.payments.append(digest)
        self.cashier.keep(asker, Kept(1, digest, "{}", f"answer {digest[0]}", 1, 1, 1))

    @precondition(lambda self: self.asking)
    @rule(data=st.data())
    def give_up(self, data):
        was = data.draw(st.sampled_from(sorted(self.asking)))
        self.cashier.give_up(was.worker, self.asking.pop(was))

    @rule(worker=st.sampled_from(WORKERS))
    def die(self, worker):
        self.cashier.forget(worker)
        for waiting in (self.open, self.asking, self.brought):
            for asker in [asker for asker in waiting if asker.worker == worker]:
                del waiting[asker]

    @precondition(lambda self: self.cashier.has_kept)
    @rule(fails=st.booleans())
    def commit(self, fails):
        taken = self.cashier.take()
        if fails:
            return  # the next commit takes the same, and what has come since
        for kept in taken:
            self.durable.setdefault(kept.digest, kept.answer)
        assert self.cashier.durable() == len(taken)
        assert not self.cashier.has_kept

    @rule(digest=st.sampled_from(DIGESTS))
    def another_process_takes_its_turn(self, digest):
        if digest not in self.turns.ours and digest not in self.durable:
            self.turns.theirs.add(digest)

    @rule(digest=st.sampled_from(DIGESTS), pays=st.booleans())
    def another_process_ends_its_turn(self, digest, pays):
        if digest in self.turns.theirs:
            self.turns.theirs.discard(digest)
            if pays:
                self.payments.append(digest)
                self.durable[digest] = f"answer {digest[0]}"

    @rule()
    def answer(self):
        self.cashier._looked_at = float("-inf")  # time enough went by
        for asker, answer in self.cashier.replies():
            digest = self.open.pop(asker, None) or self.brought.pop(asker, None)
            assert digest is not None, "told twice, or somebody who is dead"
            if answer is None:
                self.asking[asker] = digest
            else:
                assert answer == self.durable[digest] == f"answer {digest[0]}"

    @invariant()
    def a_question_is_asked_by_one_at_a_time(self):
        assert len(set(self.asking.values())) == len(self.asking)

    @invariant()
    def nobody_asks_what_another_process_asks(self):
        assert not set(self.asking.values()) & self.turns.theirs

    @invariant()
    def a_turn_is_kept_no_longer_than_it_is_needed(self):
        wanted = {*self.asking.values(), *self.brought.values(), *self.open.values()}
        assert self.turns.ours <= wanted | {kept.digest for kept in self.cashier.take()}

    @invariant()
    def nothing_is_paid_for_twice(self):
        assert len(set(self.payments)) == len(self.payments)

    def teardown(self) -> None:
        """Whoever is left is answered, when those who ask the service come to an end."""
        self.turns.theirs.clear()
        for _ in range(100):
            self.answer()
            for was in list(self.asking):
                asker = self._next(was.worker)
                digest = self.asking.pop(was)
                self.brought[asker] = digest
                self.cashier.keep(asker, Kept(1, digest, "{}", f"answer {digest[0]}", 1, 1, 1))
            for kept in self.cashier.take():
                self.durable.setdefault(kept.digest, kept.answer)
            self.cashier.durable()
        assert not self.open
        assert not self.brought


TestCounter = Counter.TestCase
TestCounter.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
