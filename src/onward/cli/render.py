"""The only place that prints: results to stdout, progress and notes to stderr, names made safe for a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from onward import clock
from onward.cli.render_line import say
from onward.engine.answer import Answer
from onward.engine.watcher import Watcher
from onward.model.item import printable
from onward.model.money import amount, micro
from onward.model.reason import Action, Reason
from onward.model.states import ItemState, RunStatus
from onward.runs.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from onward.engine.outcomes import Finished
    from onward.engine.questions.doctor import Examination
    from onward.engine.questions.explain import Explanation
    from onward.engine.questions.verify import Verification
    from onward.engine.recover import Recovery
    from onward.engine.run import Line, Tally
    from onward.model.lineage import Edge

_SHOWN_MAX = 20
_OUTCOMES = ("processed", "skipped", "failed", "quarantined", "held")
_PLAIN_EVERY_S = 5.0


def exit_code(head: Mapping[str, object]) -> int:
    """Return the exit code of a run that ended."""
    if head["status"] in ("paused", "stopped", "interrupted"):
        return 3
    counts = head["counts"]
    assert isinstance(counts, dict)
    waiting = counts["held"] - counts.get("discarded", 0)  # what a person has decided waits for nobody
    return 1 if counts["failed"] or counts["quarantined"] or waiting or head["problems"] else 0


def document(value: object) -> None:
    """Print one JSON document."""
    say(json.dumps(value, indent=1, ensure_ascii=True))


def stream(answer: Answer) -> None:
    """Print one JSON document whose items are written as they come."""
    for text in answer.texts():
        sys.stdout.write(text)
    sys.stdout.flush()


def plan(answer: Answer, *, as_json: bool) -> None:
    """Print what a run would do."""
    if as_json:
        stream(answer)
        return
    counts = answer.head["counts"]
    assert isinstance(counts, dict)
    lines = list(answer.items)
    _table(lines)
    to_do = sum(1 for line in lines if line.action in ("process", "retry"))
    say(
        f"job {answer.head['job']}: {to_do} to process ({counts['new']} new, {counts['changed']} changed, "
        f"{counts['retried']} to retry), {counts['skipped']} unchanged, {counts['held']} held, "
        f"{counts['deleted']} gone."
    )
    _problems(answer.head)


def run(answer: Answer, *, as_json: bool) -> None:
    """Print what a run did."""
    if as_json:
        stream(answer)
        return
    head = answer.head
    counts = head["counts"]
    assert isinstance(counts, dict)
    lines = list(answer.items)
    failures = head["failures"]
    assert isinstance(failures, list)
    others = [line for line in lines if line.outcome not in ("processed", "adopted")]
    _table(others, {one["key"]: one["reason"] for one in failures})
    done = [line for line in lines if line.outcome == "processed"]
    if done:
        reasons: dict[str, int] = {}
        for line in done:
            reasons[line.reason] = reasons.get(line.reason, 0) + 1
        say("processed because: " + ", ".join(f"{printable(why)} {n}" for why, n in sorted(reasons.items())))
    parts = [f"{counts['processed']} processed", f"{counts['skipped']} skipped (unchanged)"]
    parts += [f"{counts[name]} {name}" for name in ("failed", "quarantined", "held", "remaining") if counts[name]]
    if counts["deleted"]:
        parts.append(f"{counts['deleted']} gone from the input")
    elapsed_s = float(str(head["elapsed_s"]))
    say(f"{head['status']}: {', '.join(parts)}; {counts['total']} in all, {elapsed_s:.2f} s.")
    if "cost" in head:
        told = f"{head['tokens_in']:,} tokens in, {head['tokens_out']:,} out"
        say(f"cost:    {amount(micro(float(str(head['cost']))))} ({told})")
    _problems(head)
    say(f"outputs: {printable(str(head['out']))}")
    say(f"report:  {printable(str(head['report']))}")
    if counts["quarantined"] or counts["held"]:
        say(f"why:     {_where_it_says_why(str(head['out']), str(head['job']))}")
    if head["status"] == RunStatus.INTERRUPTED:
        say("run the same command again to go on")
    if "paused_because" in head:
        say(printable(str(head["paused_because"])))
    elif head["status"] == RunStatus.PAUSED:
        say(f"go on with `onward resume {printable(str(head['job']))}`")


def _where_it_says_why(out: str, job: str) -> str:
    from onward.runs.outlet import is_file, is_url

    if is_url(out):
        return f"onward quarantine list {printable(job)}"
    return printable(os.path.join(os.path.dirname(out) if is_file(out) else out, "quarantine"))


def _problems(head: Mapping[str, object]) -> None:
    problems = head["problems"]
    assert isinstance(problems, list)
    for problem in problems:
        say(f"not looked at: '{printable(problem['place'] or '.')}': {problem['error']}", err=True)


def _table(lines: Sequence[Line], reasons: Mapping[str, str] | None = None) -> None:
    for line in lines[:_SHOWN_MAX]:
        key = printable(line.key)
        if line.reason == Reason.GONE:
            say(f"gone      {key}")
            continue
        why = (reasons or {}).get(line.key)
        outcome = f" → {line.outcome}" if line.outcome and line.action != Action.HOLD else ""
        tail = f"{outcome}: {printable(why)}" if why else outcome
        say(f"{line.action:<9} {key}  ({printable(line.reason)}){tail}")
    if len(lines) > _SHOWN_MAX:
        say(f"... and {len(lines) - _SHOWN_MAX} more; --json lists all.")


class _Plain(Watcher):
    """A line every few seconds, for logs and pipes."""

    def __init__(self) -> None:
        self.progress_so_far = Progress()
        self._printed_at = clock.monotonic()

    def job_found(self, job: str, place: str, out: str) -> None:
        say(f"job {printable(job)}: {printable(place)} → {printable(out)}", err=True)

    def recovered(self, recovery: Recovery) -> None:
        if recovery.mended:
            say(
                f"others wrote to where results go: {recovery.mended} parts were missing, altered or nobody's; mended",
                err=True,
            )
        if not recovery._replace(mended=0).is_empty:
            say(
                f"recovered from an earlier run that did not end: {recovery.published} results delivered, "
                f"{recovery.lost} attempts lost, {recovery.reopened} reopened, {recovery.removed} leftovers removed",
                err=True,
            )

    def lost(self, entries: int) -> None:
        say(
            f"the ledger has lost its last {entries} entries; items they told of are looked at anew, and done again "
            "where nothing shows that they were done",
            err=True,
        )

    def told(self, sentence: str) -> None:
        say(f"manifest: {printable(sentence)}", err=True)

    def noticed(self, sentence: str) -> None:
        say(printable(sentence), err=True)

    def memory_high(self, used_mb: float, workers: int) -> None:
        say(f"High memory usage: {used_mb:.1f}MB; going on with {workers} at once", err=True)

    def progress(self, tally: Tally, finished: Sequence[Finished]) -> None:
        ended = [one for one in finished if one.state is not ItemState.FAILED]
        bad = sum(1 for one in ended if one.state is ItemState.QUARANTINED)
        self.progress_so_far.add(len(ended), bad)
        self.show(tally)

    def show(self, tally: Tally) -> None:
        now = clock.monotonic()
        if now - self._printed_at >= _PLAIN_EVERY_S:
            self._printed_at = now
            say(describe(self.progress_so_far, tally), err=True)


def describe(progress: Progress, tally: Tally) -> str:
    """Return one line of progress: done, failed, rate, time left, memory."""
    counts = tally.counts
    known = counts.new + counts.changed + counts.retried
    eta_s = progress.eta_s(max(0, known - progress.done))
    left = f" | {span(eta_s)} left" if eta_s is not None and known > progress.done else ""
    return (
        f"{progress.done}/{known} | failed {progress.failed} | {progress.rate_per_s() * 60:.1f}/min{left}"
        f" | {_memory_mb():.0f} MB"
    )


def _memory_mb() -> float:
    import psutil

    return float(psutil.Process().memory_info().rss) / 1e6


def span(seconds: float) -> str:
    """Spell a number of seconds as h:mm:ss, or m:ss."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _Bar(_Plain):
    """One bar, on a terminal. Nothing is imported and nothing drawn before there is work."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def show(self, tally: Tally) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(
                BarColumn(bar_width=30),
                TextColumn("{task.description}"),
                console=Console(stderr=True),
                auto_refresh=False,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=None)
        now = clock.monotonic()
        if now - self._printed_at < 0.1 or self._task is None:
            return
        self._printed_at = now
        counts = tally.counts
        known = counts.new + counts.changed + counts.retried
        self._bar.update(
            self._task, total=known, completed=self.progress_so_far.done,
            description=describe(self.progress_so_far, tally),
        )
        self._bar.refresh()

    def ended(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


@contextmanager
def watcher(*, quiet: bool) -> Iterator[Watcher]:
    """Return what shows the progress of a run: a bar on a terminal, plain lines elsewhere."""
    plain = not sys.stderr.isatty() or bool(os.environ.get("CI")) or bool(os.environ.get("NO_COLOR"))
    made = _Plain() if plain or quiet else _Bar()
    try:
        yield made
    finally:
        made.ended()


# -- answers to questions


def explanation(found: Explanation) -> None:
    """Print why an item would, or would not, run."""
    say(f"{printable(found.key)}: {found.action}, because {printable(found.reason)}")
    if found.state is not None:
        note = f" ({printable(found.note)})" if found.note else ""
        say(f"state: {found.state}{note}, tries spent on this fingerprint: {found.tries}")
    for part in found.parts:
        mark = "≠" if part.differs else "=" if part.before == part.today else " "
        say(f"  {mark} {part.kind:<8} {printable(part.name)}")
        if part.before != part.today:
            say(f"      before: {printable(part.before or 'unknown')}")
            say(f"      today:  {printable(part.today or 'not known before a run')}")
    for name, where, why in found.unresolved:
        say(f"  ? {printable(name)} in {printable(where)}: {printable(why)}; changes there are not seen")


def job_history(job: str, runs: list[dict[str, object]], *, as_json: bool) -> None:
    """Print the runs of a job, newest first."""
    if as_json:
        document({"schema": "onward.history/1", "job": job, "runs": runs})
        return
    say(f"job {printable(job)}: {len(runs)} runs")
    for run_ in runs:
        counts, environment = run_["counts"], run_["environment"]
        assert isinstance(environment, dict)
        did = ""
        if isinstance(counts, dict):
            did = ", ".join(f"{counts[name]} {name}" for name in _OUTCOMES if counts[name])
        label = f" '{printable(str(run_['label']))}'" if run_["label"] else ""
        who = (environment.get("researcher") or "?").partition(" <")[0]
        commit = environment.get("git_commit") or "no git"
        cost = f", cost {amount(micro(float(str(run_['cost']))))}" if "cost" in run_ else ""
        name = f"{run_['run_id']}{label}"
        say(f"{name}  {run_['status']:<11} {did or 'nothing'}{cost}  [{commit}, {printable(who)}]")


def run_history(facts: dict[str, object], items: list[dict[str, object]], *, as_json: bool) -> None:
    """Print the attempts of a run."""
    if as_json:
        document({"schema": "onward.run-history/1", **facts, "items": items})
        return
    say(f"run {facts['run_id']} of {printable(str(facts['job']))}: {facts['status']}, {len(items)} attempts")
    for item in items:
        error = item["error"]
        why = f"  {printable(error['message'])}" if isinstance(error, dict) else ""
        spent = f" {item['elapsed_s']:.3f} s" if isinstance(item["elapsed_s"], float) else ""
        key, reason = printable(str(item["key"])), printable(str(item["reason"]))
        say(f"  {item['outcome']!s:<11} {key} ({reason}){spent}{why}")


def lineage(asked: str, edges: Sequence[Edge], *, as_json: bool) -> None:
    """Print how outputs came to be."""
    if as_json:
        document({"schema": "onward.lineage/1", "asked": asked, "edges": [_edge(edge) for edge in edges]})
        return
    for edge in edges:
        mark = "*" if edge.is_current else " "
        say(f"{mark} {printable(edge.key)}  {edge.content}")
        say(f"    attempt {edge.attempt} in run {edge.run}, {edge.validation}, {clock.text(edge.recorded_at)}")
        say(f"    → {printable(edge.output)}  {edge.digest}")


def _edge(edge: Edge) -> dict[str, object]:
    from dataclasses import asdict

    return {**asdict(edge), "recorded_at": clock.text(edge.recorded_at)}


def verification(found: Verification, *, as_json: bool) -> None:
    """Print what verify found."""
    if as_json:
        from dataclasses import asdict

        document({
            "schema": "onward.verify/1", "job": found.job, "checked": found.checked, "repaired": found.repaired,
            "elsewhere": found.elsewhere, "findings": [asdict(finding) for finding in found.findings],
        })
        return
    for finding in found.findings[: 5 * _SHOWN_MAX]:
        detail = f": {printable(finding.detail)}" if finding.detail else ""
        say(f"{finding.problem:<15} {printable(finding.output)}{detail}")
    if found.elsewhere:
        say(f"elsewhere       {found.elsewhere} adopted, and made where a shared manifest says; not here")
    if not found.findings:
        here = found.checked - found.elsewhere
        say(f"job {printable(found.job)}: all {here} outputs are as recorded.")
        return
    say(f"job {printable(found.job)}: {found.checked} outputs looked at, {len(found.findings)} findings.")
    if found.repaired:
        say(f"{found.repaired} marked; the next run makes exactly these anew.")
    elif any(finding.problem.startswith("output-") for finding in found.findings):
        say("`onward verify --repair` marks what is missing or altered for the next run.")


def facts(found: Mapping[str, object], *, as_json: bool) -> None:
    """Print a few facts, one a line."""
    if as_json:
        document(found)
        return
    for name, value in found.items():
        if name != "schema":
            text = ", ".join(str(one) for one in value) or "none" if isinstance(value, list) else str(value)
            say(f"{name.replace('_', ' ')}: {printable(text)}")


def ledger_info(found: Mapping[str, object], *, as_json: bool) -> None:
    """Print what a ledger is and holds."""
    if as_json:
        document(found)
        return
    jobs = found["jobs"]
    assert isinstance(jobs, list)
    say(f"ledger:  {printable(str(found['path']))}")
    say(f"size:    {int(str(found['size_bytes'])) / 1024:.0f} KB, {found['journal_entries']} journal entries")
    store = f"SQLite {found['sqlite']}" if found["sqlite"] else f"PostgreSQL {found['postgresql']}"
    say(f"schema:  {found['schema_number']}, {printable(store)}, uuid {found['uuid']}")
    for job in jobs:
        name, head = printable(job["job"]), job["head"][:16]
        say(f"job:     {name}: {job['items']} items, {job['runs']} runs, head {head}")
    if found["is_large"]:
        say("note:    larger than 5 MB; it stays fast, and is not meant to be committed to git")
    errors = [*_list(found["page_errors"]), *_list(found["chain_errors"])]
    say("checks:  " + ("; ".join(map(printable, errors)) or "every page and chain is whole"))


def _list(value: object) -> list[str]:
    assert isinstance(value, list)
    return value


def examination(found: Examination, *, as_json: bool) -> None:
    """Print what doctor saw."""
    if as_json:
        document(found.document())
        return
    for answer in found.answers:
        mark = "BAD" if not answer.is_good else "-- " if answer.is_optional else "ok "
        say(f"{mark}  {answer.name}: {printable(answer.detail)}")
    for name, setting in sorted(found.shown().items()):
        say(f"     {name} = {printable(str(setting.value))}  ({printable(setting.origin)})")
