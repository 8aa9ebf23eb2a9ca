"""Prints what was undone, taken away and made again, and where things came from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from onward.cli.render import document
from onward.model.item import printable
from onward.model.money import amount, micro

if TYPE_CHECKING:
    from onward.engine.commands.prune import Pruned
    from onward.engine.commands.reproduce import Reproduction
    from onward.engine.commands.rollback import RolledBack

_SHOWN_MAX = 20


def rolled_back(found: RolledBack, *, dry_run: bool, as_json: bool) -> None:
    """Print what a rollback did, or would do."""
    if as_json:
        document(found.document())
        return
    for change in found.changes[:_SHOWN_MAX]:
        why = found.blocked.get(change.item.key)
        again = f"  (the next run makes it anew: {printable(change.redo)})" if change.redo else ""
        note = f"  BLOCKED: {printable(why)}" if why else again
        click.echo(f"{change.action:<9} {printable(change.output)}{note}")
    _more(len(found.changes))
    for output in found.left:
        click.echo(f"left      {printable(output)}  (a newer result of an item that has another output now)")
    counts = found.counts()
    if not found.changes:
        click.echo(f"job {printable(found.job)}: outputs are as they were after run {found.to}; nothing to do.")
        return
    verb = "would be" if dry_run else "are"
    click.echo(
        f"job {printable(found.job)}: outputs {verb} as they were after run {found.to}: {counts['restored']} put back, "
        f"{counts['retracted']} taken away" + (f", {counts['blocked']} blocked." if counts["blocked"] else ".")
    )
    if found.redo_unknown:
        click.echo(f"what the next run will do anew is not known: {printable(found.redo_unknown)}")
    elif counts["redo"]:
        click.echo(
            f"the next `onward run` makes {counts['redo']} of them anew, because their input or code is not what it "
            "was then; put that back first to keep them."
        )
    if found.run is not None:
        click.echo(f"this is run {found.run.name}; `onward rollback {printable(found.job)} --to RUN` undoes it.")


def _more(count: int) -> None:
    if count > _SHOWN_MAX:
        click.echo(f"... and {count - _SHOWN_MAX} more; --json lists all.")


def pruned(found: Pruned, *, dry_run: bool, as_json: bool) -> None:
    """Print what a prune did, or would do."""
    if as_json:
        document(found.document())
        return
    for key in found.buried.gone[:_SHOWN_MAX]:
        click.echo(f"gone      {printable(key)}")
    _more(len(found.buried.gone))
    for output in found.buried.taken[:_SHOWN_MAX]:
        click.echo(f"taken     {printable(output)}")
    _more(len(found.buried.taken))
    counts = found.counts()
    would = "would be " if dry_run else ""
    click.echo(
        f"job {printable(found.job)}: {counts['tombstoned']} items {would}marked as gone, "
        f"{counts['outputs_taken']} outputs {would}taken away."
    )
    if counts["outputs_left"]:
        click.echo(f"{counts['outputs_left']} outputs of gone items still stand; --outputs takes them away.")
    if found.dropped is not None:
        click.echo(
            f"{counts['old_outputs_dropped']} old outputs ({counts['freed_bytes'] / 1e6:.1f} MB) and "
            f"{counts['run_folders_dropped']} run folders {would}dropped; the ledger keeps its record of them."
        )
    for problem in found.problems:
        click.echo(f"not looked at: '{printable(problem.key or '.')}': {problem.error}", err=True)


def reproduced(found: Reproduction, *, as_json: bool) -> None:
    """Print what came of making a run's outputs again."""
    if as_json:
        document(found.document())
        return
    for one in found.differences:
        click.echo(f"not as then: {one.kind} {printable(one.name)}: {_spelled(one.then)} then, {_spelled(one.now)} now")
    shown = [item for item in found.items if item.result != "same" or item.why]
    for item in shown[:_SHOWN_MAX]:
        why = f"  ({printable(item.why)})" if item.why else ""
        click.echo(f"{item.result:<9} {printable(item.key)} → {printable(item.output)}{why}")
        if item.result == "different":
            click.echo(f"          then {item.recorded}")
            click.echo(f"          now  {item.found}")
    _more(len(shown))
    counts = found.counts()
    click.echo(
        f"run {found.run} of {printable(found.job)}: {counts['same']} outputs the same, {counts['different']} "
        f"different, {counts['missing']} missing."
    )
    click.echo(f"outputs: {printable(found.out)}")


def _spelled(value: str | None) -> str:
    return "not there" if value is None else printable(value)


def item_history(facts: dict[str, object], *, as_json: bool) -> None:
    """Print every attempt at one item."""
    if as_json:
        document(facts)
        return
    attempts = facts["attempts"]
    assert isinstance(attempts, list)
    note = f" ({printable(str(facts['note']))})" if facts["note"] else ""
    click.echo(f"{printable(str(facts['key']))} of {printable(str(facts['job']))}: {facts['state']}{note}")
    for one in attempts:
        spent = f"  {one['elapsed_s']:.3f} s" if one["elapsed_s"] is not None else ""
        why = f"  {printable(one['error']['message'])}" if one["error"] else ""
        outcome = one["outcome"] or "in flight"
        click.echo(f"  {one['attempt']:>3} {outcome:<11} {one['run_id']}  ({printable(one['reason'])}){spent}{why}")
        version = one["version"]
        if version is not None:
            mark = "*" if version["is_current"] else " "
            click.echo(f"    {mark} {version['content']} → {printable(version['output'])}")
            click.echo(f"      {version['digest']}, {version['size_bytes']} bytes, {version['validation']}")
    receipts = facts.get("receipts", [])
    assert isinstance(receipts, list)
    for paid in receipts:
        cost, tokens = amount(micro(paid["cost"])), f"{paid['tokens_in']:,} tokens in, {paid['tokens_out']:,} out"
        question = printable(json.dumps(paid["question"], ensure_ascii=False))
        click.echo(f"  paid {cost} in {paid['run_id']} ({tokens}): {question}")
