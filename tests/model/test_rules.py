"""Small rules: attempts, waiting, states, checks, versions in force, digests as bytes."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.model.attempt import ATTEMPTS_MAX, after_failure
from onward.model.backoff import delay_s
from onward.model.record import KEY_WIDTH, NAMES, TABLES, to_blob, to_digest
from onward.model.states import ITEM_MOVES, RUN_MOVES, ItemState, RunStatus, may_move
from onward.model.validation import Check, Status, Validation
from onward.model.validity import as_of

# -- attempts


@given(st.integers(0, 50), st.booleans(), st.integers(1, 50))
def test_law_a_failure_spends_one_try_and_ends_failed_or_quarantined(before, transient, attempts_max):
    verdict = after_failure(tries_before=before, transient=transient, attempts_max=attempts_max)

    assert verdict.tries == before + 1
    assert verdict.state in (ItemState.FAILED, ItemState.QUARANTINED)
    assert (verdict.state is ItemState.FAILED) == (transient and before + 1 < attempts_max)


@given(st.integers(1, 20))
def test_law_failing_again_and_again_ends_in_quarantine_after_so_many_tries(attempts_max):
    tries, state = 0, ItemState.FAILED
    while state is ItemState.FAILED:
        state, tries = after_failure(tries_before=tries, transient=True, attempts_max=attempts_max)

    assert tries == attempts_max


def test_an_error_that_will_come_again_is_not_tried_again():
    assert after_failure(tries_before=0, transient=False).state is ItemState.QUARANTINED


def test_an_item_has_three_tries_unless_told_otherwise():
    assert ATTEMPTS_MAX == 3


# -- waiting


@given(st.integers(0, 10**6), st.floats(0, 1, exclude_max=True))
def test_law_a_wait_is_between_half_its_bound_and_its_bound(tries, chance):
    wait = delay_s(tries, chance)

    assert 0.25 <= wait <= 60
    assert delay_s(tries, 0.0) <= wait <= 2 * delay_s(tries, 0.0)


@given(st.integers(1, 2000), st.floats(0, 1, exclude_max=True))
def test_law_waits_never_get_shorter(tries, chance):
    assert delay_s(tries, chance) <= delay_s(tries + 1, chance)


def test_waits_double_until_a_minute():
    assert [delay_s(tries, 1.0) for tries in range(1, 10)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


# -- states


def test_every_state_has_its_moves():
    assert set(ITEM_MOVES) == set(ItemState)
    assert set(RUN_MOVES) == set(RunStatus)


def test_every_state_can_be_reached_from_the_first():
    seen, edge = {ItemState.PENDING}, {ItemState.PENDING}
    while edge:
        edge = {after for before in edge for after in ITEM_MOVES[before]} - seen
        seen |= edge

    assert seen == set(ItemState)


def test_an_item_that_left_its_source_comes_back_as_pending_only():
    assert {state for state in ItemState if may_move(ItemState.GONE, state)} == {ItemState.GONE, ItemState.PENDING}


def test_a_run_that_has_ended_has_ended():
    ends = {status for status, moves in RUN_MOVES.items() if not moves}

    assert ends == set(RunStatus) - {RunStatus.PENDING, RunStatus.RUNNING}


# -- checks


@given(st.lists(st.sampled_from(Status)))
def test_law_a_validation_is_as_bad_as_its_worst_answer(answers):
    whole = Validation(tuple(Check(str(at), answer) for at, answer in enumerate(answers)))

    expected = next((status for status in (Status.FAIL, Status.WARN) if status in answers), Status.PASS)
    assert whole.status is expected
    assert len(whole.failures) == answers.count(Status.FAIL)
    assert Validation().merged(whole.checks) == whole


# -- versions in force


class Dated(NamedTuple):
    number: int
    valid_from: int
    recorded_at: int


def _versions(pairs):
    return [Dated(number, valid, recorded) for number, (valid, recorded) in enumerate(pairs, 1)]


VERSIONS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=8).map(_versions)


@given(VERSIONS, st.integers(-1, 10), st.none() | st.integers(-1, 10), st.randoms(use_true_random=False))
def test_law_as_of_equals_brute_force(versions, valid_at, known_at, chance):
    """Replay what was recorded up to `known_at`; the last one written for the latest start is in force."""
    in_force = None
    for version in versions:
        if known_at is not None and version.recorded_at > known_at:
            continue
        if version.valid_from <= valid_at and (in_force is None or version.valid_from >= in_force.valid_from):
            in_force = version
    chance.shuffle(versions)

    assert as_of(versions, valid_at=valid_at, known_at=known_at) == in_force


@given(VERSIONS, st.integers(0, 9))
def test_law_a_version_is_in_force_from_its_first_instant_on(versions, instant):
    found = as_of(versions, valid_at=instant)

    assert (found is None) == all(version.valid_from > instant for version in versions)
    if found is not None:
        assert found.valid_from == max(v.valid_from for v in versions if v.valid_from <= instant)


# -- rows


@given(st.binary(min_size=32, max_size=32))
def test_law_a_sha256_is_its_32_bytes(raw):
    assert to_blob("sha256:" + raw.hex()) == raw
    assert to_digest(raw) == "sha256:" + raw.hex()


@given(st.sampled_from(["md5", "sha1", "sha256"]), st.binary(min_size=1, max_size=20))
def test_law_other_digests_keep_their_algorithm(algorithm, raw):
    assert to_digest(to_blob(f"{algorithm}:{raw.hex()}")) == f"{algorithm}:{raw.hex()}"


@pytest.mark.parametrize("table", TABLES)
def test_rows_have_the_columns_of_the_schema_in_their_order(table):
    import re

    from onward.ledger import statements

    (body,) = re.findall(rf"CREATE TABLE {table} \((.*?)\n\)", statements.read("schema.sql"), re.DOTALL)
    columns = re.findall(r"^    ([a-z_]+) +(?:INTEGER|TEXT|BLOB)", body, re.MULTILINE)

    assert tuple(columns) == TABLES[table]._fields
    assert NAMES[TABLES[table]] == table
    several = re.findall(r"^    PRIMARY KEY \((.*?)\)", body, re.MULTILINE)
    keys = several[0].split(", ") if several else re.findall(r"^    ([a-z_]+) +INTEGER PRIMARY KEY", body, re.MULTILINE)
    assert columns[: KEY_WIDTH[table]] == keys
