"""One section of a configuration: it knows what it is called in messages, and gives its values only in their type.

What the keys are and mean is `config.py`. A value is shown without its secrets and never at length.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from onward.errors import SettingInvalid, UsageError
from onward.model.item import printable
from onward.model.secret import redact
from onward.model.window import find_zone, parse_days

__all__ = ["Section", "kind", "short"]

_LAG_MAX_DAYS = 36_500
_SHOWN_MAX = 60


class Section:
    """See the module.

    Args:
        where: What a message begins with, e.g. "The configuration 'tables.toml'".
        name: Of the section, e.g. `[[tables]] 3`; '' for the whole.
        values: What stands in it.
    """

    def __init__(self, where: str, name: str, values: Mapping[str, Any]) -> None:
        self.name = name
        self._where = where
        self._values = values

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def wrong(self, what: str) -> UsageError:
        """Return the error that says what is wrong here; `what` is a sentence without its end."""
        place = f", {printable(self.name)}" if self.name else ""
        end = "" if what.endswith("?") else "."
        return UsageError(f"{self._where}{place}: {printable(what)}{end}")

    def below(self, name: str, values: object) -> Section:
        """Return a section within this one's file, or raise when it is no mapping."""
        if isinstance(values, Mapping):
            return Section(self._where, name, values)
        raise Section(self._where, name, {}).wrong(f"it must be a table of settings, not {kind(values)}")

    def refuse_unknown(self, known: Sequence[str]) -> None:
        """Raise when there is a key that means nothing; a typing error gets the nearest one."""
        for key in self._values:
            if key in known:
                continue
            near = difflib.get_close_matches(str(key).lower(), known, n=1)
            hint = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(known)}"
            raise self.wrong(f"the key '{short(str(key))}' is unknown. {hint}")

    def value(self, key: str) -> Any:
        """Return a value as it is; None where the key is not there."""
        return self._values.get(key)

    def text(self, key: str) -> str | None:
        """Return a text that says something; None where the key is not there."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.wrong(f"'{key}' must be a text in quotes, not {_shown(key, value)}")
        if not value.strip() or "\0" in value:
            raise self.wrong(f"'{key}' is empty or holds a NUL; write something or leave the line out")
        return value

    def needed(self, key: str, example: str) -> str:
        """Return a text that must be there."""
        value = self.text(key)
        if value is None:
            raise self.wrong(f"'{key}' is missing; write e.g. {key} = \"{example}\"")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of different names; empty where the key is not there."""
        value = self._values.get(key)
        if value is None:
            return ()
        if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
            raise self.wrong(f"'{key}' must be a list of names such as [\"id\"], not {_shown(key, value)}")
        if not value or not all(one.strip() for one in value):
            raise self.wrong(f"'{key}' is empty or has an empty name; write names or leave the line out")
        twice = next((one for at, one in enumerate(value) if one in value[:at]), None)
        if twice is not None:
            raise self.wrong(f"'{key}' names '{twice}' twice; keep one of the two")
        return tuple(value)

    def flag(self, key: str) -> bool:
        """Return a yes or no; no where the key is not there."""
        value = self._values.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(f"'{key}' must be true or false, not {_shown(key, value)}")
        return value

    def choice(self, key: str, choices: Sequence[str]) -> str:
        """Return one of `choices`; the first where the key is not there."""
        value = self.text(key)
        if value is not None and value not in choices:
            raise self.wrong(f"'{key}' is {_shown(key, value)}; it can be {', '.join(choices)}")
        return choices[0] if value is None else value

    def zone(self, key: str) -> str | None:
        """Return the name of a time zone that exists."""
        value = self.text(key)
        if value is not None:
            try:
                find_zone(value)
            except SettingInvalid as error:
                raise self.wrong(f"'{key}' is wrong: {str(error).rstrip('.')}") from None
        return value

    def span(self, key: str) -> tuple[date, date] | None:
        """Return a first and a last day, e.g. `"2025-01-01..2025-01-31"` or one day; None where it is not there."""
        value = self._values.get(key)
        if isinstance(value, date) and not isinstance(value, datetime):
            return value, value  # TOML has days of its own
        text = self.text(key)
        if text is None:
            return None
        try:
            return parse_days(text if ".." in text else f"{text}..{text}")
        except SettingInvalid as error:
            raise self.wrong(f"'{key}' is wrong: {str(error).rstrip('.')}") from None

    def days(self, key: str) -> int:
        """Return a number of days, written as `2` or "2d"; 0 where the key is not there."""
        value = self._values.get(key, 0)
        if isinstance(value, str) and value.strip().endswith("d") and value.strip()[:-1].strip().isdecimal():
            value = int(value.strip()[:-1][:9])
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LAG_MAX_DAYS:
            raise self.wrong(f"'{key}' must be a number of days such as \"2d\", not {_shown(key, value)}")
        return value


def _shown(key: str, value: object) -> str:
    # What was meant as a URL may hold a password in a form that nothing tells.
    return kind(value) if key == "url" else short(repr(redact(key, value)))


def short(text: str) -> str:
    """Return a text as it fits into a message."""
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "..."


def kind(value: object) -> str:
    """Return what kind of value this is, for people."""
    kinds = {str: "a text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a table"}
    return kinds.get(type(value), type(value).__name__)
