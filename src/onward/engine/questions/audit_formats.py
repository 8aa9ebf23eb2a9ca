"""An audit trail as a file: HTML to read, CSV for a table, JSON for a program; written piece by piece.

Nothing from outside is trusted: in HTML everything is escaped and nothing can run or be fetched; a CSV cell that a
spreadsheet would take for a formula begins with an apostrophe; control characters are spelled out. What the lines say
is `audit_trail.py`.
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Callable, Iterator
from html import escape

from onward.engine.questions.audit_trail import Line, Trail
from onward.model.item import printable

_COLUMNS = ("job", "seq", "recorded_at", "event", "who", "where", "run", "subject", "what", "why", "chain", "values")
_FORMULA = frozenset("=+-@")

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem; color: #1c1e21; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } caption { text-align: left; padding: .3rem 0; color: #555; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #dcdfe3; }
th { background: #f2f4f6; position: sticky; top: 0; }
td { overflow-wrap: anywhere; } td.n { text-align: right; font-variant-numeric: tabular-nums; }
td.t { white-space: nowrap; } code, pre { font: 12px/1.4 ui-monospace, monospace; white-space: pre-wrap; }
tr.bad td, p.bad { background: #fdecea; } p.good { background: #e9f5ec; } p.good, p.bad { padding: .6rem .8rem; }
summary { cursor: pointer; color: #34506e; }
"""


def texts(trail: Trail, form: str) -> Iterator[str]:
    """Return a trail as text, piece by piece.

    Args:
        trail: What to write.
        form: A name in `FORMATS`.
    """
    return FORMATS[form](trail)


def _json(trail: Trail) -> Iterator[str]:
    head = {**trail.verified.document(), "schema": "onward.audit-trail/1", "exported_at": trail.exported_at}
    text = json.dumps(head, indent=1, ensure_ascii=True)
    yield text[: text.rindex("}")].rstrip() + ',\n "lines": ['
    comma = "\n  "
    for line in trail.lines:
        yield comma + json.dumps(line._asdict(), ensure_ascii=True)
        comma = ",\n  "
    yield "\n ]\n}\n"


def _csv(trail: Trail) -> Iterator[str]:
    """Return a line each; what was found wrong comes first, as lines of its own."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n")

    def row(values: list[object]) -> str:
        writer.writerow([_cell(value) for value in values])
        text = buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        return text

    yield row(list(_COLUMNS))
    document = trail.verified.document()
    for found in _listed(document["findings"]):
        yield row([
            found["job"], found["seq"], found["recorded_at"], f"found-{found['kind']}", "", "", "", "", found["what"],
            "", "broken", "",
        ])
    for unread in _listed(document["unreadable"]):
        yield row(["", "", "", "found-unreadable", "", "", "", unread["file"], unread["error"], "", "", ""])
    for line in trail.lines:
        yield row([*line[:-1], json.dumps(line.values, ensure_ascii=False, sort_keys=True)])


def _cell(value: object) -> str:
    """Return a cell's text; one that a spreadsheet would compute is marked as text."""
    text = printable("" if value is None else str(value))
    # NFKC turns the full-width forms of the signs, which some spreadsheets obey as well, into the plain ones.
    first = unicodedata.normalize("NFKC", text.lstrip()[:1])
    return "'" + text if first in _FORMULA and first else text


def _html(trail: Trail) -> Iterator[str]:
    verified = trail.verified
    yield (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>Audit trail</title>\n<style>{_STYLE}</style></head><body>\n<h1>Audit trail</h1>\n"
        f"<p>Ledger <code>{_text(verified.audit.ledger)}</code>, exported {_text(trail.exported_at)}. "
        "All times are UTC. Each line is one change as it was recorded; no line replaces an earlier one.</p>\n"
    )
    if verified.is_whole:
        yield '<p class="good">Every journal is whole, and every row is as the journal says.</p>\n'
    else:
        yield '<p class="bad">The record is not what was written. What was found is listed below.</p>\n'
    yield "<h2>Journals</h2>\n<table><tr><th>Job<th>Entries<th>Last entry<th>Head<th>Anchors that agree<th>Chain</tr>\n"
    for job in _listed(verified.document()["jobs"]):
        chain = "whole" if job["broken_at"] is None else f"broken at entry {job['broken_at']}"
        yield (
            f"<tr><td>{_text(job['job'])}<td class=n>{_text(job['seq'])}<td class=t>{_text(job['recorded_at'])}"
            f"<td><code>{_text(job['head'])}</code><td class=n>{_text(job['anchors'])}<td>{_text(chain)}</tr>\n"
        )
    yield "</table>\n"
    yield from _html_findings(trail)
    yield "<h2>What was done</h2>\n<table>\n"
    yield "<tr><th>No.<th>Recorded<th>Event<th>Who<th>Run<th>Item<th>What<th>Why<th>Chain</tr>\n"
    job_name = None
    for line in trail.lines:
        if line.job != job_name:
            job_name = line.job
            yield f"<tr><th colspan=9>Job {_text(job_name)}</tr>\n"
        yield _html_line(line)
    yield "</table>\n</body></html>\n"


def _html_findings(trail: Trail) -> Iterator[str]:
    document = trail.verified.document()
    if trail.verified.is_whole:
        return
    yield "<h2>What was found</h2>\n<table><tr><th>Job<th>Kind<th>Entry<th>Recorded<th>What</tr>\n"
    for found in _listed(document["findings"]):
        yield (
            f'<tr class="bad"><td>{_text(found["job"])}<td>{_text(found["kind"])}<td class=n>{_text(found["seq"])}'
            f"<td class=t>{_text(found['recorded_at'])}<td>{_text(found['what'])}</tr>\n"
        )
    for unread in _listed(document["unreadable"]):
        yield (
            f'<tr class="bad"><td><td>unreadable<td><td><td>{_text(unread["file"])}: {_text(unread["error"])}</tr>\n'
        )
    yield "</table>\n"
    more = trail.verified.audit.total - len(trail.verified.audit.findings)
    if more:
        yield f"<p>{more} more are not listed.</p>\n"


def _html_line(line: Line) -> str:
    mark = "" if line.chain == "whole" else ' class="bad"'
    values = json.dumps({name: _opened(value) for name, value in line.values.items()}, ensure_ascii=False, indent=1)
    # The address stands once a run or request; on every line it would hide the rest.
    is_own = line.event.startswith("run-") or line.event.endswith(("-requested", "-obeyed"))
    who = line.who if is_own else line.who.partition(" <")[0]
    return (
        f"<tr{mark}><td class=n>{line.seq}<td class=t>{_text(line.recorded_at)}<td class=t>{_text(line.event)}"
        f"<td>{_text(who)}<br><small>{_text(line.where)}</small><td class=t>{_text(line.run)}<td>{_text(line.subject)}"
        f"<td>{_text(line.what)}<details><summary>as recorded</summary><pre>{_lines(values)}</pre></details>"
        f"<td>{_text(line.why)}<td>{_text(line.chain)}</tr>\n"
    )


def _opened(value: object) -> object:
    """Return what a column of JSON text holds, as it is easier to read."""
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _text(value: object) -> str:
    return escape(printable("" if value is None else str(value)))


def _lines(text: str) -> str:
    return "\n".join(_text(line) for line in text.split("\n"))


def _listed(value: object) -> list[dict[str, object]]:
    assert isinstance(value, list)
    return value


FORMATS: dict[str, Callable[[Trail], Iterator[str]]] = {"html": _html, "csv": _csv, "json": _json}
