"""Settings as steps see them: a view that remembers what was read.

Settings are flat: `segment.words`, not nested tables, so that each has one name in `--set`, in messages and in the
fingerprint. A prefix reads like a table: `config["segment"]["words"]` is `config["segment.words"]`.
Where settings come from (flags, files, variables) is not here: `runs/settings.py`; which are secret: `secret.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from onward.model.secret import is_secret as is_secret
from onward.model.secret import redact
from onward.model.secret import without_password as without_password


def flatten(settings: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Return nested tables as one flat mapping with dotted names."""
    flat: dict[str, object] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


ALL = "*"


def value_read(settings: Mapping[str, object], name: str) -> object:
    """Return what reading `name` gave: a value, None for a setting that is not there, or the names under `table.*`."""
    if name.endswith(ALL):
        return sorted(other for other in settings if other.startswith(name[: -len(ALL)]))
    return redact(name, settings.get(name))


class ConfigView(Mapping[str, object]):
    """Read-only settings that record each name read, also of settings that do not exist.

    A setting that is missing and asked for with `get` is recorded too: setting it later is a change. Iterating, or
    taking the length, reads everything there is, and that there is no more: `*`.
    """

    __slots__ = ("_prefix", "_settings", "reads")

    def __init__(self, settings: Mapping[str, object], *, prefix: str = "", reads: set[str] | None = None) -> None:
        self._settings = settings
        self._prefix = prefix
        self.reads: set[str] = set() if reads is None else reads

    def __getitem__(self, key: str) -> object:
        name = self._prefix + key
        if name not in self._settings:
            table = name + "."
            if any(other.startswith(table) for other in self._settings):
                return ConfigView(self._settings, prefix=table, reads=self.reads)
            self.reads.add(table + ALL)
        self.reads.add(name)
        return self._settings[name]

    def aside(self, key: str) -> object:
        """Return a setting, or None, without recording that it was read: changing it will make no output stale.

        Only for what decides how a result is come by and never what it is: a time-out, a price, an address.
        """
        return self._settings.get(self._prefix + key)

    def __contains__(self, key: object) -> bool:
        try:
            self[str(key)]
        except KeyError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        mine = [name for name in self._settings if name.startswith(self._prefix)]
        self.reads.update(mine)
        self.reads.add(self._prefix + ALL)
        return iter(name[len(self._prefix) :] for name in mine)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        """Say yes, having read nothing: a step that is also called without settings says `config or {}`."""
        return True
