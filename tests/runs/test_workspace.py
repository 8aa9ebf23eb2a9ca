from __future__ import annotations

import os

import pytest

from onward.errors import UsageError
from onward.runs.workspace import Workspace, default_job_name, find


def test_the_nearest_ancestor_with_a_state_folder_is_found(tmp_path):
    (tmp_path / ".onward").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)

    found = find(start=str(tmp_path / "a" / "b"))

    assert (found.state, found.origin) == (str(tmp_path / ".onward"), "found")


def test_without_one_it_will_be_made_here_and_not_before_a_run(tmp_path):
    found = find(start=str(tmp_path))

    assert (found.state, found.origin) == (str(tmp_path / ".onward"), "new")
    assert not os.path.exists(found.state)


def test_the_private_folder_of_an_output_is_not_taken_for_a_state_folder(tmp_path):
    (tmp_path / ".onward").mkdir()
    (tmp_path / "out" / ".onward" / "staging").mkdir(parents=True)

    assert find(start=str(tmp_path / "out")).state == str(tmp_path / ".onward")


def test_the_flag_comes_before_the_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("ONWARD_STATE", str(tmp_path / "variable"))

    assert find(str(tmp_path / "flag")).state == str(tmp_path / "flag")
    assert find().state == str(tmp_path / "variable")


def test_a_state_that_is_a_file_or_another_server_is_refused_without_its_password(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="is a file"):
        find(str(tmp_path / "file"))
    with pytest.raises(UsageError) as caught:
        find("mysql://me:hunter2@host/db")
    assert "hunter2" not in str(caught.value)


def test_a_state_that_is_a_database_keeps_a_folder_for_what_belongs_to_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET_PLACE", "postgresql://me:hunter2@host/db")

    found = find("env:SECRET_PLACE")

    assert found.state == str(tmp_path / ".onward")
    assert found.ledger == found.named == "postgresql://me:hunter2@host/db"
    assert found.shown == "postgresql://me:***@host/db"
    assert found.relative("in") == str(tmp_path / "in")
    assert found.absolute(str(tmp_path / "in")) == str(tmp_path / "in")
    with pytest.raises(UsageError, match="names a variable that is not set"):
        find("env:NO_SUCH_PLACE")


def test_places_are_stored_relative_and_move_with_the_tree(tmp_path):
    before = Workspace(str(tmp_path / "here" / ".onward"), "flag")
    after = Workspace(str(tmp_path / "there" / ".onward"), "flag")

    stored = before.relative(str(tmp_path / "here" / "data" / "raw"))

    assert stored == "data/raw"
    assert after.absolute(stored) == str(tmp_path / "there" / "data" / "raw")


def test_a_job_that_nobody_named_gets_a_name_that_tells_and_differs():
    places = [("data/raw", "a"), ("data/raw", "b"), ("x/raw", "a")]
    names = {default_job_name("filings", place, out) for place, out in places}

    assert len(names) == 3
    assert all(name.startswith("filings-raw-") for name in names)
    assert default_job_name("p", "..", "out").isascii()
    assert default_job_name("p", "Ünïcödé \n", "out").replace("-", "").isalnum()
