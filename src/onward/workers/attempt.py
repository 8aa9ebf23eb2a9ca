"""One attempt: run the steps, validate, stage. The one place that catches whatever user code throws.

It returns small facts only; the result itself is already in staging. `KeyboardInterrupt` and `SystemExit` pass through
and end the worker.
"""

from __future__ import annotations

import errno
import json
import re
import time
import traceback as tracebacks
from collections.abc import Callable, Iterable, Mapping

from onward.engine.executor import Assignment, Dated, Failure, Report, Task
from onward.engine.faults import FaultPoint, hit
from onward.engine.pipeline import asks_for
from onward.engine.receipts import NoReceipts, Receipts
from onward.engine.sink import Staged
from onward.engine.source import Reading, TellsFacts, TellsValidity
from onward.errors import CheckFailed, MemoryExceeded, OnwardError, ResultInvalid
from onward.model.config import ConfigView
from onward.model.validation import Check, Status, Validation
from onward.workers.redaction import Redaction

_ENVIRONMENT = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
"""Errors while staging that tell of the disk and not of the item."""

_PASSING = frozenset({
    errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT,
})
"""Errors after which another attempt may well succeed."""

_TRACEBACK_MAX = 8000
_MESSAGE_MAX = 2000


class _StagingFailed(Exception):
    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Bench:
    """What a worker needs for each attempt, made once."""

    def __init__(self, assignment: Assignment, receipts: Callable[[int], Receipts] | None = None) -> None:
        """Make one.

        Args:
            assignment: The run's.
            receipts: Gives the item with this id what its steps ask services through; by default nothing they pay
                for outlives the process.
        """
        self._source = assignment.pipeline.source
        self._sink = assignment.pipeline.sink
        self._place = assignment.place
        self._settings = assignment.settings
        self._transient = assignment.pipeline.transient
        self._redaction = Redaction(assignment.settings)
        self._memory_mb = assignment.memory_mb
        self._steps = [(step, _wants(step)) for step in assignment.pipeline.steps]
        checks = assignment.pipeline.checks if assignment.validates else ()
        self._checks = [(check, _wants(check)) for check in checks]
        alone = NoReceipts()
        self._receipts = receipts or (lambda item_id: alone)

    def attempt(self, task: Task) -> Report:
        """Make one attempt; never raises for what the item or its steps do."""
        began = time.perf_counter()
        hit(FaultPoint.WORKER_BEGIN)
        config = ConfigView(self._settings)
        reading = self._source.open(self._place, task.key, task.locator)
        validation, staged, failure = Validation(), Staged("", 0, 0), None
        try:
            given = {"config": config, "receipts": self._receipts(task.item_id), "sink": self._sink}
            value = self._run(reading, given)
            validation = self._validate(value, given)
            if validation.failures:
                raise CheckFailed("; ".join(c.detail or c.name for c in validation.failures))
            reading.finish()
            try:
                staged = self._sink.stage(task.staged, value, key=task.key)
                hit(FaultPoint.WORKER_STAGED)
            except OSError as error:
                raise _StagingFailed(error) from error
        except Exception as error:  # noqa: BLE001 - the attempt boundary: any failure of user code is an outcome
            failure = self._failure(error, validation)
        return Report(
            task.item_id,
            task.serial,
            reading.content,
            reading.signature,
            reading.size_bytes if reading.content is not None else 0,
            reading.mtime_ns,
            staged.digest,
            staged.size_bytes,
            staged.mtime_ns,
            validation.status.value,
            tuple(sorted(config.reads)),
            time.perf_counter() - began,
            failure,
            *(_facts(reading) if failure is None else ()),
        )

    def _run(self, reading: Reading, given: Mapping[str, object]) -> object:
        value: object = reading
        for step, wanted in self._steps:
            value = step(value, **{name: given[name] for name in wanted})
        return value

    def _validate(self, value: object, given: Mapping[str, object]) -> Validation:
        validation = Validation()
        for check, wanted in self._checks:
            answer = check(value, **{name: given[name] for name in wanted})
            validation = validation.merged(_answers(check, answer))
        return validation

    def _failure(self, error: Exception, validation: Validation) -> Failure:
        is_environment = (isinstance(error, _StagingFailed) and error.cause.errno in _ENVIRONMENT) or (
            isinstance(error, OnwardError) and error.is_environment
        )
        cause: BaseException = error.cause if isinstance(error, _StagingFailed) else error
        if isinstance(cause, MemoryError):
            cap = "" if self._memory_mb is None else f" Its cap is {self._memory_mb} MB."
            cause = MemoryExceeded(f"A step asked for more memory than it can have.{cap}").with_traceback(
                cause.__traceback__
            )
        text = "".join(tracebacks.format_exception(cause))
        return Failure(
            kind=type(cause).__name__,
            slug=cause.slug if isinstance(cause, OnwardError) else _slug(cause),
            message=self._redaction.of(str(cause))[:_MESSAGE_MAX] or type(cause).__name__,
            transient=self._is_transient(cause),
            traceback=self._redaction.of(text)[-_TRACEBACK_MAX:],
            checks=tuple(
                (c.name, c.status.value, self._redaction.of(c.detail)[:_MESSAGE_MAX]) for c in validation.checks
            ),
            is_environment=is_environment,
        )

    def _is_transient(self, error: BaseException) -> bool:
        if isinstance(error, OnwardError):
            return error.transient
        if isinstance(error, (ConnectionError, TimeoutError, *self._transient)):
            return True
        return isinstance(error, OSError) and error.errno in _PASSING


def _facts(reading: Reading) -> tuple[str | None, int | None, Dated | None]:
    """Return what the source says of a result that was staged: as JSON, since when it is true, of which document."""
    if not isinstance(reading, TellsFacts):
        return None, None, None
    dated = None
    if isinstance(reading, TellsValidity):
        dated = Dated(reading.document, reading.sequence, reading.is_deletion)
    return json.dumps(reading.facts, sort_keys=True), reading.valid_from, dated


def _wants(function: Callable[..., object]) -> tuple[str, ...]:
    return tuple(name for name in ("config", "receipts", "sink") if asks_for(function, name))


def _slug(error: BaseException) -> str:
    """Return the reason for an error that is not ours: its type in the spelling of reasons."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", type(error).__name__).lower()


def _answers(check: Callable[..., object], answer: object) -> Iterable[Check]:
    """Return what a check said as `Check` values."""
    name = getattr(check, "__name__", type(check).__name__)
    match answer:
        case Check():
            return (answer,)
        case True | None:
            return (Check(name, Status.PASS),)
        case False:
            return (Check(name, Status.FAIL, f"{name} says no"),)
        case str():
            return (Check(name, Status.FAIL, answer),)
        case _:
            found = tuple(answer) if isinstance(answer, Iterable) else (answer,)
            if not all(isinstance(one, Check) for one in found):
                msg = f"The check '{name}' answered {answer!r}; it must answer with Check values, a bool or a sentence."
                raise ResultInvalid(msg)
            return found


