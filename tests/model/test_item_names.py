"""Keys and the names made from them: they stay inside their folder, on one line, and short enough."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from onward.model.item import collision_form, key_from_bytes, output_path, printable, quarantine_path, stem

SUFFIXES = st.sampled_from([".json", "_FAILED.json", ".txt", ".parquet"])
PIECES = st.sampled_from([".", "..", "", "a", "é", "日" * 90, "x" * 255, "b.html", "\n", "~", "\0", ".gz", "c.d.gz"])
KEYS = st.text(max_size=20) | st.lists(PIECES, max_size=5).map("/".join)


@given(KEYS, SUFFIXES)
@example("../../etc/passwd", ".json")
@example("/etc/passwd", ".json")
@example("a/../../b", ".json")
@example("", ".json")
@example("a/b\0c.html", ".json")
def test_law_an_output_never_leaves_its_folder(key, suffix):
    path = output_path(key, suffix)

    joined = os.path.normpath(os.path.join("/out", path))
    assert joined.startswith("/out/")
    assert not path.startswith("/")
    assert "\0" not in path
    assert not {"", ".", ".."} & set(path.split("/"))
    assert joined == "/out/" + path


@given(KEYS, SUFFIXES)
@example("x" * 300 + "/" + "y" * 300 + ".html", ".json")
def test_law_no_part_of_an_output_path_is_longer_than_255_bytes(key, suffix):
    assert max(len(part.encode()) for part in output_path(key, suffix).split("/")) <= 255
    assert max(len(part.encode()) for part in quarantine_path(key).split("/")) <= 255


@given(st.text("ab日", min_size=260, max_size=300), st.text("ab日", min_size=260, max_size=300))
def test_law_long_names_that_differ_stay_different(one, other):
    assert (output_path(one, ".json") == output_path(other, ".json")) == (one == other)


@given(KEYS, SUFFIXES)
def test_law_an_output_path_ends_in_its_suffix(key, suffix):
    assert output_path(key, suffix).endswith(suffix)


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a.html", "a.json"), ("a.html.gz", "a.json"), ("a.gz", "a.json"), ("a.tar.zst", "a.json"),
        ("a.xml.xz", "a.json"), ("a", "a.json"), ("a.b.html", "a.b.json"), ("d.x/a", "d.x/a.json"),
        (".profile", ".profile.json"), (".gz", ".gz.json"), ("2024/Q3/ü.htm", "2024/Q3/ü.json"), ("a.GZ", "a.json"),
    ],
)
def test_the_output_of_an_ordinary_key(key, path):
    assert output_path(key, ".json") == path


@pytest.mark.parametrize(
    ("key", "rest"), [("a/b.html.gz", "a/b"), ("a/README", "a/README"), ("a/.profile", "a/.profile")]
)
def test_a_stem_loses_a_compression_suffix_first(key, rest):
    assert stem(key) == rest


@given(st.text())
@example("\x1b[31mred\x1b[0m")
@example("a\nb\r\u2028\u2029\x85c")
@example("\u202eevil\u2066")
@example("\udc80")
def test_law_printable_text_is_one_line_that_no_terminal_obeys(text):
    shown = printable(text)

    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    assert shown.encode().decode() == shown
    assert printable(shown) == shown


@given(st.text())
def test_law_what_is_printable_already_is_left_alone(text):
    if text.isprintable():
        assert printable(text) == text


@given(st.binary().filter(lambda name: b"\0" not in name))
def test_law_a_key_is_text_in_nfc_whatever_the_bytes(name):
    key = key_from_bytes(name)

    assert unicodedata.is_normalized("NFC", key)
    assert key.encode().decode() == key


def test_the_same_name_from_two_systems_is_one_key():
    assert key_from_bytes("é.html".encode()) == key_from_bytes("e\u0301.html".encode())


def test_bytes_that_are_not_utf8_are_spelled_out():
    assert key_from_bytes(b"caf\xe9.txt") == "caf\\xe9.txt"


@given(st.text(max_size=10))
def test_law_names_that_differ_in_case_or_form_only_collide(name):
    assert collision_form(name) == collision_form(unicodedata.normalize("NFD", name))
    assert collision_form(collision_form(name)) == collision_form(name)


@pytest.mark.parametrize(("one", "other"), [("A.json", "a.json"), ("STRASSE", "straße"), ("é", "e\u0301")])
def test_these_are_one_file_on_some_file_system(one, other):
    assert collision_form(one) == collision_form(other)
