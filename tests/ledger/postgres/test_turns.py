"""Of many processes one asks a service the same question, and one that died is not waited for for ever."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from onward.engine.cashier import Asker, Reply, cashier_of
from onward.ledger.memory import MemoryLedger
from onward.ledger.postgres import PostgresLedger
from onward.ledger.postgres_connection import Server
from onward.ledger.postgres_turns import PostgresTurns

DIGEST = b"\x07" * 32


@pytest.fixture
def two(postgres_url: str) -> Iterator[tuple[PostgresLedger, PostgresLedger]]:
    one, other = PostgresLedger(postgres_url), PostgresLedger(postgres_url)
    yield one, other
    one.close()
    other.close()


def test_a_turn_is_one_process_s_until_it_gives_it_back(two):
    one, other = (ledger.turns for ledger in two)

    assert one.take(DIGEST)
    assert one.take(DIGEST)
    assert not other.take(DIGEST)
    assert other.take(b"\x08" * 32)
    other.give_back(DIGEST)
    assert not other.take(DIGEST)
    one.give_back(DIGEST)
    one.give_back(DIGEST)
    assert other.take(DIGEST)
    assert not one.take(DIGEST)


def test_a_turn_that_is_not_kept_ends_by_the_server_s_clock(two, postgres_url):
    server = Server(postgres_url)
    short = PostgresTurns(server, turn_s=0.3)
    assert short.take(DIGEST)
    assert not two[0].turns.take(DIGEST)
    until = time.monotonic() + 10
    while not two[0].turns.take(DIGEST):
        assert time.monotonic() < until, "the turn never ended"
        time.sleep(0.02)

    assert not short.take(DIGEST)
    server.close()


def test_a_cashier_waits_for_another_process_and_asks_when_that_one_gives_up(two):
    one, other = (cashier_of(ledger) for ledger in two)
    ada, bob = Asker("ada", 1), Asker("bob", 1)
    one.ask(ada, DIGEST)
    other.ask(bob, DIGEST)

    assert one.replies() == [Reply(ada, None)]
    assert other.replies() == []
    one.give_up("ada", DIGEST)
    until = time.monotonic() + 10
    while not (replies := other.replies()):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert replies == [Reply(bob, None)]


def test_a_ledger_of_one_process_at_a_time_has_no_turns():
    assert MemoryLedger().turns is None
