"""Where settings come from: flags, then `ONWARD_*` variables, then a file, then defaults; each with its origin.

Names are flat (`segment.words`). A pipeline that declares its settings gets them checked: an unknown name or a wrong
type ends the command before anything starts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from onward.errors import SettingInvalid
from onward.model.config import flatten
from onward.model.limits import DEFAULTS as LIMITS
from onward.model.secret import redact as redact
from onward.model.secret import without_password

FILE = "onward.toml"
_OWN = frozenset({"ONWARD_STATE", "ONWARD_FAULT", "ONWARD_LEDGER_WAIT_S", "ONWARD_LEASE_S"})
_PREFIX = "ONWARD_"


class Setting(NamedTuple):
    """A value and where it came from."""

    value: object
    origin: str


def parse_assignments(words: Sequence[str]) -> dict[str, object]:
    """Read `--set key=value` words; a value is read as TOML where it is one, else taken as text.

    Raises:
        SettingInvalid: A word has no `=` or no name.
    """
    found: dict[str, object] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.strip():
            msg = f"--set {without_password(word)!r} is not of the form key=value."
            raise SettingInvalid(msg)
        found[key.strip()] = _value(text)
        if not _is_storable(word, found[key.strip()]):
            msg = f"--set {key.strip()!r}: its value is not text and not a number that JSON can hold."
            raise SettingInvalid(msg)
    return flatten(found)


def _is_storable(word: str, value: object) -> bool:
    try:
        word.encode()
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError):
        return False
    return True


def read_file(path: str, *, pipeline: str) -> dict[str, object]:
    """Read a TOML file: top-level settings are for every pipeline, a table named after the pipeline for it alone.

    Raises:
        SettingInvalid: The file cannot be read or is not TOML.
    """
    import tomllib

    try:
        with open(path, "rb") as file:
            data = {name: _plain(value) for name, value in tomllib.load(file).items()}
    except OSError as error:
        msg = f"The settings file '{path}' cannot be read: {error.strerror}."
        raise SettingInvalid(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"The settings file '{path}' is not TOML: {error}."
        raise SettingInvalid(msg) from error
    own = data.get(pipeline, {})
    if not isinstance(own, dict):
        msg = f"In '{path}', '{pipeline}' must be a table: write [{pipeline}] above its settings."
        raise SettingInvalid(msg)
    general = {key: value for key, value in data.items() if key != pipeline and not isinstance(value, dict)}
    return flatten({**general, **own})


def gather(
    pipeline: str,
    declared: Mapping[str, object] | None,
    *,
    flags: Mapping[str, object],
    config_file: str | None,
    root: str,
) -> dict[str, Setting]:
    """Return every setting in force with its origin.

    Args:
        pipeline: Name of the pipeline.
        declared: Its settings with their defaults; None takes any.
        flags: What the command line says.
        config_file: What `--config` says; `onward.toml` in `root` is read where it is None.
        root: The folder that holds the state folder.

    Raises:
        SettingInvalid: A name is unknown, or a value has the wrong type.
    """
    found = {name: Setting(value, "default") for name, value in (declared or {}).items()}
    file = config_file or os.path.join(root, FILE)
    if config_file or os.path.exists(file):
        for name, value in read_file(file, pipeline=pipeline).items():
            _put(found, declared, name, Setting(value, file))
    for variable, text in sorted(os.environ.items()):
        if variable.startswith(_PREFIX) and variable not in _OWN:
            name = variable[len(_PREFIX) :].lower().replace("__", ".")
            if declared is not None and name not in declared:
                continue  # another pipeline's, or another version's
            _put(found, declared, name, Setting(_value(text), variable))
    for name, value in flags.items():
        _put(found, declared, name, Setting(value, "--set"))
    return found


def gather_limits(
    pipeline: str,
    declared: Mapping[str, object] | None,
    *,
    flags: Mapping[str, object],
    config_file: str | None,
    root: str,
    own: Mapping[str, object],
) -> dict[str, Setting]:
    """Return every limit of `model/limits.py` with its origin; a pipeline that declares such a name keeps it.

    Args:
        pipeline: Name of the pipeline.
        declared: Its settings with their defaults, or None.
        flags: What the command line says.
        config_file: What `--config` says.
        root: The folder that holds the state folder.
        own: What the pipeline says of itself; None means nothing.

    Raises:
        SettingInvalid: A settings file cannot be read.
    """
    names = {name for name in LIMITS if name not in (declared or {})}
    found = {name: Setting(value, "default") for name, value in LIMITS.items()}
    found.update((name, Setting(value, "pipeline")) for name, value in own.items() if value is not None)
    file = config_file or os.path.join(root, FILE)
    if config_file or os.path.exists(file):
        values = read_file(file, pipeline=pipeline)
        found.update((name, Setting(values[name], file)) for name in names & values.keys())
    for name in names:
        variable = _PREFIX + name.upper()
        if variable in os.environ:
            found[name] = Setting(_value(os.environ[variable]), variable)
    found.update((name, Setting(flags[name], "--set")) for name in names & flags.keys())
    return found


def redacted(settings: Mapping[str, Setting]) -> dict[str, object]:
    """Return name → value as they may be stored and shown: secrets are left out of sight."""
    return {name: redact(name, setting.value) for name, setting in settings.items()}


def _put(
    found: dict[str, Setting], declared: Mapping[str, object] | None, name: str, setting: Setting
) -> None:
    if name in LIMITS and name not in (declared or {}):
        return  # not for steps; see gather_limits
    if declared is not None:
        if name not in declared:
            import difflib

            close = difflib.get_close_matches(name, declared, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else f" Known: {', '.join(sorted(declared)) or 'none'}."
            msg = f"The setting '{name}' ({setting.origin}) is unknown.{hint}"
            raise SettingInvalid(msg)
        setting = setting._replace(value=_fitted(name, setting, declared[name]))
    found[name] = setting


def _fitted(name: str, setting: Setting, default: object) -> object:
    """Return a value of the default's type, or say that it is not one."""
    value = setting.value
    if default is None or type(value) is type(default):
        fitted = value
    elif isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        fitted = float(value)
    elif isinstance(default, str) and isinstance(value, int | float) and not isinstance(value, bool):
        fitted = str(value)
    else:
        kind = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}
        wanted = kind.get(type(default), type(default).__name__)
        msg = f"The setting '{name}' ({setting.origin}) must be {wanted}, not {redact(name, value)!r}."
        raise SettingInvalid(msg)
    return fitted


def _value(text: str) -> object:
    import tomllib

    try:
        return _plain(tomllib.loads(f"value = {text}")["value"])
    except tomllib.TOMLDecodeError:
        return text


def _plain(value: object) -> object:
    """Return a value in words that JSON has: TOML's dates and times become text."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.isoformat() if hasattr(value, "isoformat") else value
