"""Looking at a job again and again: `status --watch` on a terminal, the lines of `monitor`.

It only reads. Where nothing was recorded since the last look nothing is asked again, and a look that took long is
followed by a longer rest, so that watching a job of a million items costs no more than a tenth of a processor.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from onward.cli import render_status as render
from onward.cli.render import span
from onward.engine.questions.status import job_status
from onward.ledger.base import Head, Ledger
from onward.model.item import printable
from onward.model.record import Job
from onward.runs.workspace import Workspace

if TYPE_CHECKING:
    from rich.text import Text

_REST = 10
"""A look is followed by a rest of at least so many times what it took."""
_RECENT = 5
_STALE_S = 10.0
"""Rate and time left are computed anew after so long, also when nothing was recorded, while a run is at work."""
_ENDED = ("completed", "paused", "stopped", "interrupted", "failed")


class Look:
    """The last look at a job."""

    def __init__(self, ledger: Ledger, workspace: Workspace, name: str, recent_max: int) -> None:
        self._ledger = ledger
        self._workspace = workspace
        self._name = name
        self._recent_max = recent_max
        self._facts: dict[str, Any] = {}
        self._basis: tuple[Head, bool] | None = None
        self._looked_at = 0.0
        self.took_s = 0.0

    def again(self) -> dict[str, Any]:
        """Return where the job stands now."""
        began = time.monotonic()
        job = self._ledger.job(self._name)
        assert job is not None, "a job is never deleted"
        basis = (self._ledger.head(job.id), self._is_held(job))
        is_stale = basis[1] and began - self._looked_at > _STALE_S
        if basis != self._basis or is_stale:
            self._facts = job_status(self._ledger, job, is_held=basis[1], recent_max=self._recent_max)
            self._basis = basis
            self._looked_at = began
        self.took_s = time.monotonic() - began
        return self._facts

    def _is_held(self, job: Job) -> bool:
        return self._workspace.is_held(job.id)


def every(
    ledger: Ledger, workspace: Workspace, name: str, interval_s: float, *,
    count: int | None = None, ends: bool = True, recent_max: int = _RECENT,
) -> Iterator[dict[str, Any]]:
    """Return where a job stands, again and again.

    Args:
        ledger: Where the job is recorded.
        workspace: The state folder.
        name: The job.
        interval_s: Seconds between two looks, at least.
        count: So many times, whatever happens.
        ends: Without a count: until the job has ended.
        recent_max: How many of the items that ended last are told.
    """
    look = Look(ledger, workspace, name, recent_max)
    seen = 0
    while True:
        facts = look.again()
        yield facts
        seen += 1
        if seen == count or (count is None and ends and facts["status"] in _ENDED):
            return
        time.sleep(max(interval_s, _REST * look.took_s))


def show(ledger: Ledger, workspace: Workspace, name: str, interval_s: float) -> None:
    """Show a job on the whole terminal until Ctrl-C, also when it has ended: somebody may resume it.

    Where there is no terminal the text of `onward status` is printed when something has changed, until it has ended.
    """
    if not sys.stdout.isatty():
        before = None
        for facts in every(ledger, workspace, name, interval_s):
            if facts != before:
                before = facts
                render.status(facts, as_json=False)
                sys.stdout.flush()
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False, soft_wrap=False)
    last: dict[str, Any] = {}
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            recent_max = max(_RECENT, console.height // 3)
            for facts in every(ledger, workspace, name, interval_s, ends=False, recent_max=recent_max):
                last = facts
                live.update(picture(facts, console.width, console.height), refresh=True)
    except KeyboardInterrupt:
        pass
    if last:
        render.status(last, as_json=False)


def picture(facts: dict[str, Any], width: int, height: int) -> Text:
    """Return a job's status as it fits on a terminal of so many columns and lines; nothing is wrapped.

    What ended last and what failed share the lines that are left; at least a few of each are shown.
    """
    from rich.text import Text

    progress = facts["progress"]
    head = [
        ("bold", printable(facts["job"])),
        ("", f"status   {render.status_words(facts)}"),
        ("", _bar(progress, width)),
        ("", f"items    {render.items_words(facts)}"),
        ("", f"pace     {_pace(facts)}"),
    ]
    recent = [
        (_STYLES.get(one["outcome"], ""),
         f"  {one['finished_at'][11:19]}Z  {one['outcome']:<11} {printable(one['key'])}")
        for one in facts["recent"]
    ]
    runs = facts["restarts"] + bool(facts["run_id"])
    foot = [("dim", f"run {facts['run_id'] or 'none yet'}, {runs} in all; Ctrl-C ends watching, not the job")]
    room = height - len(head) - len(foot) - 3
    wanted = len(facts["failed"]) + 2 if facts["failed"] else 0
    body = [("bold", "Recent"), *(recent or [("dim", "  nothing yet")])][: max(room // 2, room - wanted)]
    failed = render.failed_lines(facts, max(1, room - len(body) - 3))
    if failed:
        body += [("", ""), ("bold red", failed[0]), *(("red", line) for line in failed[1:])]
    lines = [*head, ("", ""), *body[: max(0, room)]]
    lines += [("", "")] * (height - len(lines) - len(foot)) + foot
    text = Text(no_wrap=True, overflow="ellipsis", end="")
    for number, (style, line) in enumerate(lines[:height]):
        text.append(("\n" if number else "") + _cut(line, width), style=style)
    return text


_STYLES = {"succeeded": "green", "failed": "red", "lost": "red", "interrupted": "yellow"}


def _bar(progress: dict[str, Any], width: int) -> str:
    label = f"{progress['done']}/{progress['total']} ({progress['percent']}%)"
    cells = max(10, min(60, width - 10 - len(label) - 2))
    full = round(cells * progress["done"] / progress["total"]) if progress["total"] else cells
    return f"progress {'█' * full}{'░' * (cells - full)}  {label}"


def _pace(facts: dict[str, Any]) -> str:
    if facts["status"] != "running":
        return "nothing runs"
    left = f", {span(facts['eta_s'])} left" if facts["eta_s"] is not None else ", time left not known yet"
    return f"{facts['rate_per_min']}/min{left}"


def _cut(line: str, width: int) -> str:
    from rich.cells import cell_len, set_cell_size

    return line if cell_len(line) <= width else set_cell_size(line, width - 1) + "…"
