"""`onward`: runs what was typed, and turns errors into one line and an exit code.

The commands are those of `group.py`. Only `onward run` in its usual words is called without it, see `usual.py`.
"""

from __future__ import annotations

import gc
import os
import sys

from onward.cli import usual
from onward.disk.early_looks import EarlyLooks

TYPE_CHECKING = False  # as type checkers read it, without the import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

READER_GONE = 141
"""The exit code when whoever read our output has seen enough: as if SIGPIPE had ended the process."""


def main() -> None:
    """Run the command line and exit."""
    # Collecting garbage while modules are imported finds none and costs a tenth of the start; `run` turns it on again.
    gc.disable()
    given = usual.read(sys.argv[1:])
    if given is None:
        code = _answered(_by_click)
    else:
        # Before anything else is imported: what is seen meanwhile need not be looked at later.
        with EarlyLooks(given["place"], given["out"]) as early:
            code = _answered(lambda: _run(given, early))
    # The last collection would look at everything that was imported, which takes a tenth of a short command, and find
    # nothing that the end of the process does not free. Whatever was registered to run at exit still does.
    gc.freeze()
    sys.exit(code)


def _by_click() -> int:
    from onward.cli.group import call

    return call()


def _run(given: dict[str, Any], early: EarlyLooks) -> int:
    from onward.cli.foreground import run

    return run(**given, early=early)


def _answered(call: Callable[[], int]) -> int:
    """Return the exit code of a call; an error is told in one line."""
    from onward.cli.render_line import say
    from onward.errors import JobBusy, JobPaused, OnwardError, UsageError
    from onward.model.item import printable
    from onward.model.secret import without_password

    def shown(text: str) -> str:
        return printable(without_password(text))

    try:
        code = call()
        sys.stdout.flush()
    except KeyboardInterrupt:  # before anything listened to signals, so nothing was begun
        code = 130
    except UsageError as error:
        say(f"onward: {shown(str(error))}", err=True)
        code = 2
    except JobBusy as error:
        say(f"onward: {shown(str(error))}", err=True)
        code = 4
    except JobPaused as error:
        say(f"onward: {shown(str(error))}", err=True)
        code = 3
    except OnwardError as error:
        say(f"onward: {shown(str(error))}", err=True)
        code = 1
    except UnicodeError as error:
        say(f"onward: an argument is not valid text: {shown(str(error))}.", err=True)
        code = 2
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing more can be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = READER_GONE
    except OSError as error:
        where = f" '{shown(str(error.filename))}'" if error.filename else ""
        text = error.strerror or str(error)
        say(f"onward:{where} {shown(text).rstrip('.')}. What was reported done stands; run again.", err=True)
        code = 1
    return code
