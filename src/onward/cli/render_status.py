"""Prints where jobs stand, and what came of a pause, a resume or a stop."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from onward.cli.render import document, span
from onward.model.item import printable
from onward.model.money import amount, micro

_SHOWN_MAX = 20
_PLATFORM_IDS = {"job_id": "job", "run_id": "run", "cluster_id": "cluster"}
_MONITOR_WORDS = {"running": "PROGRESS"}

Facts = Mapping[str, Any]
"""A document of `--json`; its fields are listed in docs/reference/json.md."""


def chosen(job: str, *, is_named: bool, as_json: bool) -> None:
    """Say which job was taken when none was named."""
    if not is_named:
        click.echo(f"job {printable(job)}", err=as_json)


def all_jobs(jobs: Sequence[Facts], *, as_json: bool) -> None:
    """Print every job, a line each."""
    if as_json:
        document({"schema": "onward.jobs/1", "jobs": list(jobs)})
        return
    for facts in jobs:
        progress, counts = facts["progress"], facts["counts"]
        bad = counts["failed"] + counts["quarantined"]
        click.echo(
            f"{printable(facts['job']):<32} {facts['status']:<12} {progress['done']}/{progress['total']} "
            f"({progress['percent']}%)" + (f"  failed {bad}" if bad else "")
        )


def status(facts: Facts, *, as_json: bool) -> None:
    """Print where a job stands."""
    if as_json:
        document(dict(facts))
        return
    progress, recent = facts["progress"], facts["recent"]
    click.echo(f"job:      {printable(facts['job'])}")
    click.echo(f"status:   {status_words(facts)}")
    click.echo(f"progress: {progress['done']}/{progress['total']} ({progress['percent']}%)")
    click.echo(f"items:    {items_words(facts)}")
    if facts["run_id"] is not None:
        click.echo(f"runs:     {facts['restarts'] + 1}, the last one {facts['run_id']}")
    if "platform" in facts:
        click.echo(f"platform: {platform_words(facts['platform'])}")
    if facts["eta_s"] is not None:
        click.echo(f"rate:     {facts['rate_per_min']}/min, {span(facts['eta_s'])} left")
    if "cost" in facts:
        click.echo(f"spent:    {cost_words(facts)}")
    if recent:
        click.echo("recent:   " + ", ".join(f"{printable(one['key'])} {one['outcome']}" for one in recent))
    for line in failed_lines(facts, _SHOWN_MAX):
        click.echo(line)


def status_words(facts: Facts) -> str:
    """Return a job's status, with who runs it, and with the request that stands."""
    words = str(facts["status"])
    holder, asked = facts["holder"], facts["control"]
    if holder is not None:
        words += f" (process {holder['pid']} on {printable(holder['host'])})"
    if asked is None or asked["request"] not in ("pause", "stop"):
        return words
    why = f": {printable(asked['why'])}" if asked["why"] else ""
    name, host = printable(asked["who"].partition(" <")[0]), printable(asked["host"])
    who = f"by {name} on {host} at {asked['requested_at'][:19]}Z{why}"
    if facts["status"] in ("paused", "stopped"):
        return f"{words} {who}"
    if asked["obeyed_at"] is None:
        return f"{words}; {asked['request']} asked {who}, not answered yet"
    return f"{words}; {asked['request']} asked {who}, {in_flight_words(facts['in_flight'])}"


def platform_words(platform: Facts) -> str:
    """Return which run of which platform it is, and what that says of it."""
    told = [f"{word} {platform[name]}" for name, word in _PLATFORM_IDS.items() if platform.get(name)]
    state = [str(platform[name]) for name in ("life_cycle_state", "result_state", "message") if platform.get(name)]
    words = f"{platform['name']} {', '.join(told)}" + (f": {', '.join(state)}" if state else "")
    words += f" ({platform['page']})" if platform.get("page") else ""
    return printable(words + (f"; {platform['problem']}" if platform.get("problem") else ""))


def items_words(facts: Facts) -> str:
    """Return how many items are in each state."""
    words = [f"{count} {state}" for state, count in facts["counts"].items() if count]
    not_begun = facts["progress"]["total"] - sum(count for state, count in facts["counts"].items() if state != "gone")
    if facts["in_flight"]:
        words.append(f"{facts['in_flight']} in flight")
    if not_begun > 0:
        words.append(f"{not_begun} not begun")
    return ", ".join(words) or "none yet"


def cost_words(facts: Facts) -> str:
    """Return what was paid, and for how many tokens."""
    cost = amount(micro(facts["cost"]))
    return f"{cost} ({facts['tokens_in']:,} tokens in, {facts['tokens_out']:,} out)"


def in_flight_words(count: int) -> str:
    """Return what becomes of items in flight."""
    return "nothing is in flight" if count == 0 else f"{count} item{'s' if count > 1 else ''} in flight finish"


def failed_lines(facts: Facts, most: int) -> list[str]:
    """Return the items that wait for a person or failed, each with its reason; at most so many."""
    failed = facts["failed"]
    if not failed:
        return []
    lines = [f"Failed Documents ({len(failed)}):"]
    lines += [f"  ✗ {printable(one['key'])} ({printable(one['reason'] or '')})" for one in failed[:most]]
    if len(failed) > most:
        lines.append(f"  ... and {len(failed) - most} more; --json lists all.")
    return lines


def monitor_line(number: int, facts: Facts) -> None:
    """Print one line of `monitor`, in the promised form (S2-025)."""
    progress, counts = facts["progress"], facts["counts"]
    word = _MONITOR_WORDS.get(facts["status"], facts["status"].upper())
    click.echo(
        f"[{number}] {time.strftime('%H:%M:%S')} | Status: {word} | Progress: {progress['done']}/{progress['total']} "
        f"({progress['percent']:.1f}%) | Failed: {counts['failed'] + counts['quarantined']} "
        f"| Rate: {facts['rate_per_min']:.1f} docs/min"
    )


# -- what came of a request


def waiting(request: str, waited_s: float) -> None:
    """Say that the run has not answered yet."""
    click.echo(f"{request} asked; waiting for the run's answer ({waited_s:.1f} s)", err=True)


def waiting_for(in_flight: int, pid: int, host: str) -> None:
    """Say what a resume waits for."""
    click.echo(f"waiting for process {pid} on {printable(host)}: {in_flight_words(in_flight)}", err=True)


def asked(seen: Facts, *, as_json: bool) -> None:
    """Print what came of a pause, a stop, or of lifting one."""
    if as_json:
        document(dict(seen))
        return
    click.echo(_answer(seen))


def _answer(seen: Facts) -> str:
    job, holder = printable(seen["job"]), seen["holder"]
    who = "" if holder is None else f"process {holder['pid']} on {printable(holder['host'])}"
    before = "" if seen["is_new"] else " already"
    if seen["request"] in ("pause", "stop"):
        word = "paused" if seen["request"] == "pause" else "stopped"
        if seen["superseded_by"] is not None:
            return f"{job}: the {seen['request']} was followed by '{seen['superseded_by']}', which stands now"
        if not seen["is_obeyed"]:
            return f"{job}: {seen['request']} asked; {who or 'the run'} has not answered yet, and will between items"
        return f"{job}: {word}{before}; {in_flight_words(seen['in_flight'])}"
    if seen.get("goes_on"):
        return f"{job}: lifted before {who or 'the run'} had seen it, which goes on"
    if not seen["is_new"]:
        return f"{job}: nothing to lift; {seen['status']}"
    return f"{job}: lifted; `onward resume {job}` or the same run goes on"
