"""`onward completion`: the shell's own completion script."""

from __future__ import annotations

import click


@click.command(short_help="Print the shell completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL; `eval "$(onward completion bash)"` in your shell's start file."""
    from click.shell_completion import get_completion_class

    from onward.cli.group import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "onward", "_ONWARD_COMPLETE").source())
