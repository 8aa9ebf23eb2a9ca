"""What a job may cost: the pause that follows when its receipts come to that, and how it is lifted.

The pause is a request like any other (`control.py`), made by the budget, in the transaction that uses it up; so it
stands whatever happens to any process. Only a higher budget lifts it, and it never takes the place of a person's
request, nor lifts one. Money is counted in whole millionths of a currency unit.
"""

from __future__ import annotations

import math
import os
from typing import NamedTuple

from onward import clock
from onward.errors import JobPaused, SettingInvalid
from onward.ledger.base import Ledger, Reader, Transaction
from onward.model.item import printable
from onward.model.money import amount, micro
from onward.model.record import Control, Job
from onward.model.states import Request, RunStatus
from onward.runs.control import BUDGET, BUDGET_WHY, ending_of, is_pause_of_budget, status_when_lifted


class Budget(NamedTuple):
    """What all receipts of a job may cost.

    Attributes:
        setting: The setting that says so.
        cap_micro: Millionths of a currency unit; 0: there is no limit.
    """

    setting: str
    cap_micro: int

    def is_used_up(self, spent_micro: int) -> bool:
        """Say whether a job that has spent so much may ask nothing more."""
        return 0 < self.cap_micro <= spent_micro


def budget_of(setting: str, value: object) -> Budget:
    """Return the budget that a setting gives, in currency units; what is above 0 is never less than a millionth.

    Raises:
        SettingInvalid: It is no amount of money.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        msg = f"The setting '{setting}' is what the job may cost: a number from 0, where 0 is no limit, not {value!r}."
        raise SettingInvalid(msg)
    return Budget(setting, max(1, micro(value)) if value else 0)


def pause_of(tx: Transaction, job_id: int, budget: Budget, spent_micro: int, now: int) -> Control | None:
    """Return the request that a used-up budget makes; None where it is not, or where the job is held back already.

    Args:
        tx: The transaction in which it will be written.
        job_id: The job.
        budget: Its budget.
        spent_micro: What its receipts come to, with those of this transaction.
        now: The instant of the request.
    """
    if not budget.is_used_up(spent_micro) or ending_of(tx.control(job_id)) is not None:
        return None
    return _request(tx, job_id, Request.PAUSE, f"{amount(spent_micro)} spent of {_told(budget)}", now)


def settle(ledger: Ledger, job: Job, budget: Budget) -> None:
    """Before a run begins, under the job's lock: lift the pause of a budget that is enough again, or renew it.

    Raises:
        JobPaused: The job has spent what it may; the pause stands.
        LedgerError: The ledger cannot be written.
    """
    standing = ledger.control(job.id)
    is_ours = standing is not None and is_pause_of_budget(standing)
    if ending_of(standing) is not None and not is_ours:
        return  # a person's: not ours to judge
    if is_ours != budget.is_used_up(ledger.spent(job.id).cost_micro):
        _write(ledger, job, budget)
    standing = ledger.control(job.id)
    if standing is not None and is_pause_of_budget(standing):
        refuse_used_up(ledger, job, standing, budget)


def refuse_used_up(reader: Reader, job: Job, row: Control, budget: Budget | None) -> None:
    """Do nothing where a budget that made a pause is enough by now.

    Args:
        reader: Where the job is recorded.
        job: The job.
        row: The pause.
        budget: What the job may cost now; None where the caller cannot know.

    Raises:
        JobPaused: It is not enough, or not known.
    """
    name = printable(job.name)
    spent_micro = reader.spent(job.id).cost_micro
    if budget is None:
        why = row.why.removeprefix(BUDGET_WHY)
        msg = f"The job '{name}' was paused by its budget ({printable(why)}). Go on with `onward resume {name}`."
        raise JobPaused(msg)
    if budget.is_used_up(spent_micro):
        raise JobPaused(used_up(job.name, budget, spent_micro))


def used_up(job: str, budget: Budget, spent_micro: int) -> str:
    """Say that a budget is used up, and how to go on."""
    more = amount(spent_micro + budget.cap_micro)
    return (
        f"The job '{printable(job)}' has spent {amount(spent_micro)} of {_told(budget)} and is paused. Go on with "
        f"`onward resume {printable(job)} --set {budget.setting}={more}`, or another amount above what is spent; "
        "0 is no limit."
    )


def _told(budget: Budget) -> str:
    return f"{budget.setting}={amount(budget.cap_micro)}"


def _write(ledger: Ledger, job: Job, budget: Budget) -> None:
    """Record what the budget says now, where nobody holds the job but the caller."""
    now = clock.now()
    with ledger.transaction(job.id, now=now) as tx:
        standing = tx.control(job.id)
        spent_micro = tx.spent(job.id).cost_micro
        current = tx.job_by_id(job.id) or job
        row = pause_of(tx, job.id, budget, spent_micro, now)
        if row is not None:
            tx.put(row._replace(obeyed_at=now))
            tx.put(current._replace(status=RunStatus.PAUSED.value))
        elif standing is not None and is_pause_of_budget(standing) and not budget.is_used_up(spent_micro):
            why = f"{amount(spent_micro)} spent, {_told(budget)} now"
            tx.put(_request(tx, job.id, Request.RESUME, why, now)._replace(obeyed_at=now))
            tx.put(current._replace(status=status_when_lifted(RunStatus(current.status)).value))


def _request(tx: Transaction, job_id: int, request: Request, why: str, now: int) -> Control:
    return Control(
        tx.allocate("control"), job_id, request.value, BUDGET, os.uname().nodename, os.getpid(), BUDGET_WHY + why,
        now, None,
    )
