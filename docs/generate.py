"""Writes the reference pages that are drawn from the code: `python docs/generate.py`, or `--check` to only look.

What is said of an option, a column, an error or a state is said once, in the code; here it only gets a page. The few
words that the code has no place for (what to do about an error, what a reason means) stand in the tables below, and a
missing or superfluous one is an error. Pages written by hand are not touched.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import contract

from onward import errors
from onward.cli.group import COMMANDS, EPILOG, cli
from onward.model import states
from onward.model.reason import Action, Reason
from onward.pipelines.filings.forms import Form, FormItem, form_of

DOCS = Path(__file__).resolve().parent
SOURCE = Path(inspect.getfile(errors)).parent
GENERATED = "<!-- Written by docs/generate.py from {source}; do not edit here. -->"

WHAT_TO_DO = {
    "onward-error": "Read the message; this is the root of the tree and is never raised itself.",
    "usage": "Correct the command as the message says and run it again.",
    "setting-invalid": "Look at every setting and its origin with `onward doctor PIPELINE`, and correct the one named.",
    "pipeline-invalid": "Check the name after `onward run`, and that the file can be imported by itself.",
    "output-taken": "Name another `--out`, or run the job that owns the output with `--job`.",
    "not-found": "Look up the names with `onward status` and `onward history`.",
    "output-refused": "Mend the URL, the password or the rights of the role; `?schema=NAME` names another schema.",
    "output-unavailable": "Bring the database back and run the same command again; what was acknowledged stands.",
    "batch-paused": "Lift the pause with `onward resume JOB --no-run`, and submit the batch again under its id.",
    "batch-stopped": "Nothing, when the stop was meant; else submit it with `new=True`.",
    "rollback-refused": "Go back to a later run, whose outputs are still kept; or put inputs and code back and run.",
    "prune-refused": "Make sure that the input is mounted and named rightly; prune all the same with `--yes`.",
    "window-drifted": "Put the table's zone and window column back, or begin another job with another `--out`.",
    "window-open": "Ask for a day that is over, or take it as far as it has come with `--allow-open`.",
    "database-away": "Bring the database back and run the same command again; no attempt was spent.",
    "spark-unavailable": "See that Java is there and that `ONWARD_SPARK_MASTER` names a master that answers.",
    "platform-silent": "See `DATABRICKS_HOST` and `DATABRICKS_TOKEN`; everything else of `onward status` is as ever.",
    "version-dropped": "Ask for a later instant; `onward prune --keep-runs` drops what only older runs need.",
    "history-damaged": "Restore the file named from a backup, or go back to a run that does not need it.",
    "job-busy": "Wait until the process named has ended, or end it; its lock is free the moment it is gone.",
    "checkpoint-damaged": "Take over what can be checked with `load(verify=...)`, or move both files away.",
    "job-paused": "Look at who paused it and why, and go on with `onward resume JOB`; raise the budget that paused it.",
    "job-stopped": "Nothing, when the stop was meant; else run it with `--new`, and what is done stays done.",
    "ledger": "Free space or mend permissions as the message says, and run the same command again.",
    "ledger-too-new": "Use the newer `onward` that wrote the ledger; this one has not touched it.",
    "manifest-unreadable": "Follow [Share a manifest](../howto/share-a-manifest.md#when-something-is-damaged).",
    "ledger-damaged": "Follow [Recover a damaged ledger](../howto/recover-a-damaged-ledger.md).",
    "lease-lost": "Nothing: another run has taken over the job, and what this one did not record is done by that one.",
    "item": "Read the reason and the message with `onward history --run RUN`.",
    "input-refused": "Take the file out of the input, or give the pipeline the kind of file that the message names.",
    "input-unreadable": "Mend the file or its permissions; a changed file is tried again by the next run.",
    "item-vanished": "Nothing, when the file was meant to go; else put it back and run again.",
    "item-changed": "Nothing: it is tried again. Feed files that are whole, e.g. by renaming them into the input.",
    "check-failed": "Read what the checks say in the item's file below `quarantine/`; mend the input or the code.",
    "output-collides": "Rename one of the two inputs, so that their outputs have different names.",
    "result-invalid": "Return from the last step what the sink can write: for JSON no NaN, no sets, no objects.",
    "question-invalid": "Ask with texts, numbers, lists and mappings alone, and return `Paid(...)` from the call.",
    "deadline-exceeded": "Allow more time with `--deadline`, or find out what keeps the steps so long.",
    "memory-exceeded": "Allow more with `--memory-mb`, or split the input; the evidence says where the item was.",
    "embedder-unavailable": "See whether the endpoint runs and is reached from here, then `onward retry`.",
    "embedder-refused": "See `endpoint.model`, `endpoint.dimensions` and `endpoint.api_key_env`, then `onward retry`.",
    "version-refused": "The message says why; mend the version and hand it over again.",
    "run-died": "Find out what kills the run (memory of the machine, a reset), then `onward quarantine release`.",
    "spark-job-failed": "Read what Spark says; give it memory or a scratch folder, or copy without `--executor spark`.",
    "table-missing": "Look at `onward list-tables CONFIG`; mend the name or the rights, then `onward retry JOB`.",
    "column-missing": "Mend `columns`, `primary_key` or `window_column` of the table, then `onward retry JOB`.",
    "type-unsupported": "Leave it out with `columns`, or cast it in a view and copy that; then `onward retry JOB`.",
    "value-unsupported": "Mend the row that is named, leave it out with `where`, or cast the column in a view.",
    "window-column-invalid": "Mend the rows that are named, leave them out with `where`, or name another column.",
    "schema-drifted": "Set `drift` of the table to `evolve` or `ignore-new`, or put it back; then `onward retry JOB`.",
    "query-refused": "Read the database's words in the evidence; mend `where` or the role's rights.",
    "read-back-differs": "Nothing: it is tried again. When it comes back, look at the disk.",
    "workers-fail": "Run one step by itself with `--workers 1`; look at memory, limits, and what the message quotes.",
    "llm-access-refused": "Set the key, `events.base_url` or `events.model` as the message says, and run again.",
    "llm-out-of-order": "See to the endpoint; the last message quoted says what it does. Then run again.",
    "llm-unavailable": "See that the endpoint runs and is reached from the worker; then `onward retry JOB`.",
    "llm-question-refused": "Read the endpoint's words in the evidence; `onward retry JOB` when it was its fault.",
    "llm-answer-invalid": "Pay for another with `--only-failed --set events.ask_again=1`, or take another model.",
    "worker-died": "Look for a crash in a library or a lack of memory; the message holds the signal or exit code.",
}

ACTIONS = {
    Action.PROCESS: "Run the steps and replace the output.",
    Action.RETRY: "Run the steps again, because an earlier attempt did not come to an end or failed.",
    Action.SKIP: "Do nothing; the output stands.",
    Action.HOLD: "Do nothing; the item waits for a person or for another process.",
    Action.TOMBSTONE: "Record that the item left its source.",
}

REASONS = {
    Reason.NEW: "The ledger has never seen the key.",
    Reason.CONTENT_CHANGED: "The input's bytes are not those that were last processed.",
    Reason.CODE_CHANGED: "A step, a check or something it reaches was edited; the step is named after a colon.",
    Reason.CONFIG_CHANGED: "A setting that the item's attempt read has another value; it is named after a colon.",
    Reason.DEPENDENCY_CHANGED: "A library declared with `depends=` has another version.",
    Reason.OUTPUT_MISSING: "The recorded output is not there.",
    Reason.OUTPUT_ALTERED: "The recorded output has other bytes.",
    Reason.FORCED: "A person asked for it with `--force` or `--full`.",
    Reason.OVERTAKEN: "A program has handed over another version of the document since its file was taken.",
    Reason.UNFINISHED: "An earlier attempt was lost, interrupted, or failed with attempts left.",
    Reason.BACKING_OFF: "As unfinished, soon after a failed attempt; a new run tries it all the same.",
    Reason.IN_FLIGHT: "Another process holds the item. Not given by this version: a job has one process.",
    Reason.QUARANTINED: "It waits for a person, or for a new fingerprint.",
    Reason.UNCHANGED: "All three parts of the fingerprint are as they were, and the output stands.",
    Reason.ADOPTED: "A record made elsewhere was taken over without processing. Not given by this version.",
    Reason.GONE: "The input is not there any more; output and history stay.",
    Reason.DISCARDED: "A person decided that it stays out until its content changes; `quarantine release` undoes it.",
    Reason.NOT_ASKED: "Only what failed was asked for; the next run without `--only-failed` looks at it.",
    Reason.ROLLED_BACK: "No step ran: an output was put back as it was after an earlier run, or taken away.",
}

WORDS: Sequence[tuple[object, str]] = (
    (states.ItemState.GONE, "Left its source; the tombstone of an item."),
    (states.Outcome.SUCCEEDED, "A result was made, checked and committed."),
    (states.Outcome.FAILED, "A step or check failed, the deadline passed, or the worker died; spends a try."),
    (states.RunStatus.PENDING, "The job was created and has not run."),
    (states.RunStatus.RUNNING, "It is at work; `status` says `interrupted` when its process is gone."),
    (states.RunStatus.COMPLETED, "It came to the end of its plan, whatever became of single items."),
    (states.RunStatus.PAUSED, "A person asked it to wait; see `onward resume`."),
    (states.RunStatus.STOPPED, "A person ended it for good; `onward run --new` begins again."),
    (states.RunStatus.INTERRUPTED, "A signal ended it; the same command goes on."),
    (states.RunStatus.FAILED, "The disk or the ledger failed, or its process died; the same command goes on."),
)
"""Meanings without a comment in `model/states.py`, or that need a word more; pairs, since two lists share words."""


# -- pages


def cli_page() -> str:
    """Return the page of commands."""
    lines = ["# Command line", "", "One verb, then what it acts on.", "Results go to stdout, progress to stderr.", ""]
    lines += ["## Exit codes", "", "| code | meaning |", "|---|---|"]
    for line in EPILOG.splitlines():
        found = re.match(r"  ([\d/]+)\s+(.+)", line)
        if found:
            lines.append(f"| {found[1]} | {found[2]} |")
    for name, (module, _) in COMMANDS.items():
        command = getattr(importlib.import_module(f"onward.cli.{module}"), name.replace("-", "_"))
        lines += ["", *_command(command, f"onward {name}", 2)]
    return _page("the commands in src/onward/cli/", lines)


def _command(command: click.Command, path: str, depth: int) -> Iterator[str]:
    ctx = click.Context(command, info_name=path)
    yield f"{'#' * depth} {path}"
    yield ""
    yield from _sentences(command.help or "")
    yield ""
    yield "```text"
    yield " ".join([path, *command.collect_usage_pieces(ctx)])
    yield "```"
    options = [param for param in command.params if isinstance(param, click.Option)]
    if options:
        yield ""
        yield "| option | meaning |"
        yield "|---|---|"
        for option in options:
            yield f"| {_spelled(option)} | {_cell(option.help or '')} |"
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            sub = command.get_command(ctx, name)
            assert sub is not None
            yield ""
            yield from _command(sub, f"{path} {name}", depth + 1)


def _spelled(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    repeats = ", may be repeated" if option.multiple else ""
    return names + ("" if option.is_flag else f" {option.metavar or option.type.name.upper()}") + repeats


def schema_page() -> str:
    """Return the page of tables."""
    text = (SOURCE / "ledger" / "sql" / "schema.sql").read_text()
    head, *blocks = re.split(r"\n\n(?=--)", text.strip())
    lines = ["# The ledger's tables", ""]
    lines += _sentences(_comments(head))
    for block in blocks:
        found = re.search(r"CREATE TABLE (\w+) \(\n(.*?)\n\)[^;\n]*;", block, re.DOTALL)
        assert found is not None, block
        lines += ["", f"## {found[1]}", ""]
        lines += _sentences(_comments(block[: found.start()]))
        lines += ["", "| column | type | NULL | meaning |", "|---|---|---|---|"]
        lines += _columns(found[2])
        indexes = re.findall(r"CREATE INDEX (\w+) ON \w+ (.+);", block)
        if indexes:
            lines += ["", *(f"Index `{name}` on `{what}`." for name, what in indexes)]
    return _page("src/onward/ledger/sql/schema.sql", lines)


def _comments(text: str) -> str:
    return "\n".join(line[2:].strip() for line in text.splitlines() if line.startswith("--"))


def _columns(body: str) -> Iterator[str]:
    rows: list[list[str]] = []
    rules: list[str] = []
    for line in body.splitlines():
        declared, _, comment = (part.strip() for part in line.partition("--"))
        found = re.match(r"([a-z_]+)\s+(INTEGER|TEXT|BLOB)\b(.*)", declared)
        if found:
            rows.append([found[1], found[2], found[3].strip(), comment])
        elif re.match(r"(UNIQUE|PRIMARY KEY|CHECK)\b", declared):
            rules.append(declared.rstrip(","))
        elif declared:
            rows[-1][2] += " " + declared
    for name, kind, rest, comment in rows:
        may_be_null = "" if "NOT NULL" in rest or "PRIMARY KEY" in rest else "yes"
        rule = " ".join(rest.replace("NOT NULL", "").rstrip(",").split())
        meaning = "; ".join(part for part in (comment, f"`{rule}`" if rule else "") if part)
        yield f"| `{name}` | {kind} | {may_be_null} | {_cell(meaning)} |"
    yield from (f"\nRule: `{rule}`." for rule in rules)


def errors_page() -> str:
    """Return the page of errors: one section for each slug."""
    tree = inspect.getdoc(errors) or ""
    lines = ["# Errors", ""]
    lines += ["Each error names a condition, and its section here is the slug that stands in reports and in `--json`."]
    lines += ["*Transient* means that another attempt may end differently: an item is tried again by itself.", ""]
    lines += ["```text", *inspect.cleandoc(tree[tree.index("    OnwardError") :].rpartition("\n\n")[0]).splitlines()]
    lines += ["```"]
    kinds = list(_kinds())
    _same("what to do", {kind.slug for kind in kinds}, set(WHAT_TO_DO))
    for kind in kinds:
        lines += ["", f"## {kind.slug}", "", *_sentences(inspect.getdoc(kind) or ""), ""]
        lines += [f"- Class: `{kind.__name__}`, a kind of `{kind.__bases__[0].__name__}`."]
        lines += [f"- Transient: {'yes' if kind.transient else 'no'}.", f"- Exit code: {_exit_code(kind)}."]
        lines += [f"- What to do: {WHAT_TO_DO[kind.slug]}"]
    lines += ["", "## Errors of your own code", ""]
    lines += ["Any other exception in a step or check fails the item.", "Its reason is the type's name in lower case:"]
    lines += ["`ValueError` becomes `value-error`."]
    lines += ["It counts as transient when it is a `ConnectionError` or `TimeoutError`, when the system says"]
    lines += ["that it lacks something for the moment (open files, memory), or when the pipeline names it in"]
    lines += ["`transient=`."]
    return _page("src/onward/errors.py", lines)


def _kinds() -> Iterator[type[errors.OnwardError]]:
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.OnwardError):
            yield kind


def _exit_code(kind: type[errors.OnwardError]) -> str:
    if issubclass(kind, errors.UsageError):
        return "2"
    if issubclass(kind, errors.JobBusy):
        return "4"
    if issubclass(kind, errors.JobPaused):
        return "3"
    if issubclass(kind, errors.ItemError):
        return "the run goes on and ends with 1 when the item stays failed or quarantined"
    return "1"


def states_page() -> str:
    """Return the page of states, moves, actions and reasons."""
    source = Path(inspect.getfile(states)).read_text()
    lines = ["# States, actions and reasons", ""]
    lines += ["An item is *in flight* when it has an attempt without outcome; that is not a state."]
    lines += ["An item is *done* when it has succeeded and nothing of it is left to publish."]
    for kind, title in (
        (states.ItemState, "States of an item"),
        (states.Outcome, "Outcomes of an attempt"),
        (states.RunStatus, "Status of a run and of a job"),
    ):
        lines += ["", f"## {title}", "", *_sentences(inspect.getdoc(kind) or ""), "", "| word | meaning |", "|---|---|"]
        lines += [f"| `{member.value}` | {_comment_of(member, source)} |" for member in kind]
        if kind is states.ItemState:
            lines += ["", *_diagram(states.ITEM_MOVES)]
        if kind is states.RunStatus:
            lines += ["", "A run whose status has no way out has ended; a job has the status of its latest run.", ""]
            lines += _diagram(states.RUN_MOVES)
    _same("actions", set(Action), set(ACTIONS))
    _same("reasons", set(Reason), set(REASONS))
    lines += ["", "## Actions", "", "What a run does with an item.", "", "| word | meaning |", "|---|---|"]
    lines += [f"| `{action.value}` | {meaning} |" for action, meaning in ACTIONS.items()]
    lines += ["", "## Reasons", "", "Why it does so.", "", "| word | meaning |", "|---|---|"]
    lines += [f"| `{reason.value}` | {meaning} |" for reason, meaning in REASONS.items()]
    return _page("src/onward/model/states.py and reason.py", lines)


def _comment_of(member: Any, source: str) -> str:
    told = next((text for one, text in WORDS if one is member), None)
    if told is not None:
        return told
    block = source[source.index(f"class {type(member).__name__}(") :]
    found = re.search(rf'{member.name} = "{member.value}"\s*(?:# (.*))?', block)
    if found is None or not found[1]:
        msg = f"docs/generate.py: nothing says what {member!r} means; write a comment beside it"
        raise SystemExit(msg)
    return _cell(found[1][0].upper() + found[1][1:] + ".")


def _diagram(moves: Mapping[Any, frozenset[Any]]) -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    for before in moves:
        for after in moves:
            if after in moves[before] and after != before:
                yield f"    {before.value} --> {after.value}"
    yield "```"


def filing_page() -> str:
    """Return the page of `onward.filing/1`: its fields, and the items of each form."""
    room = SOURCE / "pipelines" / "filings"
    schema = json.loads((room / "filing.schema.json").read_text())
    lines = ["# A filing: `onward.filing/1`", "", *_sentences(schema["description"])]
    lines += ["The schema itself is `src/onward/pipelines/filings/filing.schema.json`."]
    lines += ["An item is *sure* when its confidence is 0.9 or more and the filing is not FAIL.", ""]
    lines += ["## Fields", "", "| field | type | meaning |", "|---|---|---|"]
    lines += _fields(schema, schema["$defs"], "")
    lines += ["", "## Items by form", ""]
    lines += ["*Expected* is the range of filing dates at which the form asks for the item."]
    lines += ["Amendments (`/A`) and variants have the items of their family."]
    for name in ("10-K", "10-KSB", "10-Q", "8-K"):
        for form in form_of(name):
            lines += ["", f"### {form.name}", "", *_form(form)]
    return _page("src/onward/pipelines/filings/filing.schema.json and forms.py", lines)


def article_page() -> str:
    """Return the page of `onward.article/1`: its fields."""
    schema = json.loads((SOURCE / "pipelines" / "articles" / "article.schema.json").read_text())
    lines = ["# An article: `onward.article/1`", "", *_sentences(schema["description"])]
    lines += ["The schema itself is `src/onward/pipelines/articles/article.schema.json`.", ""]
    lines += ["## Fields", "", "| field | type | meaning |", "|---|---|---|"]
    lines += _fields(schema, schema.get("$defs", {}), "")
    return _page("src/onward/pipelines/articles/article.schema.json", lines)


def _fields(node: Mapping[str, Any], defs: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, field in node.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        described = field.get("description", "")
        if "$ref" in field:
            field = {**defs[field["$ref"].rpartition("/")[2]], **field}
        yield f"| `{here}` | {_type_of(field)} | {_cell(described)} |"
        yield from _fields(field, defs, here)
        yield from _fields(field.get("items", {}), defs, f"{here}[]")


def _type_of(field: Mapping[str, Any]) -> str:
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return " or ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    kinds = field.get("type", "object")
    text = " or ".join([kinds] if isinstance(kinds, str) else kinds)
    if field.get("format") == "date":
        text = text.replace("string", "date `YYYY-MM-DD`")
    return text


def _form(form: Form) -> Iterator[str]:
    yield "| item | part | title | expected |"
    yield "|---|---|---|---|"
    for item in form.items:
        yield f"| {item.item} | {item.part or ''} | {_cell(item.title)} | {_expected(item)} |"


def _expected(item: FormItem) -> str:
    if item.since == "9999":
        return "not by the form, and taken where it stands"
    parts = [f"from {item.since}" if item.since else "", f"until {item.until}" if item.until != "9999" else ""]
    return " ".join(part for part in parts if part)


def contract_page() -> str:
    """Return the page of promises."""
    return _page("docs/contract_rows.toml and the tests", contract.lines())


PAGES: dict[str, Callable[[], str]] = {
    "reference/cli.md": cli_page,
    "reference/schema.md": schema_page,
    "reference/errors.md": errors_page,
    "reference/states.md": states_page,
    "reference/article.md": article_page,
    "reference/filing.md": filing_page,
    "reference/contract.md": contract_page,
}


# -- small parts


def _page(source: str, lines: Sequence[str]) -> str:
    title, *rest = lines
    return "\n".join([title, "", GENERATED.format(source=source), *rest]) + "\n"


def _sentences(text: str) -> list[str]:
    """Return the text with one sentence a line; a line break inside a sentence goes."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    lines: list[str] = []
    for paragraph in paragraphs:
        lines += ["", *re.split(r"(?<!e\.g\.)(?<!i\.e\.)(?<!\.\.)(?<=[.!?]) (?=[\w`])", " ".join(paragraph.split()))]
    return lines[1:]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _same(what: str, wanted: set[Any], told: set[Any]) -> None:
    if wanted != told:
        names = ", ".join(sorted(str(one) for one in wanted ^ told))
        msg = f"docs/generate.py: {what} is missing for, or left over from: {names}"
        raise SystemExit(msg)


def stale(folder: Path = DOCS) -> list[str]:
    """Return the pages in `folder` that are not what the code says, by name."""
    return [
        name
        for name, make in PAGES.items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != make()
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or with `--check` name the stale ones and return 1."""
    parser = argparse.ArgumentParser(description="Write the generated reference pages.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a page is stale")
    parser.add_argument("--folder", type=Path, default=DOCS, help="where the pages stand")
    chosen = parser.parse_args(arguments)
    found = stale(chosen.folder)
    for name in found:
        if chosen.check:
            sys.stderr.write(f"stale: docs/{name}; run `python docs/generate.py`\n")
        else:
            path = chosen.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(PAGES[name](), encoding="utf-8")
            sys.stdout.write(f"written: docs/{name}\n")
    return 1 if chosen.check and found else 0


if __name__ == "__main__":
    assert isinstance(cli, click.Group)
    sys.exit(main())
