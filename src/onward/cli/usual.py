"""`onward run` in its usual words, read without click: importing that takes as long as looking at 10,000 files.

Only options spelled out in full are known here, each at most once. Everything else, help and mistakes among it, is
left to the command in `run.py`, to which the same words mean the same: tests/cli/test_usual_words.py.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

_TEXTS = {"--out": "out", "--job": "job", "--state": "state", "--config": "config_file", "--run-name": "run_name"}
_NUMBERS = {"--workers": "workers"}
_DIGITS_MAX = 9
_FLAGS = {"--full": "full", "--rehash": "rehash", "--json": "as_json"}


def read(words: Sequence[str]) -> dict[str, Any] | None:
    """Return what these words say to `foreground.run`, by name; None when they are not all usual."""
    if not words or words[0] != "run" or os.name == "nt":  # there click also expands patterns
        return None
    given: dict[str, Any] = {}
    places: list[str] = []
    rest = iter(words[1:])
    for word in rest:
        name, equals, value = word.partition("=")
        if name in _TEXTS:
            value = value if equals else next(rest, "")
            if not value or value.startswith("-") or _TEXTS[name] in given:
                return None
            given[_TEXTS[name]] = value
        elif name in _NUMBERS:
            value = value if equals else next(rest, "")
            if not (value.isascii() and value.isdigit() and len(value) <= _DIGITS_MAX) or _NUMBERS[name] in given:
                return None
            given[_NUMBERS[name]] = int(value)
        elif word in _FLAGS:
            given[_FLAGS[word]] = True
        elif not word or word.startswith("-"):
            return None
        else:
            places.append(word)
    if len(places) != 2 or "out" not in given:
        return None
    return {"pipeline": places[0], "place": places[1], **given}
