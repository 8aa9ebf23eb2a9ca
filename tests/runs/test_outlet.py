"""Where results go, as it is stored: never a password, always enough to connect again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.errors import OutputRefused
from onward.pipelines.articles.postgres.url import parsed, split_schema
from onward.runs.outlet import outlet
from onward.runs.workspace import Workspace

STATE = Workspace("/ws/.onward", "flag")


@pytest.mark.parametrize(
    ("given_url", "stored"),
    [
        ("postgresql://ann:hush@host:5432/db", "postgresql://ann@host:5432/db"),
        ("postgresql://my_long_service_account@host/db", "postgresql://my_long_service_account@host/db"),
        ("postgresql://ann@host/db?password=hush&schema=news", "postgresql://ann@host/db?schema=news"),
        ("postgresql://ann@host/db?password=hush", "postgresql://ann@host/db"),
        ("postgresql://ann:p/ss@host/db", "postgresql://ann@host/db"),
        ("postgresql://ann:p?ss@host/db", "postgresql://ann@host/db"),
        ("postgresql:///db?host=/run/pg", "postgresql:///db?host=/run/pg"),
    ],
)
def test_a_database_is_stored_with_its_user_and_without_its_password(given_url: str, stored: str) -> None:
    assert outlet(given_url, STATE).stored == stored
    assert outlet(stored, STATE).out == stored, "what the ledger has can be connected to"


@given(st.text(st.characters(codec="ascii", exclude_characters="@"), min_size=4, max_size=20))
def test_law_no_password_is_stored_however_it_is_written(password: str) -> None:
    secret = f"Zq{password}Qz"

    stored = outlet(f"postgresql://ann:{secret}@host/db", STATE).stored

    assert stored == "postgresql://ann@host/db"


@pytest.mark.parametrize("url", ["postgresql://u:sek\u2100ret@localhost/db", "postgresql://u:p[x@localhost/db"])
def test_a_url_that_cannot_be_read_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(OutputRefused) as refused:
        parsed(url)

    assert refused.value.__cause__ is None
    assert "ret" not in str(refused.value)
    assert "p[x" not in str(refused.value)


def test_what_else_a_url_says_reaches_the_driver_as_it_was_written() -> None:
    url = "postgresql://u@h/db?options=-c%20statement_timeout%3D5s&schema=news&application_name=a+b"

    assert split_schema(url) == (
        "postgresql://u@h/db?options=-c%20statement_timeout%3D5s&application_name=a+b", "news",
    )


def test_one_file_has_its_own_private_folder_beside_it(tmp_path: Path) -> None:
    found = outlet(str(tmp_path / "a.jsonl"), STATE)

    assert (found.home, found.private) == (str(tmp_path), str(tmp_path / ".onward" / "a.jsonl"))
