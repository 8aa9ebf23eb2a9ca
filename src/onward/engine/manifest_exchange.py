"""Keep a shared manifest and the ledger in step: read before the plan, written after the run.

The ledger is committed first. Whatever stands in the ledger and not yet in the manifest is found by comparing the two,
so a crash between them is healed by the next run, and a run that changed nothing leaves the file byte for byte as it
was. What may be adopted, and how that is written, is in `adoption.py`; the file itself is `ledger/manifest/`.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import NamedTuple, cast

from onward import clock
from onward.engine.adoption import (
    Adoption,
    AdoptionBook,
    Supposed,
    Wanted,
    find_adoptions,
    is_wanted,
    recipe_of,
    without_secrets,
    write_adoptions,
)
from onward.engine.pipeline import Pipeline
from onward.engine.recipe_book import read_recipe
from onward.engine.run import Ended, Line, Request
from onward.ledger.base import Ledger, Reader, Shared, open_manifest
from onward.model.fingerprint import Recipe
from onward.model.item import quarantine_path
from onward.model.reason import Action, Reason
from onward.model.record import Attempt, Job, Known, RecipeRow, to_digest
from onward.model.shared_entry import SharedEntry, SharedRun
from onward.model.states import ItemState

_AT_ONCE = 1_000
SUCCESS = "success"
FAILED = "failed"


class Problem(NamedTuple):
    """What a person should hear of: the key of an item, and a sentence."""

    key: str
    error: str


class ManifestExchange:
    """One run's dealings with a shared manifest.

    Args:
        where: The manifest; it need not exist.
        place: The input, absolute.
        out: The output folder, absolute.
        tell: Told in a sentence what a person should hear of, as it is found.

    Attributes:
        problems: Every problem that was found, in order.
        adoptions: What can be adopted, once `look` has looked.

    Raises:
        LedgerError: The manifest cannot be read; it was left as it is.
    """

    def __init__(self, where: str, place: str, out: str, tell: Callable[[str], None] = lambda _: None) -> None:
        self._shared: Shared = open_manifest(where)
        self._out = out
        self._prefix = _prefix(self._shared, place)
        self._tell = tell
        self._today = ""
        self._is_agreed = False
        self._has_offers = False
        self.problems: list[Problem] = []
        self.adoptions: list[Adoption] = []
        for sentence in self._shared.told:
            tell(sentence)

    # -- before the plan

    def look(self, pipeline: Pipeline, reader: Reader, job_id: int, request: Request) -> None:
        """Find what can be adopted; reads the inputs in question and writes nothing.

        Args:
            pipeline: Its source and its sink, which is attached or prepared.
            reader: The ledger.
            job_id: The job; 0 when it is new.
            request: What the run is told.
        """
        today = without_secrets(request.recipe)
        self._today = f"{today.code_digest} {today.config_digest}"
        agreed = _agreed(reader, job_id)
        self._is_agreed = agreed is not None and (agreed.state, agreed.seq) == (
            self._shared.state, reader.head(job_id).seq
        )
        if self._is_agreed and agreed is not None and agreed.today == self._today and not agreed.has_offers:
            return
        offered = {} if request.wish.full else self._offered(reader, job_id, request)
        self._has_offers = bool(offered) or request.wish.full or bool(request.wish.force)
        self.adoptions = find_adoptions(pipeline.source, pipeline.sink, request, offered)

    def adopt(self, ledger: Ledger, job: Job, run_id: int) -> None:
        """Write what was found into the ledger, in transactions of this run; what is written survives a crash.

        Raises:
            LeaseLost: Another run has taken over the job.
            LedgerError: The ledger cannot be written.
        """
        if not self.adoptions:
            return
        book = AdoptionBook(ledger, job.id)
        for first in range(0, len(self.adoptions), _AT_ONCE):
            now = clock.now()
            with ledger.transaction(job.id, now=now, fence=run_id) as tx:
                write_adoptions(self.adoptions[first : first + _AT_ONCE], tx, book, run_id, now)
        elsewhere = sum(1 for one in self.adoptions if not one.is_here)
        self._tell(
            f"{len(self.adoptions)} results of others adopted"
            + (f"; {elsewhere} of their outputs are elsewhere, --require-outputs makes them here" if elsewhere else "")
        )

    def supposed(self, reader: Reader, job_id: int) -> Reader:
        """Return the ledger as it would be after adoption, for a plan, which asks nothing that it could not answer."""
        supposed = Supposed(reader, job_id)
        supposed.adopt(self.adoptions)
        return cast("Reader", supposed)

    def lines(self, planned: Container[str]) -> list[Line]:
        """Return a line for each adopted item that a plan does not speak of: it is skipped, and this is why."""
        keys = (one.key for one in self.adoptions if one.key not in planned)
        return [Line(key, Action.SKIP.value, Reason.ADOPTED.value, None) for key in keys]

    def told_in(self, problems: object) -> list[dict[str, str]]:
        """Return the problems of an answer, with those that were found since it was made."""
        found: list[dict[str, str]] = list(problems) if isinstance(problems, list) else []
        more = ({"place": one.key, "error": one.error} for one in self.problems)
        return found + [one for one in more if one not in found]

    def _offered(self, reader: Reader, job_id: int, request: Request) -> dict[str, Wanted]:
        rows = {row.id: row for row in reader.recipes(job_id)} if job_id else {}
        past = {row_id: read_recipe(row) for row_id, row in rows.items()}
        recipes: dict[tuple[str | None, str | None], Recipe | None] = {}
        offered: dict[str, Wanted] = {}
        known_all = reader.known_all(job_id) if job_id else iter(())
        for key, shared, known in _beside(self._entries(), known_all):
            if shared.status != SUCCESS or shared.content is None or key in request.wish.force:
                continue
            made = (shared.code, shared.config)
            if made not in recipes:
                parts = None if None in made else self._shared.recipe(str(shared.code), str(shared.config))
                recipes[made] = recipe_of(shared, request.recipe, parts)
            recipe = recipes[made]
            if recipe is not None and is_wanted(shared, recipe, known, request.recipe, past):
                offered[key] = Wanted(shared, recipe, known)
            elif known is not None:
                self._compare(shared, known, rows)
        return offered

    def _entries(self) -> Iterator[tuple[str, SharedEntry]]:
        """Return the entries of files below the input, by item key, in order."""
        cut = len(self._prefix)
        for shared in self._shared.entries():
            if shared.key.startswith(self._prefix):
                yield shared.key[cut:], shared

    def _compare(self, shared: SharedEntry, known: Known, rows: Mapping[int, RecipeRow]) -> None:
        """Tell of one input of which two different outputs were made by the same code with the same config."""
        version = known.version
        if known.item.state != ItemState.SUCCEEDED or version is None or shared.output_hash is None:
            return
        here = to_digest(version.digest)
        row = rows[version.recipe_id]
        is_same_work = (
            shared.status == SUCCESS
            and shared.content == to_digest(version.content)
            and (shared.code, shared.config) == (to_digest(row.code), to_digest(row.config))
        )
        if not is_same_work or here == shared.output_hash or any(p.key == known.item.key for p in self.problems):
            return
        problem = Problem(
            known.item.key,
            f"not deterministic: the same input with the same code and config gave {here} here and "
            f"{shared.output_hash} in run {shared.run_id}. Something else than these decides the result.",
        )
        self.problems.append(problem)
        self._tell(f"{problem.key}: {problem.error}")

    # -- after the run

    def export(self, ledger: Ledger, job: Job, ended: Ended) -> int:
        """Bring into the manifest what the ledger knows better; return how many entries changed.

        Raises:
            LedgerError: It was not written, or not whole; the next call goes on.
        """
        is_quiet = not ended.tally.pruned and not any(ledger.count_attempts(ended.run.id).values())
        changed = 0 if self._is_agreed and is_quiet else self._export(ledger, job, ended)
        if not changed and not self.problems:
            now = clock.now()
            with ledger.transaction(job.id, now=now) as tx:
                agreed = _Agreed(self._shared.state, ledger.head(job.id).seq, self._today, self._has_offers)
                tx.put_memo(_memo_name(job.id), json.dumps(agreed).encode())
        return changed

    def _export(self, ledger: Ledger, job: Job, ended: Ended) -> int:
        rows = {row.id: row for row in ledger.recipes(job.id)}
        runs = _Runs(ledger)
        pending = {row.item_id for row in ledger.publishes(job.id)}
        entries: list[SharedEntry] = []
        used: set[int] = set()
        gone: list[str] = []
        changed = 0
        for known in ledger.known_all(job.id):
            if known.item.id in pending:
                continue
            standing = self._shared.entry(self._prefix + known.item.key)
            if known.item.state == ItemState.GONE:
                if standing is not None and _has_left(ledger, known, standing):
                    gone.append(standing.key)
                continue
            entry = self._entry(ledger, known, standing, rows, runs)
            if entry is None:
                continue
            entries.append(entry)
            if known.version is not None:
                used.add(known.version.recipe_id)
            if len(entries) >= _AT_ONCE:
                changed += self._shared.write(entries, recipes=_parts(rows, used), saves=False)
                entries = []
        changed += len(gone)
        run = self._run(ledger, job, ended) if changed or entries else None
        return changed + self._shared.write(entries, run=run, recipes=_parts(rows, used), gone=gone, saves=True)

    def _entry(
        self,
        ledger: Reader,
        known: Known,
        standing: SharedEntry | None,
        rows: Mapping[int, RecipeRow],
        runs: _Runs,
    ) -> SharedEntry | None:
        """Return what the manifest should say of an item; None when it says so, or says something later."""
        item, version = known
        match item.state:
            case ItemState.SUCCEEDED if version is not None:
                row = rows[version.recipe_id]
                made = to_digest(version.content), to_digest(version.digest), to_digest(row.code), to_digest(row.config)
                if standing is not None:
                    if (standing.status, standing.content, standing.output_hash, standing.code, standing.config) == (
                        SUCCESS, *made,
                    ):
                        return None
                    self._compare(standing, known, rows)
                    if standing.recorded_at >= version.recorded_at:
                        return None
                attempt = _attempt(ledger, item.id, version.number)
                if attempt.reason == Reason.ADOPTED and standing is not None:
                    return None  # what is there was adopted, or is later
                content, digest, code, config = made
                return SharedEntry(
                    key=self._prefix + item.key, content=content, status=SUCCESS, run_id=runs.name(attempt.run_id),
                    recorded_at=version.recorded_at, output=os.path.join(self._out, version.output),
                    output_hash=digest, output_size=version.size_bytes, code=code, config=config,
                    validation=version.validation, input_size=version.input_size, elapsed_s=_elapsed_s(attempt),
                    extra={} if standing is None else standing.extra,
                )
            case ItemState.FAILED | ItemState.QUARANTINED:
                return self._failure(ledger, known, standing, runs)
            case _:
                return None

    def _failure(
        self, ledger: Reader, known: Known, standing: SharedEntry | None, runs: _Runs
    ) -> SharedEntry | None:
        item, version = known
        attempts = ledger.attempts(item.id)
        if not attempts or attempts[-1].finished_at is None:
            return None
        at = attempts[-1].finished_at
        if standing is not None and standing.recorded_at >= at:
            return None
        place = os.path.join(self._out, quarantine_path(item.key))
        return SharedEntry(
            key=self._prefix + item.key,
            content=None if version is None else to_digest(version.content),
            status=FAILED,
            run_id=runs.name(attempts[-1].run_id),
            recorded_at=at,
            output=None if version is None else os.path.join(self._out, version.output),
            output_hash=None if version is None else to_digest(version.digest),
            output_size=None if version is None else version.size_bytes,
            reason=item.note,
            attempts=item.tries,
            input_size=None if version is None else version.input_size,
            quarantine=place if item.state == ItemState.QUARANTINED else None,
            elapsed_s=_elapsed_s(attempts[-1]),
            extra={} if standing is None else standing.extra,
        )

    def _run(self, ledger: Reader, job: Job, ended: Ended) -> SharedRun:
        run = ledger.run_by_id(ended.run.id) or ended.run
        head = ledger.head(job.id)
        finished_at = run.finished_at or clock.now()
        facts = {
            "started_at": clock.text(run.started_at),
            "completed_at": clock.text(finished_at),
            "status": ended.status.value,
            "git_commit": json.loads(run.environment).get("git_commit"),
            "job": job.name,
            "pipeline": job.pipeline,
            "summary": ended.tally.as_counts(),
            "anchor": {"ledger": ledger.uuid, "seq": head.seq, "hash": to_digest(head.hash)},
        }
        return SharedRun(run_id=run.name, facts=facts, config=json.loads(run.config))


class _Agreed(NamedTuple):
    """That manifest and ledger tell the same, as a memo; so that the next run need not compare them entry by entry.

    Attributes:
        state: Of the manifest's files.
        seq: End of the job's journal.
        today: The recipe.
        has_offers: The manifest has something to adopt, as soon as its input is here.
    """

    state: str
    seq: int
    today: str
    has_offers: bool


def _memo_name(job_id: int) -> str:
    return f"manifest/{job_id}"


def _agreed(reader: Reader, job_id: int) -> _Agreed | None:
    memo = reader.memo(_memo_name(job_id)) if job_id else None
    try:
        return None if memo is None else _Agreed(*json.loads(memo))
    except (ValueError, TypeError):
        return None


def compare(where: str, place: str, made: Iterable[tuple[str, str]]) -> dict[str, object]:
    """Return what a manifest says, for `onward check`.

    Args:
        where: The manifest.
        place: The input, absolute.
        made: Key and digest of the outputs that stand.

    Returns:
        `path`, `files`, `success`, `failed`, and `differs`: the keys for which it has another output, or none.

    Raises:
        LedgerError: It cannot be read.
    """
    shared = open_manifest(where)
    prefix = _prefix(shared, place)
    states = Counter(entry.status == SUCCESS for entry in shared.entries())
    differs = []
    for key, digest in made:
        entry = shared.entry(prefix + key)
        if entry is None or (entry.status, entry.output_hash) != (SUCCESS, digest):
            differs.append(key)
    return {
        "path": where, "files": states.total(), "success": states[True], "failed": states[False], "differs": differs
    }


def _prefix(shared: Shared, place: str) -> str:
    key = shared.key_of(place)
    return "" if key == "." else key + "/"


class _Runs:
    """Names of runs, asked for once each."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._names: dict[int, str] = {}

    def name(self, run_id: int) -> str:
        if run_id not in self._names:
            run = self._reader.run_by_id(run_id)
            self._names[run_id] = "" if run is None else run.name
        return self._names[run_id]


def _beside(
    entries: Iterator[tuple[str, SharedEntry]], known_all: Iterator[Known]
) -> Iterator[tuple[str, SharedEntry, Known | None]]:
    """Put what is known beside each entry; both come in the order of their keys."""
    known = next(known_all, None)
    for key, shared in entries:
        while known is not None and known.item.key < key:
            known = next(known_all, None)
        yield key, shared, known if known is not None and known.item.key == key else None


def _has_left(ledger: Reader, known: Known, standing: SharedEntry) -> bool:
    """Say whether an item that left its source is what the manifest speaks of, and not something newer."""
    instants = [attempt.finished_at or 0 for attempt in ledger.attempts(known.item.id)]
    instants += [version.recorded_at for version in ledger.versions(known.item.id)]
    return standing.recorded_at <= max(instants, default=0)


def _attempt(ledger: Reader, item_id: int, serial: int) -> Attempt:
    return next(attempt for attempt in ledger.attempts(item_id) if attempt.serial == serial)


def _elapsed_s(attempt: Attempt) -> float | None:
    return None if attempt.finished_at is None else (attempt.finished_at - attempt.started_at) / 1e6


def _parts(rows: Mapping[int, RecipeRow], used: set[int]) -> dict[tuple[str, str], Mapping[str, object]]:
    return {
        (to_digest(rows[row_id].code), to_digest(rows[row_id].config)): json.loads(rows[row_id].parts)
        for row_id in sorted(used)
    }
