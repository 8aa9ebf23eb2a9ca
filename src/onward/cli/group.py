"""The commands of `onward`, how click finds the one that was typed, and what becomes of a word it does not know.

Commands are imported only when they are called, because `onward status` is typed often and must start at once. Errors
that are ours are `main.py`'s.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

from onward.cli.main import READER_GONE
from onward.model.item import printable
from onward.model.secret import without_password
from onward.version import __version__

COMMANDS = {
    "run": ("run", "Do what is new or changed."),
    "plan": ("run", "Say what a run would do, and why, without doing it."),
    "status": ("ask", "Show jobs, states and progress."),
    "monitor": ("control", "Print a line of progress at intervals."),
    "pause": ("control", "Let items in flight finish and start nothing new; resumable."),
    "resume": ("control", "Lift a pause and go on."),
    "stop": ("control", "Like pause, and final."),
    "explain": ("ask", "Say why an item would run, or would not."),
    "history": ("ask", "Show runs, or the items of one run."),
    "lineage": ("ask", "Show what came from what, from an input or backwards from an output."),
    "report": ("report", "Show what a run did, as text, JSON or a page."),
    "check": ("report", "Say whether what a run made still holds."),
    "verify": ("verify", "Compare what the ledger says with what is really there."),
    "as-of": ("documents", "Say what documents were at an instant; restore them."),
    "search": ("documents", "Search documents, as they are or as they were."),
    "windows": ("windows", "Show every day of every table: done, missing, failed, drifted, late."),
    "validate": ("windows", "Prove that no day is missing, twice, open or drifted; say what to run."),
    "test-connection": ("tables", "Say whether the databases of a tables.toml are reached."),
    "list-tables": ("tables", "Show the tables that are there, and how they can be copied."),
    "rollback": ("undo", "Put outputs back as they were after a run."),
    "reproduce": ("undo", "Make again what a run made, elsewhere, and compare."),
    "prune": ("prune", "Tombstone what left the source; bound the history."),
    "audit": ("audit", "Prove that nobody edited the record; export it for an auditor."),
    "retry": ("quarantine", "Run again what failed or is quarantined."),
    "quarantine": ("quarantine", "Look at what waits for a person, and decide."),
    "ledger": ("ledger", "Look after the ledger: info, migrate, backup, rebuild."),
    "manifest": ("manifest", "Look after a shared manifest: check, merge, repair."),
    "init": ("manifest", "Make the state folder; teach git to merge manifests."),
    "worker": ("worker", "Work on runs that were started with --executor celery."),
    "doctor": ("doctor", "Check the installation and print every setting with its origin."),
    "completion": ("completion", "Print the shell completion script."),
}

EPILOG = """\b
Exit codes:
  0  done
  1  finished, but some item is failed or quarantined, or something was found wrong
  2  wrong usage or configuration; nothing was started
  3  paused, stopped or interrupted; run again to go on
  4  another process holds the job
  130/143  ended by a signal"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"onward.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Click would end it with 1 when its reader has seen enough, as if items had failed."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise click.exceptions.Exit(READER_GONE) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a typing error gets the nearest name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1) if args else []
            if not near:
                raise
            msg = f"No such command '{args[0]}'. Did you mean '{near[0]}'?"
            raise click.UsageError(msg, ctx) from error


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="onward")
def cli() -> None:
    """A durable, incremental batch engine: work is never done twice and never lost."""


def call() -> int:
    """Run the command that was typed; return the exit code. What click finds wrong with the words is told."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx is not None else "onward"
        text = printable(without_password(error.format_message()))
        click.echo(f"onward: {text} See '{path} --help'.", err=True)
        return 2
    except click.Abort:
        return 130
    return code if isinstance(code, int) else 0
