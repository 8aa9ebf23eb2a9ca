"""What is secret, told by its name or by its shape, and texts and values without it.

A secret is never stored and never shown. A setting or variable is secret by its name. Within a text a secret is known
by what stands around it: the password of a URL, a value after a secret name, a bearer token, a private key. Values
that a run knows to be secret are taken out of texts by `workers/redaction.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import NamedTuple

HIDDEN = "***"
_TOKEN_MIN = 16

_WORDS = frozenset({
    "password", "passwords", "passwd", "passphrase", "pwd", "pw", "secret", "secrets", "token", "credential",
    "credentials", "apikey", "apikeys", "authorization",
})
_ENDINGS = ("password", "passwd", "passphrase", "apikey", "secretkey")
_PAIRS = frozenset({
    ("api", "key"), ("api", "keys"), ("private", "key"), ("access", "key"), ("secret", "key"), ("account", "key"),
})
_PLAIN = frozenset({"token", "secret", "secrets", "authorization", "credentials"})
"""Names that in front of a colon are an ordinary word of a message: `unexpected token: x`."""

_HINTS = (
    "://", "pass", "pw", "secret", "token", "credential", "authorization", "bearer", "api", "access", "account",
    "private",
)
"""What every secret that is known by its shape has around it, so that other texts cost nothing."""


class _Patterns(NamedTuple):
    end_of_url: re.Pattern[str]
    path: re.Pattern[str]
    port: re.Pattern[str]
    blanks: re.Pattern[str]
    key: re.Pattern[str]
    value: re.Pattern[str]
    bearer: re.Pattern[str]
    pem: re.Pattern[str]


@cache
def _patterns() -> _Patterns:
    """Return the patterns, compiled when the first of them is needed: a run that has nothing to do needs none.

    Each of them is linear in the text: a step's message may be megabytes long, and must not take minutes.
    """
    return _Patterns(
        end_of_url=re.compile(r"[\s'\"<>]"),
        path=re.compile(r"[/?#]"),
        port=re.compile(r"\d{1,5}(?:[/?#]|$)"),
        # A password with blanks, and a host behind it; not so long that a text of many costs more than one look each.
        blanks=re.compile(r"(?P<password>[^\s'\"<>/?#@:][^\n\r'\"<>/?#@]{0,99})@[\w.\[\]-]+[:/?]"),
        key=re.compile(
            r"(?P<quote>\\{0,8}[\"']?)(?P<name>(?<![\w.-])[\w.-]+)(?P=quote)\s{0,3}(?P<sep>=>|[=:])\s{0,3}"
            r"(?P<open>\\{0,8}[\"']?)"
        ),
        value=re.compile(r"(?<=[\"'])[^\"'\\\n]+|[^\s,;&\"'\\)\]}>]+"),
        bearer=re.compile(
            r"(?P<head>\bbearer\s+(?=\S*\d)(?=\S{12})|\bauthorization\s*[:=]\s*(?:bearer|basic|token|digest)\s+)"
            r"[A-Za-z0-9._~+/=-]+", re.IGNORECASE,
        ),
        pem=re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    )


def is_secret(name: str) -> bool:
    """Say whether a setting's name tells that its value is secret. A secret is never stored and never counts."""
    spelled = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    words = spelled.lower().replace("-", "_").replace(".", "_").split("_")
    if words[-1] == "env":
        return False  # `api_key_env` names the variable that holds the key
    # `token` is secret, `max_tokens` and `tokenizer` are not.
    return (
        not _WORDS.isdisjoint(words)
        or not _PAIRS.isdisjoint(pairwise(words))
        or any(word.endswith(_ENDINGS) for word in words)
    )


def without_password(text: str) -> str:
    """Return `text` with what is secret by its shape out of sight.

    That is the password of a URL, the value after a secret name (`password=...`, `"api_key": "..."`), what follows
    `Bearer`, and private keys. What is not hidden is left byte for byte as it was.
    """
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return text
    patterns = _patterns()
    text = patterns.pem.sub(rf"\1{HIDDEN}\2", text)
    text = _without(text, ((start, end, HIDDEN) for start, end in _passwords_of_urls(text)))
    text = patterns.bearer.sub(rf"\g<head>{HIDDEN}", text)
    # In JSON a number would otherwise leave three stars without quotes.
    found = _values_of_secret_names(text)
    return _without(text, ((start, end, f'"{HIDDEN}"' if is_bare else HIDDEN) for start, end, is_bare in found))


def _without(text: str, spans: Iterable[tuple[int, int, str]]) -> str:
    parts, at = [], 0
    for start, end, instead in spans:
        parts += [text[at:start], instead]
        at = end
    return "".join((*parts, text[at:])) if parts else text


def _passwords_of_urls(text: str) -> Iterator[tuple[int, int]]:
    """Return where the passwords in URLs begin and end; a long name without a password is a token."""
    patterns = _patterns()
    begin = text.find("://")
    while begin >= 0:
        begin += 3
        following = text.find("://", begin)
        ended = patterns.end_of_url.search(text, begin, len(text) if following < 0 else following)
        rest = text[begin : ended.start() if ended else len(text) if following < 0 else following]
        path = patterns.path.search(rest)
        host_end = path.start() if path else len(rest)
        colon, sign = rest.find(":", 0, host_end), rest.rfind("@", 0, host_end)
        if sign < 0 and colon >= 0 and not rest.startswith("[") and not patterns.port.match(rest, colon + 1):
            sign = rest.find("@")  # a slash in the password, which should have been quoted
            blanks = patterns.blanks.match(text, begin + colon + 1) if sign < 0 and host_end == len(rest) else None
            if blanks and blanks.end() <= (len(text) if following < 0 else following):
                yield blanks.span("password")
        if 0 <= colon < sign and rest[colon + 1 : sign] not in ("", HIDDEN):
            yield begin + colon + 1, begin + sign
        elif sign >= _TOKEN_MIN and not 0 <= colon < sign:
            yield begin, begin + sign
        begin = following


def _values_of_secret_names(text: str) -> Iterator[tuple[int, int, bool]]:
    """Return where values after secret names begin and end, and whether one in JSON stands without quotes."""
    patterns, at = _patterns(), 0
    while (key := patterns.key.search(text, at)) is not None:
        is_word = not key["quote"] and key["sep"] == ":" and key["name"].lower() in _PLAIN
        at = key.end("sep")
        if is_word or text.startswith(HIDDEN, key.end()) or not is_secret(key["name"]):
            continue
        value = patterns.value.match(text, key.end())
        if value is None:
            continue
        yield value.start(), value.end(), key["quote"] == '"' and not key["open"]
        at = value.end()


def redact(name: str, value: object) -> object:
    """Return a value as it may be stored and shown under this name, whatever it is nested in."""
    if is_secret(name) and value is not None:
        return HIDDEN
    if isinstance(value, str):
        return without_password(value)
    if isinstance(value, Mapping):
        return {key: redact(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redact("", inner) for inner in value]
    return value


def secrets_in(name: str, value: object) -> Iterator[str]:
    """Return the texts in a value that are secret: all of it under a secret name, else the passwords of its URLs."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from secrets_in(f"{name}.{key}", inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from secrets_in(name, inner)
    elif is_secret(name):
        if value is not None and not isinstance(value, bool):
            yield str(value)
    elif isinstance(value, str):
        for start, end in _passwords_of_urls(value):
            yield value[start:end]
        for start, end, _ in _values_of_secret_names(value):
            yield value[start:end]
