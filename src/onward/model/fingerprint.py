"""Is the work the same? A fingerprint has three parts, kept apart so that a difference can be named.

Content: the digest of the bytes as processed. Code: one digest per step, and the versions of declared libraries.
Config: only the settings that an attempt read, with their values. What the parts are computed from is not here:
bytes in `disk/hashing.py`, code in `engine/code/version.py`, reads in `model/config.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

from onward.model.config import value_read
from onward.model.reason import Reason

_FORMAT = "onward.fingerprint/1"
_NONE: Mapping[str, str] = {}
"""Nobody may write to it."""


def canonical(value: object) -> str:
    """Return the one JSON spelling of `value`: sorted keys, no spaces, no NaN.

    Raises:
        ValueError: The value holds a NaN or an infinity.
        TypeError: The value holds something JSON has no word for.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def digest_of(*preimage: object) -> str:
    """Return `sha256:<hex>` of a tagged, canonical list, so that no two different lists share a preimage."""
    return "sha256:" + sha256(canonical(list(preimage)).encode()).hexdigest()


class Recipe(NamedTuple):
    """The code part and the config part: how an output is made, shared by every item made that way.

    Attributes:
        steps: Step name to digest, in the order the steps run.
        depends: Library name to version, for the libraries the pipeline declares.
        config: Setting to value, for the settings that were read.
    """

    steps: Mapping[str, str] = _NONE
    depends: Mapping[str, str] = _NONE
    config: Mapping[str, object] = _NONE

    @property
    def code_digest(self) -> str:
        """The digest of the code part."""
        return digest_of("onward.code-part/1", list(self.steps.items()), dict(self.depends))

    @property
    def config_digest(self) -> str:
        """The digest of the config part."""
        return digest_of("onward.config-part/1", dict(self.config))

    def difference(self, today: Recipe) -> str | None:
        """Say in which way the recipe of today differs from this one, or None when the work is the same.

        `today.config` holds every setting; only those that this recipe read are compared.
        """
        if list(self.steps.items()) != list(today.steps.items()):
            changed = [name for name, digest in today.steps.items() if self.steps.get(name) != digest]
            changed += [name for name in self.steps if name not in today.steps]
            # Equal steps in another order: the first that moved is as good a name as any.
            return Reason.CODE_CHANGED.of(changed[0] if changed else next(iter(today.steps), "steps"))
        if dict(self.depends) != dict(today.depends):
            return Reason.DEPENDENCY_CHANGED
        for key in sorted(self.config):
            if canonical(value_read(today.config, key)) != canonical(self.config[key]):
                return Reason.CONFIG_CHANGED.of(key)
        return None


def fingerprint(content: str, recipe: Recipe) -> str:
    """Return the digest that answers: is the work the same? Equal if and only if all three parts are equal."""
    return digest_of(_FORMAT, content, recipe.code_digest, recipe.config_digest)
