"""`onward`: runs what was typed, and turns errors into one line and an exit code.

The commands are those of `group.py`. Only `onward run` in its usual words is called without it, see `usual.py`.
"""

from __future__ import annotations

import gc
import os
import sys

READER_GONE = 141
"""The exit code when whoever read our output has seen enough: as if SIGPIPE had ended the process."""


def main() -> None:
    """Run the command line and exit."""
    from onward.cli.render_line import say
    from onward.errors import JobBusy, JobPaused, OnwardError, UsageError
    from onward.model.item import printable
    from onward.model.secret import without_password

    def shown(text: str) -> str:
        return printable(without_password(text))

    # Collecting garbage while modules are imported finds none and costs a tenth of the start; `run` turns it on again.
    gc.disable()
    try:
        code = _call(sys.argv[1:])
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
    # The last collection would look at everything that was imported, which takes a tenth of a short command, and find
    # nothing that the end of the process does not free. Whatever was registered to run at exit still does.
    gc.freeze()
    sys.exit(code)


def _call(words: list[str]) -> int:
    from onward.cli import usual

    given = usual.read(words)
    if given is None:
        from onward.cli.group import call

        return call()
    from onward.cli.foreground import run

    return run(**given)
