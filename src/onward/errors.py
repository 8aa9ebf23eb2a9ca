"""Every error that onward raises on purpose: one tree, one sentence each that says what, where and what to do.

    OnwardError
    ├── UsageError              the command, a setting or a pipeline is wrong; nothing was started
    │   ├── SettingInvalid      a setting is unknown, of the wrong type or out of bounds
    │   ├── PipelineInvalid     a pipeline cannot be found or is put together wrongly
    │   ├── OutputTaken         the output folder belongs to another job
    │   └── NotFound            a job, run or key that the ledger does not know
    ├── JobBusy                 another process holds the job
    ├── LedgerError
    │   ├── LedgerTooNew        written by a newer onward; left untouched
    │   ├── LedgerDamaged       a page, a row or the chain is not what was written
    │   └── LeaseLost           this run is no longer the one that may write
    └── ItemError               one item cannot be processed; the run goes on
        ├── InputRefused        the input is not of a kind this pipeline takes
        ├── InputUnreadable     the input cannot be read, or is not a regular file inside its root
        ├── ItemVanished        the input is gone since it was listed
        ├── ItemChanged         the input changed while it was processed (transient)
        ├── CheckFailed         the result was made, and a check says FAIL
        ├── OutputCollides      another item already owns this output path
        ├── ResultInvalid       a step returned what the sink cannot write
        ├── DeadlineExceeded    the item took longer than its deadline
        └── WorkerDied          the worker process ended while it held the item

`slug` names the section of `docs/reference/errors.md`; `transient` says whether another attempt may end differently.
"""

from __future__ import annotations

from typing import ClassVar


class OnwardError(Exception):
    """The root: `slug` for the docs, `transient` for the engine's retry policy."""

    slug: ClassVar[str] = "onward-error"
    transient: bool = False


class UsageError(OnwardError):
    """The command, a setting or a pipeline is wrong; nothing was started. Exit code 2."""

    slug = "usage"


class SettingInvalid(UsageError):
    """A setting is unknown, of the wrong type or out of bounds."""

    slug = "setting-invalid"


class PipelineInvalid(UsageError):
    """A pipeline cannot be found, imported, or is put together wrongly."""

    slug = "pipeline-invalid"


class OutputTaken(UsageError):
    """The output folder belongs to another job."""

    slug = "output-taken"


class NotFound(UsageError):
    """A job, run, key or path that the ledger does not know."""

    slug = "not-found"


class JobBusy(OnwardError):
    """Another process holds the job. Exit code 4."""

    slug = "job-busy"
    transient = True


class LedgerError(OnwardError):
    """The ledger cannot be used as it is."""

    slug = "ledger"


class LedgerTooNew(LedgerError):
    """The ledger was written by a newer onward and is left untouched."""

    slug = "ledger-too-new"


class LedgerDamaged(LedgerError):
    """A page, a row or the chain of the ledger is not what was written."""

    slug = "ledger-damaged"


class LeaseLost(LedgerError):
    """This run is no longer the one that may write for its job."""

    slug = "lease-lost"


class ItemError(OnwardError):
    """One item cannot be processed; the run goes on with the others."""

    slug = "item"


class InputRefused(ItemError):
    """The input is not of a kind this pipeline takes; the message says what it is."""

    slug = "input-refused"


class InputUnreadable(ItemError):
    """The input cannot be read, or is not a regular file inside its root."""

    slug = "input-unreadable"


class ItemVanished(ItemError):
    """The input is gone since it was listed."""

    slug = "item-vanished"
    transient = True


class ItemChanged(ItemError):
    """The input changed while it was processed; what came of it is thrown away."""

    slug = "item-changed"
    transient = True


class CheckFailed(ItemError):
    """The result was made, and a check says FAIL."""

    slug = "check-failed"


class OutputCollides(ItemError):
    """Another item already owns this output path; nothing is overwritten."""

    slug = "output-collides"


class ResultInvalid(ItemError):
    """A step returned what the sink cannot write."""

    slug = "result-invalid"


class DeadlineExceeded(ItemError):
    """The item took longer than its deadline; its worker was ended."""

    slug = "deadline-exceeded"
    transient = True


class WorkerDied(ItemError):
    """The worker process ended while it held the item."""

    slug = "worker-died"
    transient = True
