"""What goes in comes out: texts that PostgreSQL refuses, keys of any length; and no password comes out at all."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_rows import NOW, a_container, a_job, an_item

from onward.errors import LedgerError
from onward.ledger import audit
from onward.ledger.base import is_url, open_ledger
from onward.ledger.postgres_text import escape, unescape

NASTY = ["", "\0", "\x01", "\x02", "\0\0", "\x01\x01", "\x01\x02", "a\0b", "a\x01b", "\0\x01\x02", "\x00\uffff", "😀\0"]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), st.text("\0\x01\x02a", max_size=8))
def test_law_an_escaped_text_comes_back_and_keeps_its_place(one, other):
    for text in (one, other):
        assert unescape(escape(text)) == text
        assert "\0" not in escape(text)
    assert (one < other) == (escape(one) < escape(other))


def test_texts_with_nul_are_found_ordered_and_journaled_as_they_were(opened):
    ledger = opened()
    job = ledger.create_job(a_job("a\0b\x01"), now=NOW)
    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put(a_container(1, job.id))
        for number, key in enumerate(NASTY, 1):
            tx.put(an_item(number, job.id, 1, key=key, note=key))

    assert ledger.job("a\0b\x01") == job
    assert [known.item.key for known in ledger.known_all(job.id)] == sorted(NASTY)
    for number, key in enumerate(NASTY, 1):
        known = ledger.known(job.id, key)
        assert known is not None
        assert (known.item.id, known.item.note) == (number, key)
    assert audit.problems(ledger, {}) == []


def test_a_lone_surrogate_is_refused_before_anything_is_written(opened):
    """As by every ledger: the journal is UTF-8. The next transaction is as if nothing had been."""
    ledger = opened()
    job = ledger.create_job(a_job(), now=NOW)

    with pytest.raises(UnicodeEncodeError), ledger.transaction(job.id, now=NOW) as tx:
        tx.put(a_container(1, job.id, "\ud800"))

    assert ledger.containers(job.id) == []
    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put(a_container(1, job.id, "whole"))
    assert ledger.head(job.id).seq == 2


@pytest.mark.parametrize("size", [511, 512, 513, 4096, 100_000])
def test_keys_of_any_length_are_told_apart(opened, size):
    """An index of PostgreSQL takes 2,704 bytes; a path may have 4,096, and an id in a line as many as it likes."""
    ledger = opened()
    job = ledger.create_job(a_job(out="/" + "ö" * size), now=NOW)
    keys = ["ö" * size, "ö" * size + "a", "ö" * (size - 1) + "a", "ö" * size + "b"]
    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put(a_container(1, job.id, "ö" * size))
        for number, key in enumerate(keys, 1):
            tx.put(an_item(number, job.id, 1, key=key))

    assert [known.item.key for known in ledger.known_all(job.id)] == sorted(keys)
    for number, key in enumerate(keys, 1):
        known = ledger.known(job.id, key)
        assert known is not None
        assert known.item.id == number
    assert ledger.known(job.id, "ö" * size + "c") is None
    with pytest.raises(LedgerError, match="23505"), ledger.transaction(job.id, now=NOW) as tx:
        tx.put(an_item(9, job.id, 1, key=keys[0]))


def test_a_question_for_one_key_reads_one_row_and_not_the_job(opened):
    ledger = opened()
    job = ledger.create_job(a_job(), now=NOW)
    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put(a_container(1, job.id))
        for number in range(1, 2001):
            tx.put(an_item(number, job.id, 1))
    ledger.server.ask("ANALYZE onward.item")

    plan = ledger.server.ask("EXPLAIN " + ledger.sql["known_by_key"], (job.id, "item-7.html"))

    text = "\n".join(str(row[0]) for row in plan)
    assert "item_by_key" in text
    assert "Seq Scan on item" not in text


@pytest.mark.parametrize(
    "break_it",
    [
        lambda url, secret: url.replace(secret, secret + "x"),
        lambda url, secret: url + "?nonsense=1",
        lambda url, secret: url.replace("127.0.0.1", "no.such.host.invalid"),
        lambda url, secret: url.rpartition("/")[0] + "/no_such_database",
        lambda url, secret: url.replace("@127", "@[127"),
    ],
    ids=["wrong password", "unknown option", "unknown host", "unknown database", "not a URL"],
)
def test_a_url_that_leads_nowhere_is_named_at_once_and_without_its_password(postgres, monkeypatch, break_it):
    monkeypatch.setenv("ONWARD_LEDGER_WAIT_S", "0")  # a host name may come back; the rest is refused at once
    url = break_it(postgres.with_password(), postgres.server.password)

    with pytest.raises(LedgerError) as caught:
        open_ledger(url)

    said = []
    error: BaseException | None = caught.value
    while error is not None:
        said.append(f"{error} {error!r}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert postgres.server.password not in " ".join(said)
    assert "keeper:***@" in str(caught.value)


def test_a_ledger_shows_its_place_without_password_and_keeps_none_in_its_rows(postgres, opened):
    ledger = opened(postgres.with_password())
    job = ledger.create_job(a_job(), now=NOW)

    assert ledger.path == postgres.with_password().replace(postgres.server.password, "***")
    assert postgres.server.password not in str(list(ledger.journal(job.id)))


def test_a_ledger_that_was_closed_leaves_no_connection_behind(postgres):
    ledger = open_ledger(postgres.url)
    job = ledger.create_job(a_job(), now=NOW)
    list(ledger.known_all(job.id))
    ledger.close()
    gc.collect()

    watcher = open_ledger(postgres.url)
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert watcher.server.ask(others) == [(0,)]
    watcher.close()


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("postgresql://h/d", True), ("postgres://h/d", True), ("mysql://h/d", False), ("/a/ledger.db", False)],
)
def test_a_url_of_a_database_is_known_by_its_scheme(text, is_one):
    assert is_url(text) is is_one
