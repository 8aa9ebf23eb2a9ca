"""What is secret is told by its name and by its shape; all the rest of a text stays as it was."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.model.secret import HIDDEN, is_secret, redact, secrets_in, without_password


@pytest.mark.parametrize(
    "name",
    [
        "password", "db.password", "DB_PASSWORD", "smtp-passwd", "PGPASSWORD", "dbPassword", "token", "GITHUB_TOKEN",
        "api_key", "apiKey", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "client_secret", "secrets.a", "credentials.key",
        "private_key", "passphrase", "storage.account_key", "pwd",
    ],
)
def test_a_secret_is_told_by_its_name(name):
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    ["max_tokens", "tokenizer", "key", "keyword", "compass", "segment.words", "pass_through", "secretary", "sort_key"],
)
def test_an_ordinary_name_is_not_secret(name):
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://me:CANARY@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:CAN@ARY@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:CAN:ARY@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:CAN/ARY@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:CAN ARY@host/db", "postgresql://me:***@host/db"),
        ("no host in 'postgresql://me:CAN ARY X@127.0.0.1:5432/db'", "no host in 'postgresql://me:***@127.0.0.1:5432/db'"),
        ("redis://:CANARY@host:6379/0 and more", "redis://:***@host:6379/0 and more"),
        ("https://CANARYCANARYCANARY1@github.example/x.git", "https://***@github.example/x.git"),
        ("https://host/x?user=me&password=CANARY&n=1", "https://host/x?user=me&password=***&n=1"),
        ("https://host/x?access_token=CANARY", "https://host/x?access_token=***"),
        ("host=db user=me password=CANARY dbname=x", "host=db user=me password=*** dbname=x"),
        ("host=db password='CAN ARY' dbname=x", "host=db password='***' dbname=x"),
        ("Server=db;Pwd=CANARY;Database=x", "Server=db;Pwd=***;Database=x"),
        ("connect(user='me', password=\"CANARY\")", "connect(user='me', password=\"***\")"),
        ("{'api_key': 'CANARY', 'n': 1}", "{'api_key': '***', 'n': 1}"),
        ('{"token": 123456, "n": 1}', '{"token": "***", "n": 1}'),
        (r'{"message": "{\"password\": \"CANARY\"}"}', r'{"message": "{\"password\": \"***\"}"}'),
        ("password: CANARY", "password: ***"),
        ("Authorization: Bearer CANARY.CANARY-1", "Authorization: Bearer ***"),
        ("{'Authorization': 'Basic Q0FOQVJZ'}", "{'Authorization': '***'}"),
        ("Authorization: Basic Q0FOQVJZ and more", "Authorization: Basic *** and more"),
        ("failed: password=CANARY: x", "failed: password=*** x"),
        ("sent 'Bearer CANARYCANARY1'", "sent 'Bearer ***'"),
        ("-----BEGIN RSA PRIVATE KEY-----\nCANARY\n-----END RSA PRIVATE KEY-----",
         "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----"),
    ],
)
def test_a_secret_is_told_by_its_shape_and_the_rest_stays(text, expected):
    assert without_password(text) == expected
    assert without_password(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "http://host:8080/a@b", "https://host/me@example.org", "see https://example.org:443 and me@example.org",
        "ssh://git@host/x.git", "Unexpected token: 'x' at 5", "max_tokens=5", "a secret: nobody knows",
        "12:30:45 me@host", "basic information about bearer certificates", "http://[::1]:80/a@b", "key=value",
        "tokens: 17, keys: 3", "at http://host:8080 or me@example.org", "at http://host: and me@example.org",
        "db://me:***@host/x is away, tell me@example.org", "db://me:\nme@host",
    ],
)
def test_what_only_looks_alike_stays(text):
    assert without_password(text) == text


def test_what_json_holds_stays_json():
    line = json.dumps({"token": 5, "password": "a\"b", "key": "x", "nested": {"api_key": [1, 2]}})

    assert json.loads(without_password(json.dumps({"token": 5, "key": "x"}))) == {"token": HIDDEN, "key": "x"}
    assert "a\\" not in without_password(line)


@given(st.text())
def test_law_a_text_without_any_hint_is_never_changed(text):
    hints = ("://", "pass", "pw", "secret", "token", "cred", "auth", "key", "bearer", "private")
    if not any(hint in text.lower() for hint in hints):
        assert without_password(text) == text


IN_A_URL = st.characters(codec="ascii", exclude_characters="/?#'\"<>@:", exclude_categories=("Zs", "Cc"))
PLAIN_VALUES = st.recursive(
    st.none() | st.integers() | st.text(alphabet="abc "),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet="xyz", min_size=1), inner),
)


@given(st.text(min_size=1, alphabet=IN_A_URL))
def test_law_the_password_of_a_url_is_gone(password):
    shown = without_password(f"db://user:{password}@host/name")

    assert shown == "db://user:***@host/name"


@given(PLAIN_VALUES)
def test_law_a_value_without_secrets_is_what_it_was(value):
    assert redact("plain", value) == value


def test_what_is_nested_is_redacted_as_well():
    value = {"list": ["db://u:CANARY@h"], "db": {"password": "CANARY", "user": "me", "token": None}}

    assert redact("settings", value) == {
        "list": ["db://u:***@h"], "db": {"password": "***", "user": "me", "token": None},
    }
    assert list(secrets_in("settings", value)) == ["CANARY", "CANARY"]
    assert list(secrets_in("api_keys", ["one", 2])) == ["one", "2"]
