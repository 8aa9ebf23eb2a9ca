"""The report as one page for people: what was done, what was skipped and why, what failed, how long it took.

The page needs nothing but itself: no network, no script, no font. Every text from outside (names, messages, settings)
goes through `_text`, which leaves nothing in it that a browser or a reader's eye would obey.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from html import escape
from itertools import islice

from onward import clock
from onward.engine.questions.costs import cost_words
from onward.engine.reports import report_panel, report_plot
from onward.engine.reports.report import Report
from onward.engine.reports.report_panel import Panel
from onward.engine.reports.report_plot import size, span
from onward.engine.run import Line
from onward.model.config import without_password
from onward.model.item import printable
from onward.model.money import amount
from onward.model.reason import Reason
from onward.model.record import to_digest
from onward.version import __version__

_SHOWN_MAX = 100
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_WHY = {
    Reason.NEW: "new: never seen before",
    Reason.CONTENT_CHANGED: "the input changed",
    Reason.CODE_CHANGED: "the code changed",
    Reason.CONFIG_CHANGED: "a setting changed",
    Reason.DEPENDENCY_CHANGED: "a library changed",
    Reason.OUTPUT_MISSING: "the output was missing",
    Reason.OUTPUT_ALTERED: "the output had been altered",
    Reason.FORCED: "a person asked for it",
    Reason.OVERTAKEN: "a program handed over another version",
    Reason.UNFINISHED: "an earlier attempt did not come to its end",
    Reason.BACKING_OFF: "an earlier attempt failed and may succeed now",
    Reason.UNCHANGED: "unchanged: input, code and settings are as they were, and the output stands",
    Reason.QUARANTINED: "held: failed in an earlier run and waits for a person",
    Reason.DISCARDED: "discarded: a person left it out until its input changes",
    Reason.NOT_ASKED: "left out: only what had failed was asked for",
    Reason.GONE: "gone: no longer in the input; its output and its history stay",
    Reason.ADOPTED: "done elsewhere, and taken over from a manifest",
    Reason.ROLLED_BACK: "put back as it was",
}
_WORDS = {reason.value: word for reason, word in _WHY.items()}
_KINDS = {
    "transient": "may pass, and was tried again by itself",
    "permanent": "will not pass by itself",
    "poison": "took its worker down, or had to be ended",
    "cancelled": "ended by a person or a signal; spends no attempt",
    "lost": "in flight when the run died; spends no attempt",
}
_ANSWERS = {
    "PASS": "passed every check",
    "WARN": "passed with a warning",
    "FAIL": "failed a check, and no output was published",
}
_STATUS = {
    "completed": ("good", "completed"),
    "running": ("wait", "running"),
    "paused": ("wait", "paused"),
    "stopped": ("wait", "stopped"),
    "interrupted": ("wait", "interrupted"),
    "failed": ("bad", "failed"),
}
_ENVIRONMENT = {
    "researcher": "Run by",
    "host": "Machine",
    "git_commit": "Commit",
    "git_branch": "Branch",
    "onward_version": "onward",
    "python_version": "Python",
    "platform": "System",
    "timestamp": "Local time",
}


def page(report: Report, lines: Iterable[Line] = (), panel: Panel | None = None) -> str:
    """Return the page.

    Args:
        report: The facts.
        lines: The items that were not simply skipped, by key; the first hundred are shown.
        panel: What the pipeline has to say of its job.
    """
    title = f"{report.job.name}, run {report.run.name}"
    parts = [
        _head(report),
        _tiles(report),
        _done(report),
        _failures(report),
        _checks(report),
        "" if panel is None else report_panel.drawn(panel),
        _saved(report),
        _cost(report),
        _plots(report),
        _slowest(report),
        _items(lines),
        _made(report),
        _anchor(report),
    ]
    written = _moment(report.written_at)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{_text(title)}</title>\n<style>\n{_style()}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + f"\n<footer>Written {written} by onward {_text(__version__)}. The same as data: "
        f"<code>onward report {_text(report.run.name)} --json</code>.</footer>\n</body>\n</html>\n"
    )


def _style() -> str:
    with open(os.path.join(os.path.dirname(__file__), "report.css"), encoding="utf-8") as file:
        return file.read()


# -- sections


def _head(report: Report) -> str:
    looks, word = _STATUS.get(report.status, ("wait", report.status))
    attention = report.attention
    if looks == "good" and attention:
        looks, word = "bad", f"completed, {_count(attention, 'needs', 'need')} attention"
    label = f" <span class=soft>{_text(report.run.label)}</span>" if report.run.label else ""
    took = f", took {span(report.elapsed_s)}" if report.elapsed_s is not None else ""
    return (
        f'<header class="head"><h1><bdi>{_text(report.job.name)}</bdi>{label}</h1>'
        f'<span class="badge {looks}">{_text(word)}</span></header>\n'
        f'<p class="soft">Run {_text(report.run.name)} of <code>{_text(report.job.pipeline)}</code>, '
        f"{_moment(report.run.started_at)}{took}</p>\n"
        f'<p class="said">{_summary(report)}</p>'
    )


def _summary(report: Report) -> str:
    """Return the run in two or three sentences."""
    counts = report.counts
    if not report.is_counted:
        return (
            f"This run did not come to its end, so it left no counts. {_items_are(report.account.processed)} "
            f"processed before that, and {_count(len(report.account.unfinished), 'was', 'were')} still at work."
        )
    done = f"{_items_are(counts['processed'])} processed and {counts['skipped']:,} skipped as unchanged"
    told = f"{_count(counts['total'], 'item was', 'items were')} offered: {done}."
    if counts["processed"] == 0 and not report.attention and not counts["remaining"]:
        told = f"There was nothing to do: {_items_are(counts['skipped'])} as before."
    bad = counts["quarantined"] + counts["failed"]
    if bad:
        told += f" <b>{_count(bad, 'item', 'items')} failed.</b>"
    if report.waiting:
        told += f" {_items_are(report.waiting)} held, because of an earlier failure that waits for a person."
    if counts["remaining"]:
        told += f" {_items_are(counts['remaining'])} not come to, because the run ended early."
    return told


def _tiles(report: Report) -> str:
    counts = report.counts
    shown: list[tuple[str, str, str]] = [
        ("Offered", f"{counts['total']:,}", ""),
        ("Processed", f"{counts['processed']:,}", ""),
        ("Skipped", f"{counts['skipped']:,}", ""),
    ]
    for name, looks in (("failed", "bad"), ("quarantined", "bad"), ("held", "wait"), ("remaining", "wait")):
        if counts[name]:
            shown.append((name.capitalize(), f"{counts[name]:,}", looks))
    shown.append(("Success rate", f"{report.success_rate:g} %", ""))
    if report.spent.receipts:
        shown.append(("Cost", amount(report.spent.cost_micro), ""))
    if report.saved_s >= 0.5:
        shown.append(("Time saved", f"{span(report.saved_s)}", "good"))
    tiles = "".join(
        f'<div class="tile"><dt>{name}</dt><dd class="{looks}">{value}</dd></div>' for name, value, looks in shown
    )
    return f'<dl class="tiles">{tiles}</dl>'


def _plots(report: Report) -> str:
    plots = report_plot.throughput(report.account.steps, report.account.step_s)
    plots += report_plot.memory(report.seen.memory)
    if not plots:
        return ""
    peak = report.seen.peak_bytes
    rate = report.files_per_second
    facts = [f"Over the whole run, {rate:.3g} items a second were processed."] if rate else []
    facts += [f"The run and its workers held at most {size(peak)} of memory."] if peak else []
    said = f'<p class="soft">{" ".join(facts)}</p>' if facts else ""
    return f'<h2>Over time</h2>\n{said}<div class="plots">{plots}</div>'


def _done(report: Report) -> str:
    rows = [("Worked on", _why(reason), items) for reason, items in report.account.reasons]
    rows += [("Left alone", _why(reason), items) for _, reason, items in report.skips()]
    if report.counts["remaining"]:
        rows.append(("Not come to", "the run ended before their turn", report.counts["remaining"]))
    if not rows:
        return ""
    body = "".join(
        f'<tr><td class="w">{what}</td><td>{why}</td><td class="n">{items:,}</td></tr>' for what, why, items in rows
    )
    note = ""
    if report.problems:
        places = "".join(
            f'<tr><td>{_name(place or ".")}</td><td>{_text(error)}</td></tr>'
            for place, error in report.problems[:_SHOWN_MAX]
        )
        note = (
            '<p class="bad">Folders that could not be looked at; what is known of them stays as it is:</p>'
            f"<table>{_columns('Folder', 'Why')}{places}</table>"
        )
    table = f'<table>{_columns("What", "Why", "#Items")}<tbody>{body}</tbody></table>'
    return f"<h2>What was done, and why</h2>\n{table}{note}"


def _failures(report: Report) -> str:
    types, items = report.account.types, report.failures
    if not types and not items:
        held = f" {_items_are(report.waiting)} held since an earlier one." if report.waiting else ""
        return f"<h2>Failures</h2>\n<p>Nothing failed in this run.{held}</p>" if report.account.outcomes or held else ""
    rows = "".join(
        f'<tr><td><b>{_text(one.reason)}</b><span class="say">{_text(one.kind)}: {_KINDS.get(one.kind, "")}</span></td>'
        f'<td class="n" data-th="Items">{one.items:,}</td><td class="n" data-th="Attempts">{one.attempts:,}</td>'
        f"<td>{_text(one.message) or _name(one.key)}</td></tr>"
        for one in types
    )
    told = f'<table class="wide">{_columns("Type", "#Items", "#Attempts", "For example")}<tbody>{rows}</tbody></table>'
    if not items:
        return f"<h2>Failures</h2>\n<p>Every item that failed succeeded at a later attempt.</p>{told}"
    body = "".join(
        f'<tr><td>{_name(one.key)}</td><td><b>{_text(one.reason)}</b><span class="say">{_text(one.message)}</span></td>'
        f'<td class="n" data-th="Attempts">{one.attempts}</td></tr>'
        for one in items[:_SHOWN_MAX]
    )
    table = f'<table class="wide">{_columns("Item", "Why", "#Attempts")}<tbody>{body}</tbody></table>'
    return (
        f"<h2>Failures</h2>\n{told}\n<h2>Items that need attention</h2>\n"
        '<p class="soft">Each has its evidence below <code>quarantine/</code> in the output folder.</p>'
        f"{table}{_more(len(items))}"
    )


def _checks(report: Report) -> str:
    counts = [(name, report.validation.get(name, 0)) for name in ("PASS", "WARN", "FAIL")]
    total = sum(count for _, count in counts)
    if not total:
        return ""
    bar = "".join(
        f'<i class="{name.lower()}" style="flex-grow:{count}"></i>' for name, count in counts if count
    )
    told = ", ".join(f"<b>{count:,}</b> {_ANSWERS[name]}" for name, count in counts if count)
    return f'<h2>Validation</h2>\n<div class="bar" aria-hidden="true">{bar}</div><p>{told}.</p>'


def _saved(report: Report) -> str:
    known, skipped = report.measured, report.counts["skipped"]
    if known.item_s is None:
        told = "No item of this job was ever processed to its end, so there is nothing to measure by."
    else:
        results, runs = _count(known.items, "result", "results"), _count(known.runs, "run", "runs")
        basis = f"An item of this job took {span(known.item_s)} on average, measured over {results} in {runs}."
        if skipped:
            told = f"{basis} Skipping {_count(skipped, 'item', 'items')} saved about <b>{span(report.saved_s)}</b>."
        else:
            told = f"{basis} Nothing was skipped in this run, so nothing was saved."
    return f"<h2>Time saved</h2>\n<p>{told}</p>"


def _cost(report: Report) -> str:
    if not report.spent.receipts:
        return ""
    note = "An answer that was there already cost nothing again."
    return f"<h2>Cost</h2>\n<p><b>{_text(cost_words(report.spent))}</b>. {note}</p>"


def _slowest(report: Report) -> str:
    if not report.slowest:
        return ""
    rows = "".join(
        f'<tr><td>{_name(one.key)}</td><td class="n">{span(one.elapsed_s)}</td></tr>' for one in report.slowest
    )
    note = "" if report.seen.slowest else '<p class="soft">From claim to end, waiting for a worker included.</p>'
    table = f'<table>{_columns("Item", "#Time")}<tbody>{rows}</tbody></table>'
    return f"<h2>Slowest items</h2>\n{note}{table}"


def _items(lines: Iterable[Line]) -> str:
    found = list(islice(lines, _SHOWN_MAX + 1))
    if not found:
        return ""
    has_costs = any(line.spent.receipts for line in found)

    def cost(line: Line) -> str:
        told = amount(line.spent.cost_micro) if line.spent.receipts else ""
        return f'<td class="n" data-th="Cost">{told}</td>' if has_costs else ""

    rows = "".join(
        f'<tr><td>{_name(line.key)}</td><td class="w">{_text(line.outcome or "not come to")}</td>'
        f"<td>{_why(line.reason).removeprefix(f'{line.outcome}: ')}</td>{cost(line)}</tr>"
        for line in found[:_SHOWN_MAX]
    )
    more = f'<p class="soft">The first {_SHOWN_MAX} are shown; the others are in <code>report.json</code>.</p>'
    columns = _columns("Item", "Outcome", "Why", *(["#Cost"] if has_costs else []))
    table = f'<table class="wide tight">{columns}<tbody>{rows}</tbody></table>'
    return f"<h2>Items</h2>\n{table}{more if len(found) > _SHOWN_MAX else ''}"


def _made(report: Report) -> str:
    environment = json.loads(report.run.environment)
    facts = [("Input", _code(report.place)), ("Output", _code(report.out))]
    facts += [(word, _text(environment[name])) for name, word in _ENVIRONMENT.items() if environment.get(name)]
    facts += [(_text(name), _value(value)) for name, value in environment.items() if name not in _ENVIRONMENT]
    told = f"<h2>Environment</h2>\n{_facts(facts)}"
    config = json.loads(report.run.config)
    if config:
        told += f"\n<h2>Settings</h2>\n{_facts([(_text(name), _value(config[name])) for name in sorted(config)])}"
    return told


def _anchor(report: Report) -> str:
    if not report.anchor.hash:
        return ""
    facts = _facts([
        ("Ledger", _code(report.ledger)),
        ("Entry", f"{report.anchor.seq:,}"),
        ("Hash", _code(to_digest(report.anchor.hash))),
    ])
    return (
        "<h2>Anchor</h2>\n<p>The job's journal ended here when this page was written. "
        "Whoever keeps these lines can prove later that nothing before them was changed or cut off.</p>\n" + facts
    )


# -- words and cells


def _text(value: object) -> str:
    """Return a text from outside as HTML: escaped, on one line, without passwords, overrides or control characters."""
    return escape(printable(without_password(str(value))))


def _name(key: str) -> str:
    # Isolated, so that a name in a script that runs from right to left does not turn its neighbours around.
    return f'<bdi class="name">{_text(key)}</bdi>'


def _code(value: str) -> str:
    return f"<code>{_text(value)}</code>"


def _value(value: object) -> str:
    return _code(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _why(reason: str) -> str:
    """Return a reason in words; what it is about (`code-changed:parse`) follows."""
    head, _, part = reason.partition(":")
    word = _WORDS.get(head)
    if word is None:
        return _text(reason)
    return word + (f": {_code(part)}" if part else "")


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _items_are(number: int) -> str:
    return _count(number, "was", "were")


def _moment(at: clock.Micros) -> str:
    return clock.text(at)[:19].replace("T", " ") + " UTC"


def _columns(*names: str) -> str:
    """Return the head of a table; a name that begins with `#` is of numbers."""
    cells = "".join(
        f'<th scope="col" class="n">{name[1:]}</th>' if name.startswith("#") else f'<th scope="col">{name}</th>'
        for name in names
    )
    return f"<thead><tr>{cells}</tr></thead>"


def _more(count: int) -> str:
    if count <= _SHOWN_MAX:
        return ""
    return f'<p class="soft">... and {count - _SHOWN_MAX:,} more, all in <code>report.json</code>.</p>'


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    return '<dl class="facts">' + "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts) + "</dl>"
