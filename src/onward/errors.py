"""Every error that onward raises on purpose: one tree, one sentence each that says what, where and what to do.

    OnwardError
    ├── UsageError              the command, a setting or a pipeline is wrong; nothing was started
    │   ├── SettingInvalid      a setting is unknown, of the wrong type or out of bounds
    │   ├── PipelineInvalid     a pipeline cannot be found or is put together wrongly
    │   ├── OutputTaken         the output folder belongs to another job
    │   ├── NotFound            a job, run or key that the ledger does not know
    │   ├── JobStopped          a person has stopped the job for good
    │   ├── OutputRefused       the database that results go to does not let us in, or does not let us write
    │   ├── RollbackRefused     outputs cannot be put back as they were; nothing was changed
    │   ├── PruneRefused        so much has left its source that it looks like a mistake; nothing was changed
    │   ├── WindowDrifted       the windows asked for are not the ones that the job was born with
    │   └── WindowOpen          a window is not over yet, or has not begun
    ├── JobBusy                 another process holds the job
    ├── BatchPaused             process_batch_task ended because somebody asked for a pause
    ├── BatchStopped            process_batch_task ended because somebody asked for a stop
    ├── JobPaused               a person has paused the job
    ├── WorkersFail             workers end before they begin a task
    ├── LlmAccessRefused        the LLM endpoint takes no question from us: key, address or model are wrong
    ├── LlmOutOfOrder           document after document got nothing usable from the LLM endpoint
    ├── OutputUnavailable       the database that results go to is away, or was emptied
    ├── DatabaseAway            the database that rows come from cannot be reached, or has ended the connection
    ├── SparkUnavailable        no Spark session can be had, or it was lost
    ├── PlatformSilent          the platform that a run belongs to does not say how it stands
    ├── HistoryDamaged          an old output is not what was kept
    ├── VersionDropped          the bytes of a version are not kept any more
    ├── CheckpointDamaged       a checkpoint file and its copy are not as they were saved
    ├── LedgerError
    │   ├── LedgerTooNew        written by a newer onward; left untouched
    │   ├── LedgerDamaged       a page, a row or the chain is not what was written
    │   ├── ManifestUnreadable  a manifest, its journal or its backup is not what was written
    │   └── LeaseLost           this run is no longer the one that may write
    └── ItemError               one item cannot be processed; the run goes on
        ├── InputRefused        the input is not of a kind this pipeline takes
        ├── InputUnreadable     the input cannot be read, or is not a regular file inside its root
        ├── ItemVanished        the input is gone since it was listed
        ├── ItemChanged         the input changed while it was processed (transient)
        ├── CheckFailed         the result was made, and a check says FAIL
        ├── OutputCollides      another item already owns this output path
        ├── ResultInvalid       a step returned what the sink cannot write
        ├── QuestionInvalid     a question to an outside service, its answer or its cost cannot be kept
        ├── DeadlineExceeded    the item took longer than its deadline
        ├── WorkerDied          the worker process ended while it held the item
        ├── MemoryExceeded      the item took more memory than its worker may use
        ├── TableMissing        the database has no such table, or does not let us see it
        ├── ColumnMissing       a table has no such column
        ├── TypeUnsupported     a column's type has no form in Arrow that loses nothing
        ├── ValueUnsupported    a value has no form in its column's Arrow type
        ├── WindowColumnInvalid a table's window column says no time
        ├── SchemaDrifted       a table's columns are not what they were, and the policy is to fail
        ├── QueryRefused        the database did not take a query of ours
        ├── SparkJobFailed      Spark gave up on a window (transient)
        ├── ReadBackDiffers     what was written is not what is read back
        ├── LlmUnavailable      the LLM endpoint was not reached, was busy or had failed (transient)
        ├── LlmQuestionRefused  the LLM endpoint does not take this question
        ├── LlmAnswerInvalid    an LLM answered with what is no answer about the text
        └── RunDied             run after run ended while it held this item alone

`slug` names the section of `docs/reference/errors.md`; `transient` says whether another attempt may end differently;
`is_environment` says that the cause lies outside of the items: no attempt is spent, and the run ends.
"""

from __future__ import annotations

from typing import ClassVar


class OnwardError(Exception):
    """The root: `slug` for the docs, `transient` and `is_environment` for what the engine does about it."""

    slug: ClassVar[str] = "onward-error"
    transient: bool = False
    is_environment: ClassVar[bool] = False


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


class OutputRefused(UsageError):
    """The database that results go to does not let us in, does not let us write, or holds what is not ours."""

    slug = "output-refused"
    is_environment = True


class NotFound(UsageError):
    """A job, run, key or path that the ledger does not know."""

    slug = "not-found"


class JobStopped(UsageError):
    """A person has stopped the job for good; `--new` lets it be run again."""

    slug = "job-stopped"


class RollbackRefused(UsageError):
    """Outputs cannot be put back as they were: old bytes are gone, or the sink keeps none; nothing was changed."""

    slug = "rollback-refused"


class PruneRefused(UsageError):
    """So much has left its source that it looks like a mistake: an unmounted disk, a mistyped path."""

    slug = "prune-refused"


class WindowDrifted(UsageError):
    """The windows asked for are not the ones that the job was born with; nothing was started."""

    slug = "window-drifted"


class WindowOpen(UsageError):
    """A window is not over yet, or has not even begun; nothing was started."""

    slug = "window-open"


class JobBusy(OnwardError):
    """Another process holds the job. Exit code 4."""

    slug = "job-busy"
    transient = True


class JobPaused(OnwardError):
    """A person, or its budget, has paused the job, and nobody has resumed it. Exit code 3."""

    slug = "job-paused"


class BatchPaused(OnwardError):
    """`process_batch_task` ended because somebody asked for a pause; the documents in hand were finished.

    Attributes:
        job_id: The batch; submitted again after `resume` it goes on.
    """

    slug = "batch-paused"

    def __init__(self, job_id: str) -> None:
        super().__init__("Batch processing paused by user")
        self.job_id = job_id


class BatchStopped(OnwardError):
    """`process_batch_task` ended because somebody asked for a stop; the documents in hand were finished.

    Attributes:
        job_id: The batch; it is refused from now on.
    """

    slug = "batch-stopped"

    def __init__(self, job_id: str) -> None:
        super().__init__("Batch processing stopped by user")
        self.job_id = job_id


class WorkersFail(OnwardError):
    """Workers end, one after the other, before they begin a task; it is not an item's doing.

    Attributes:
        count: How many in a row.
        end: How the last one ended.
        last_words: The last of what it printed.
    """

    slug = "workers-fail"

    def __init__(self, count: int, end: str, last_words: str) -> None:
        said = f" Its last words: {last_words.splitlines()[-1]}" if last_words else ""
        super().__init__(
            f"{count} workers in a row ended before they began a task; the last one's end: {end}. What is the matter "
            f"lies outside of the items: look at memory, limits and the pipeline's own settings, and run again.{said}"
        )
        self.count = count
        self.end = end
        self.last_words = last_words


class LlmAccessRefused(OnwardError):
    """The LLM endpoint takes no question from us: the key, the address or the model's name is wrong; the run ends.

    Attributes:
        host: Host and port of the endpoint.
        status: What it answered, an HTTP status; 0 where it was not asked.
    """

    slug = "llm-access-refused"
    is_environment = True

    def __init__(self, host: str, problem: str, remedy: str, *, status: int = 0) -> None:
        super().__init__(f"The LLM endpoint at '{host}' takes no questions: {problem}. {remedy}")
        self.host = host
        self.status = status


class LlmOutOfOrder(OnwardError):
    """Document after document got nothing usable from the LLM endpoint; it is not the documents' doing; the run ends.

    Attributes:
        host: Host and port of the endpoint.
        count: How many documents in a row, in one worker.
    """

    slug = "llm-out-of-order"
    is_environment = True

    def __init__(self, host: str, count: int, last: str) -> None:
        super().__init__(
            f"{count} documents in a row got nothing usable from the endpoint at '{host}'; see to it and run again: "
            f"what is paid for is kept. The last of them: {last}"
        )
        self.host = host
        self.count = count


class OutputUnavailable(OnwardError):
    """The database that results go to was away for too long, was emptied, or is full; what was acknowledged stands."""

    slug = "output-unavailable"
    is_environment = True


class DatabaseAway(OnwardError):
    """The database that rows come from cannot be reached, or has ended the connection. The run ends; run again."""

    slug = "database-away"
    is_environment = True


class SparkUnavailable(OnwardError):
    """No Spark session can be had: no Java, no driver, no such master; or the session was lost. The run ends."""

    slug = "spark-unavailable"
    is_environment = True


class PlatformSilent(OnwardError):
    """The platform that a run belongs to gave no usable answer about it; what the ledger knows stands."""

    slug = "platform-silent"
    transient = True


class HistoryDamaged(OnwardError):
    """An old output in the history is not what was kept there."""

    slug = "history-damaged"


class VersionDropped(OnwardError):
    """The bytes of a version that somebody wants to read are not kept any more, or were altered."""

    slug = "version-dropped"


class CheckpointDamaged(OnwardError):
    """A checkpoint file is not as it was saved, and neither is its copy; nothing in it is taken for done.

    Attributes:
        path: The file.
        candidates: Names that can still be read in it, each of which may or may not have been processed.
    """

    slug = "checkpoint-damaged"

    def __init__(self, path: str, problem: str, candidates: list[str]) -> None:
        super().__init__(
            f"The checkpoint '{path}' cannot be believed ({problem}), nor can its copy '.bak'. "
            f"{len(candidates)} names can be read in it: pass `verify=` to take those whose output you can check, "
            "or move both files away to begin anew."
        )
        self.path = path
        self.candidates = candidates


class LedgerError(OnwardError):
    """The ledger cannot be used as it is."""

    slug = "ledger"


class LedgerTooNew(LedgerError):
    """The ledger was written by a newer onward and is left untouched."""

    slug = "ledger-too-new"


class LedgerDamaged(LedgerError):
    """A page, a row or the chain of the ledger is not what was written."""

    slug = "ledger-damaged"


class ManifestUnreadable(LedgerError):
    """A manifest, its journal or its backup is not what was written, or is no manifest; it was left untouched.

    Attributes:
        path: The file.
        line: The line in it, counted from 1; 0 when it is not about a line.
    """

    slug = "manifest-unreadable"

    def __init__(self, path: str, what: str, remedy: str, *, line: int = 0) -> None:
        where = f", line {line}" if line else ""
        super().__init__(f"The manifest file '{path}'{where} cannot be used: {what}. {remedy}")
        self.path = path
        self.line = line


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


class QuestionInvalid(ItemError):
    """A question to an outside service, its answer or its cost is of no kind that a receipt can keep."""

    slug = "question-invalid"


class DeadlineExceeded(ItemError):
    """The item took longer than its deadline; its worker was ended."""

    slug = "deadline-exceeded"
    transient = True


class WorkerDied(ItemError):
    """The worker process ended while it held the item."""

    slug = "worker-died"
    transient = True


class MemoryExceeded(ItemError):
    """The item took more memory than its worker may use; its worker was ended."""

    slug = "memory-exceeded"
    transient = True


class TableMissing(ItemError):
    """The database has no such table, or does not let us see it."""

    slug = "table-missing"


class ColumnMissing(ItemError):
    """A table has no such column."""

    slug = "column-missing"


class TypeUnsupported(ItemError):
    """A column's type has no form in Arrow that loses nothing."""

    slug = "type-unsupported"


class ValueUnsupported(ItemError):
    """A value has no form in its column's Arrow type, e.g. a date beyond the year 9999."""

    slug = "value-unsupported"


class WindowColumnInvalid(ItemError):
    """A table's window column says no time, or not in every row."""

    slug = "window-column-invalid"


class SchemaDrifted(ItemError):
    """A table's columns are not what they were, and the policy is to fail."""

    slug = "schema-drifted"


class QueryRefused(ItemError):
    """The database did not take a query of ours: a condition it does not understand, a right we do not have."""

    slug = "query-refused"


class SparkJobFailed(ItemError):
    """Spark gave up on a window, after it had tried its tasks as often as it is told to; nothing of it was taken."""

    slug = "spark-job-failed"
    transient = True


class ReadBackDiffers(ItemError):
    """What was written is not what is read back: another number of rows, or a damaged file."""

    slug = "read-back-differs"
    transient = True


class LlmUnavailable(ItemError):
    """The LLM endpoint was not reached, took too long, was busy or had failed, also when it was asked again.

    Attributes:
        host: Host and port of the endpoint.
    """

    slug = "llm-unavailable"
    transient = True

    def __init__(self, host: str, problem: str) -> None:
        super().__init__(
            f"The LLM endpoint at '{host}' gave no answer: {problem}. See whether it runs and is reached from here; "
            "`events.timeout_s` and `events.retries` say how long it is waited for."
        )
        self.host = host


class LlmQuestionRefused(ItemError):
    """The LLM endpoint does not take this question; it is asked no second time.

    Attributes:
        host: Host and port of the endpoint.
        status: What it answered, an HTTP status.
    """

    slug = "llm-question-refused"

    def __init__(self, host: str, status: int, said: str) -> None:
        words = f": {said}" if said else ""
        super().__init__(
            f"The LLM endpoint at '{host}' refuses a question with status {status}{words}. When it refuses every one, "
            "see whether the model takes `response_format` with a JSON schema."
        )
        self.host = host
        self.status = status


class LlmAnswerInvalid(ItemError):
    """An LLM answered with what is no answer about the text. It is kept, and not paid for a second time unasked.

    Attributes:
        model: Who answered.
        sentence: The sentence it was asked about, counted from 0.
        problem: What is wrong with the answer.
    """

    slug = "llm-answer-invalid"

    def __init__(self, model: str, sentence: int, problem: str) -> None:
        super().__init__(
            f"The answer of '{model}' about sentence {sentence} is not valid: {problem}. It is kept and will be the "
            "answer of a retry too; `onward run ... --only-failed --set events.ask_again=1` pays for a new one."
        )
        self.model = model
        self.sentence = sentence
        self.problem = problem


class EmbedderUnavailable(ItemError):
    """The service that makes vectors was not reached, was busy or had failed, also when it was asked again.

    Attributes:
        host: Host and port of the service.
    """

    slug = "embedder-unavailable"
    transient = True

    def __init__(self, host: str, problem: str) -> None:
        super().__init__(
            f"The embedding endpoint at '{host}' gave no vectors: {problem}. See whether it runs and is reached from "
            "here; `endpoint.timeout_s` says how long it is waited for."
        )
        self.host = host


class EmbedderRefused(ItemError):
    """The service that makes vectors does not take what it is asked; it is asked no second time.

    Attributes:
        host: Host and port of the service.
    """

    slug = "embedder-refused"

    def __init__(self, host: str, problem: str) -> None:
        super().__init__(
            f"The embedding endpoint at '{host}' does not do what it is asked: {problem}. See `endpoint.model`, "
            "`endpoint.dimensions` and the key that `endpoint.api_key_env` names."
        )
        self.host = host


class VersionRefused(ItemError):
    """A version that was handed over could not be made into chunks; it waits in quarantine and is not recorded."""

    slug = "version-refused"


class RunDied(ItemError):
    """Run after run ended while it held this item, at last with no other item in flight."""

    slug = "run-died"
