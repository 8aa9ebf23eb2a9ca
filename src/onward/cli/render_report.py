"""Prints what a run did, and whether what it made still holds."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from onward import clock
from onward.cli.render import document
from onward.engine.answer import Answer
from onward.engine.questions.check_run import SUPERSEDED
from onward.engine.questions.costs import cost_words
from onward.engine.reports.report_plot import size, span
from onward.model.item import printable
from onward.model.record import to_digest

if TYPE_CHECKING:
    from onward.engine.questions.check_run import RunCheck
    from onward.engine.reports.report import Report
    from onward.engine.run import Line

_SHOWN_MAX = 20


def stream(report: Report, lines: Iterator[Line]) -> None:
    """Print the report as one JSON document whose items are written as they come."""
    for text in Answer(report.document(), lines).texts():
        sys.stdout.write(text)
    sys.stdout.flush()


def report(report: Report, *, page: str | None) -> None:
    """Print what a run did."""
    run, counts = report.run, report.counts
    label = f" '{printable(run.label)}'" if run.label else ""
    took = "" if report.elapsed_s is None else f", {span(report.elapsed_s)}"
    click.echo(f"run {run.name}{label} of {printable(report.job.name)}: {report.status}{took}")
    _fact("began", clock.text(run.started_at)[:19].replace("T", " ") + " UTC")
    told = [f"{counts['processed']} processed", f"{counts['skipped']} skipped (unchanged)"]
    told += [f"{counts[name]} {name}" for name in ("failed", "quarantined", "held", "remaining") if counts[name]]
    _fact("items", f"{', '.join(told)}; {counts['total']} in all; results stand for {report.success_rate:g} %")
    if not report.is_counted:
        _fact("note", "the run did not come to its end and left no counts; these are what its attempts say")
    reasons = report.account.reasons
    if reasons:
        _fact("because", ", ".join(f"{printable(reason)} {items}" for reason, items in reasons))
    answers = ", ".join(f"{name} {count}" for name, count in report.validation.items())
    if answers:
        _fact("checks", answers)
    speed = [f"{report.files_per_second:.3g} items/s"] if report.files_per_second else []
    speed += [f"at most {size(report.seen.peak_bytes)} of memory"] if report.seen.peak_bytes else []
    if speed:
        _fact("speed", ", ".join(speed))
    known = report.measured
    if known.item_s is not None and counts["skipped"]:
        measure = f"{span(known.item_s)} an item, measured over {known.items} results in {known.runs} runs"
        _fact("saved", f"about {span(report.saved_s)} ({measure})")
    if report.spent.receipts:
        _fact("cost", cost_words(report.spent))
    for one in report.account.types:
        click.echo(f"  {one.kind:<10} {printable(one.reason)}: {one.items} items, {one.attempts} attempts")
    if report.failures:
        click.echo(f"failed items ({len(report.failures)}):")
        for item in report.failures[:_SHOWN_MAX]:
            click.echo(f"  {printable(item.key)}  ({printable(item.reason)}) {printable(item.message)}")
        _more(len(report.failures))
    if report.slowest:
        click.echo("slowest:")
        for slow in report.slowest[:5]:
            click.echo(f"  {span(slow.elapsed_s):>9}  {printable(slow.key)}")
    if report.anchor.hash:
        _fact("anchor", f"{report.anchor.seq} {to_digest(report.anchor.hash)}")
    if os.path.exists(report.file):
        _fact("files", printable(os.path.dirname(report.file)))
    if page is not None:
        _fact("page", printable(os.path.abspath(page)))


def checked(found: RunCheck, *, as_json: bool) -> None:
    """Print whether what a run made still holds, and what came from what."""
    if as_json:
        document(found.document())
        return
    report, counts = found.report, found.report.counts
    for item in found.items[: 5 * _SHOWN_MAX]:
        detail = f": {printable(item.detail)}" if item.detail else ""
        click.echo(f"{item.finding:<15} {printable(item.key)}  {item.content[:19]}  {item.validation}{detail}")
        click.echo(f"{'':<15} → {printable(item.output)}  {item.digest[:19]}")
    if len(found.items) > 5 * _SHOWN_MAX:
        click.echo(f"... and {len(found.items) - 5 * _SHOWN_MAX} more; --json lists all.")
    for failure in report.failures[:_SHOWN_MAX]:
        why = f"({printable(failure.reason)}) {printable(failure.message)}"
        click.echo(f"{'failed':<15} {printable(failure.key)}  {why}")
    _more(len(report.failures))
    bad = sum(1 for item in found.items if not item.is_good)
    later = sum(1 for item in found.items if item.finding == SUPERSEDED)
    told = [f"{len(found.items) - later} outputs {'read and validated' if found.is_validated else 'looked at'}"]
    told += [f"{bad} not as they were made" if bad else "all as they were made"]
    told += [f"{later} replaced since"] if later else []
    click.echo(
        f"run {report.run.name} of {printable(report.job.name)}: {counts['processed']} processed, "
        f"{counts['skipped']} skipped, {len(report.failures)} failed; {', '.join(told)}."
    )
    if found.manifest is not None:
        differs = found.manifest["differs"]
        assert isinstance(differs, list)
        click.echo(
            f"manifest {printable(str(found.manifest['path']))}: {found.manifest['success']} done, "
            f"{found.manifest['failed']} failed; "
            + (f"it says something else of {len(differs)} of these outputs." if differs else "it says the same.")
        )
    if not found.is_validated and found.items:
        click.echo("`--validate` also reads each of them, and asks the pipeline's checks again.")


def _fact(name: str, value: str) -> None:
    click.echo(f"{name + ':':<9}{value}")


def _more(count: int) -> None:
    if count > _SHOWN_MAX:
        click.echo(f"  ... and {count - _SHOWN_MAX} more; --json lists all.")
