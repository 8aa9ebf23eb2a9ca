"""Requests as they are written: what stands, what is refused, who answers. The memory ledger, and no process."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.errors import JobPaused, JobStopped
from onward.ledger.base import Ledger, empty_ledger
from onward.model.record import Job
from onward.model.states import Request, RunStatus
from onward.runs import control

ASK = {
    Request.PAUSE: control.pause, Request.RESUME: control.resume, Request.STOP: control.stop,
    Request.NEW: control.begin_anew,
}


@pytest.fixture
def ledger() -> Ledger:
    return empty_ledger()


@pytest.fixture
def job(ledger: Ledger) -> Job:
    return make_job(ledger)


def make_job(ledger: Ledger, status: RunStatus = RunStatus.COMPLETED) -> Job:
    return ledger.create_job(Job(0, "j", "p", "in", "out", status.value, 1, None, "{}"), now=1)


def is_held() -> bool:
    return True


def is_free() -> bool:
    return False


@pytest.mark.contract("S2-009", "S2-012")
@given(st.lists(st.tuples(st.sampled_from(Request), st.booleans()), max_size=12))
def test_law_what_stands_is_what_was_asked_last_and_a_stop_yields_to_new_alone(
    requests: list[tuple[Request, bool]],
) -> None:
    ledger = empty_ledger()
    job = make_job(ledger)
    stands: Request | None = None
    written: list[str] = []
    for request, held in requests:
        if stands is Request.STOP and request in (Request.PAUSE, Request.RESUME):
            with pytest.raises(JobStopped):
                ASK[request](ledger, job, is_held=lambda held=held: held)
            continue
        lifts = {Request.RESUME: Request.PAUSE, Request.NEW: Request.STOP}
        changes = stands is lifts[request] if request in lifts else stands is not request
        asked = ASK[request](ledger, job, is_held=lambda held=held: held)
        assert asked.is_new == changes
        if changes:
            written.append(request.value)
            stands = None if request in lifts else request
    assert [row.request for row in ledger.controls(job.id)] == written
    assert control.is_paused(ledger, job) == (stands is Request.PAUSE)
    assert control.is_stopped(ledger, job) == (stands is Request.STOP)


def test_where_nobody_holds_the_job_the_answer_is_given_at_once(ledger: Ledger, job: Job) -> None:
    asked = control.pause(ledger, job, why="lunch", is_held=is_free)

    assert asked.row is not None
    assert asked.row.obeyed_at is not None
    assert ledger.control(job.id) == asked.row
    assert ledger.jobs()[0].status == RunStatus.PAUSED


def test_where_a_run_is_at_work_the_answer_is_left_to_it(ledger: Ledger, job: Job) -> None:
    asked = control.stop(ledger, job, is_held=is_held)

    assert asked.row is not None
    assert asked.row.obeyed_at is None
    assert ledger.jobs()[0].status == RunStatus.COMPLETED


def test_asking_again_when_the_run_is_gone_gives_the_answer_that_it_did_not(ledger: Ledger, job: Job) -> None:
    control.pause(ledger, job, is_held=is_held)

    again = control.pause(ledger, job, is_held=is_free)

    assert not again.is_new
    assert again.row is not None
    assert again.row.obeyed_at is not None
    assert len(ledger.controls(job.id)) == 1


def test_waiting_ends_when_the_holder_goes(ledger: Ledger, job: Job) -> None:
    asked = control.pause(ledger, job, is_held=is_held)
    assert asked.row is not None
    looks = iter([True, True, False, False])

    found = control.wait_for_answer(ledger, job, asked.row, is_held=lambda: next(looks), wait_s=10)

    assert found.obeyed_at is not None


def test_waiting_ends_when_another_request_takes_its_place(ledger: Ledger, job: Job) -> None:
    asked = control.pause(ledger, job, is_held=is_held)
    assert asked.row is not None
    control.resume(ledger, job, is_held=is_held)

    found = control.wait_for_answer(ledger, job, asked.row, is_held=is_held, wait_s=10)

    assert found.obeyed_at is None


def test_waiting_gives_up_in_time(ledger: Ledger, job: Job) -> None:
    asked = control.pause(ledger, job, is_held=is_held)
    assert asked.row is not None

    found = control.wait_for_answer(ledger, job, asked.row, is_held=is_held, wait_s=0)

    assert found == asked.row


def test_a_job_that_is_held_back_says_by_whom_and_why(ledger: Ledger, job: Job) -> None:
    control.refuse_held_back(ledger, job)
    control.pause(ledger, job, why="moving \x1b[31m house", is_held=is_free)
    with pytest.raises(JobPaused, match=r"'j' was paused by .* \(moving \\x1b\[31m house\)\. Go on with `onward r"):
        control.refuse_held_back(ledger, job)
    control.stop(ledger, job, is_held=is_free)
    with pytest.raises(JobStopped, match="--new"):
        control.refuse_held_back(ledger, job)


@pytest.mark.parametrize(
    ("recorded", "request_", "held", "truth"),
    [
        (RunStatus.RUNNING, None, True, RunStatus.RUNNING),
        (RunStatus.RUNNING, None, False, RunStatus.INTERRUPTED),
        (RunStatus.RUNNING, Request.PAUSE, True, RunStatus.RUNNING),
        (RunStatus.RUNNING, Request.PAUSE, False, RunStatus.PAUSED),
        (RunStatus.RUNNING, Request.STOP, False, RunStatus.STOPPED),
        (RunStatus.COMPLETED, None, True, RunStatus.COMPLETED),
        (RunStatus.COMPLETED, Request.PAUSE, False, RunStatus.PAUSED),
        (RunStatus.PAUSED, Request.RESUME, False, RunStatus.PENDING),
        (RunStatus.STOPPED, Request.NEW, False, RunStatus.PENDING),
        (RunStatus.FAILED, Request.RESUME, False, RunStatus.FAILED),
    ],
)
def test_the_status_is_true_whatever_died_before_it_could_say_so(
    recorded: RunStatus, request_: Request | None, held: bool, truth: RunStatus, ledger: Ledger
) -> None:
    job = make_job(ledger, recorded)
    if request_ in (Request.RESUME, Request.NEW):
        before = control.pause if request_ is Request.RESUME else control.stop
        before(ledger, job, is_held=is_held)
    if request_ is not None:
        ASK[request_](ledger, job, is_held=is_held)

    assert control.status_of(job, ledger.control(job.id), is_held=held) is truth
