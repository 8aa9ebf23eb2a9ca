"""Keeps secrets out of whatever is written down of an attempt: the values of secret settings and variables."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus, unquote

from onward.model.secret import HIDDEN, secrets_in, without_password

_SECRET_MIN = 4
"""A shorter secret would take ordinary words out of sight, and is none."""
_VARIABLE_MIN = 6
"""The environment has more names that only look secret, and values like `true`."""
_NO_SECRETS = frozenset({"PWD", "OLDPWD"})
_LINE_MIN = 16


class Redaction:
    """Knows the secrets of one run: those of its settings and of the environment it runs in."""

    def __init__(self, settings: Mapping[str, object]) -> None:
        secrets = {secret for name, value in settings.items() for secret in secrets_in(name, value)}
        known = {secret for secret in secrets if len(secret) >= _SECRET_MIN}
        for name in os.environ.keys() - _NO_SECRETS:
            value = os.environ[name]
            known.update(secret for secret in secrets_in(name, value) if len(secret) >= _VARIABLE_MIN)
        # The longest first: a secret may be part of another.
        self._secrets = sorted({form for secret in known for form in _forms(secret)}, key=len, reverse=True)

    def of(self, text: str) -> str:
        """Return a text without secrets: neither known ones nor what is secret by its shape."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return without_password(text)


def _forms(secret: str) -> Iterator[str]:
    """Return how a secret may be spelled in a message: as it is, quoted by Python or JSON, and in a URL."""
    forms = (
        secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe=""), quote(secret), quote_plus(secret), unquote(secret),
    )
    yield from (form for form in forms if len(form) >= _SECRET_MIN)
    # A key of several lines may be shown line by line.
    yield from (line for line in secret.splitlines() if len(line) >= _LINE_MIN)
