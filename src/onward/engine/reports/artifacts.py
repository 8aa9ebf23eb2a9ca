"""What a run leaves in its folder for people and programs: `report.json`, `report.html`, `metrics.json`, its settings.

None of it is a promise: the ledger is the record, and `onward report RUN` makes the same again from there. So each
file appears whole under its name, by rename, and is not synced: a power loss in the next seconds may cost it, and a run
that had nothing to do costs no more than two small files. The page and the metrics are left by runs that did something.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from onward.disk.durable import write_atomic
from onward.engine.answer import Answer

if TYPE_CHECKING:
    from onward.engine.reports.report import Report
    from onward.engine.reports.report_panel import Panel
    from onward.engine.run import Line
    from onward.runs.context import RunContext

PAGE = "report.html"
ARTIFACTS = ("report.json", PAGE, "metrics.json", "run_config.yaml", "log.jsonl")
"""The files of ours in a run's folder. What a person put there beside them stays, and the folder with it."""


def write_artifacts(
    context: RunContext,
    report: Report,
    config: Mapping[str, object],
    items: Callable[[], Iterator[Line]],
    *,
    has_news: bool,
    panel: Callable[[], Panel | None] = lambda: None,
) -> None:
    """Write the files of a run.

    Args:
        context: Where they go.
        report: What they say.
        config: Every setting in force, redacted.
        items: Returns a line for every item that was not simply skipped; called once a file that lists them.
        has_news: Something happened; without it there is no page and no metrics.
        panel: Returns what the pipeline has to say of its job; called when there is a page.

    Raises:
        OSError: They cannot be written.
    """
    context.write_config(config)
    texts = Answer(report.document(), items()).texts()
    write_atomic(report.file, (text.encode() for text in texts), scratch=context.scratch, durable=False)
    if has_news:
        context.save_metrics(report.metrics_document())
        write_page(os.path.join(context.folder, PAGE), report, items(), panel=panel(), scratch=context.scratch)


def write_page(
    path: str, report: Report, items: Iterator[Line], *, panel: Panel | None = None, scratch: str | None = None
) -> None:
    """Write the report as a page.

    Raises:
        OSError: It cannot be written; what stood there stands.
    """
    from onward.engine.reports.report_html import page

    write_atomic(path, page(report, items, panel).encode(), scratch=scratch, durable=False)
