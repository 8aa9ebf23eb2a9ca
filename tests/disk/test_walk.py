"""A look at a folder: sorted, honest about what is no file, and equal to the next look if and only if nothing moved."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.disk import walk
from onward.model.item import Signature

INT64 = st.integers(-(2**63), 2**63 - 1)
SIGNATURES = st.builds(Signature, INT64, INT64, INT64, st.integers(0, 2**64 - 1))
NAMES = st.binary(min_size=1, max_size=20).filter(lambda name: b"\0" not in name and b"/" not in name)


def _look(folder, root=None):
    place = os.fsencode(folder)
    return walk.look(place, lambda name: name.endswith(b".html"), root=os.path.realpath(os.fsencode(root or folder)))


def _raw(st):
    return Signature(st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino)


def _names(seen):
    return [walk.split(record)[0] for record in seen.records]


@given(SIGNATURES)
def test_law_a_signature_packs_and_unpacks_to_itself(signature):
    assert walk.unpack_signature(walk.pack_signature(signature)) == signature


@given(st.lists(st.tuples(NAMES, SIGNATURES), max_size=10))
def test_law_records_join_and_parse_to_themselves(pairs):
    packed = b"".join(walk.join(name, walk.pack_signature(signature)) for name, signature in pairs)

    assert [(name, walk.unpack_signature(found)) for name, found in walk.parse(packed)] == pairs
    assert [walk.split(walk.join(name, found)) for name, found in walk.parse(packed)] == list(walk.parse(packed))


@given(st.dictionaries(NAMES.map(os.fsdecode), st.tuples(INT64, INT64), max_size=10))
def test_law_outputs_pack_and_parse_to_themselves(outputs):
    packed = {name: walk.pack_output(*values) for name, values in outputs.items()}

    assert walk.parse_outputs(walk.pack_outputs(packed.items())) == packed


def test_files_and_folders_come_sorted_and_only_what_matches(tmp_path):
    for name in ("b.html", "a.html", "ä.html", "Z.html", "c.txt"):
        (tmp_path / name).write_text(name)
    for name in ("z", "y.html"):
        (tmp_path / name).mkdir()

    seen = _look(tmp_path)

    assert _names(seen) == sorted(name.encode() for name in ("b.html", "a.html", "ä.html", "Z.html"))
    assert seen.folders == [b"y.html", b"z"]
    assert seen.problems == []


def test_a_signature_is_what_stat_says(tmp_path):
    (tmp_path / "a.html").write_text("12345")
    st = os.stat(tmp_path / "a.html")

    ((_, packed),) = walk.parse(_look(tmp_path).packed)

    assert walk.unpack_signature(packed) == (5, st.st_mtime_ns, st.st_ctime_ns, st.st_ino)


def test_names_that_are_not_utf8_are_seen(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9\n\x1b.html"
    with open(name, "wb"):
        pass

    assert _names(_look(tmp_path)) == [b"caf\xe9\n\x1b.html"]


def test_what_is_no_regular_file_inside_the_root_is_a_problem_with_its_reason(tmp_path):
    root, outside = tmp_path / "in", tmp_path / "outside.html"
    root.mkdir()
    outside.write_text("secret")
    (tmp_path / "in-too").mkdir()
    os.mkfifo(root / "pipe.html")
    (root / "out.html").symlink_to(outside)
    (root / "twin.html").symlink_to(tmp_path / "in-too")
    (root / "nowhere.html").symlink_to(root / "missing")
    (root / "loop.html").symlink_to(root / "loop.html")
    (root / "null.html").symlink_to("/dev/null")
    (root / "pipe-link.html").symlink_to(root / "pipe.html")

    seen = _look(root)

    assert seen.records == []
    assert dict(seen.problems) == {
        b"pipe.html": "is not a regular file",
        b"out.html": "is a link that leads out of the input folder",
        b"twin.html": "is a link that leads out of the input folder",
        b"null.html": "is a link that leads out of the input folder",
        b"nowhere.html": "is a link that leads nowhere",
        b"loop.html": "is a link that leads nowhere",
        b"pipe-link.html": "is a link to something that is not a regular file",
    }


def test_a_link_inside_the_root_is_the_file_it_leads_to(tmp_path):
    (tmp_path / "a.html").write_text("data")
    (tmp_path / "b.html").symlink_to("a.html")

    (_, one), (_, other) = walk.parse(_look(tmp_path).packed)

    assert one == other


def test_a_linked_folder_is_not_walked(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.html").symlink_to("real")

    seen = _look(tmp_path)

    assert seen.folders == [b"real"]
    assert seen.records == seen.problems == []


def test_two_looks_are_equal_when_nothing_moved(tmp_path):
    for name in ("a.html", "b.html"):
        (tmp_path / name).write_text(name)

    assert _look(tmp_path).packed == _look(tmp_path).packed


@pytest.mark.parametrize("move", ["append", "touch", "replace", "rename", "remove", "add", "chmod"])
def test_two_looks_differ_when_anything_moved(tmp_path, move):
    path = tmp_path / "a.html"
    path.write_text("data")
    os.utime(path, ns=(1, 1))
    before = _look(tmp_path).packed

    match move:
        case "append":
            path.write_text("data and more")
            os.utime(path, ns=(1, 1))
        case "touch":
            os.utime(path, ns=(2, 2))
        case "replace":
            (tmp_path / "new").write_text("data")
            os.utime(tmp_path / "new", ns=(1, 1))
            os.replace(tmp_path / "new", path)
        case "rename":
            path.rename(tmp_path / "b.html")
        case "remove":
            path.unlink()
        case "add":
            (tmp_path / "b.html").touch()
        case "chmod":
            path.chmod(0o600)

    assert _look(tmp_path).packed != before


def test_what_does_not_match_may_move(tmp_path):
    (tmp_path / "a.html").touch()
    before = _look(tmp_path).packed

    (tmp_path / "notes.txt").touch()

    assert _look(tmp_path).packed == before


@pytest.mark.parametrize("year", [1910, 2262, 2400])
def test_a_file_from_another_century_is_a_file(tmp_path, year):
    path = tmp_path / "a.html"
    path.touch()
    ns = (year - 1970) * 31_556_952 * 10**9
    os.utime(path, ns=(ns, ns))
    if os.stat(path).st_mtime_ns != ns:
        pytest.skip("this file system has no such year")

    seen = _look(tmp_path)
    outputs = walk.parse_outputs(walk.look_at_outputs(os.fsencode(tmp_path)))

    assert _names(seen) == [b"a.html"]
    st = os.stat(path)
    assert seen.packed == walk.join(b"a.html", walk.pack_signature(walk.signature_of(st)))
    assert seen.packed == walk.join(b"a.html", walk.pack_signature(_raw(st)))
    assert outputs == {"a.html": walk.pack_output(st.st_size, st.st_mtime_ns)}
    assert -(2**63) <= walk.unpack_signature(walk.split(seen.records[0])[1]).mtime_ns < 2**63


def test_a_folder_that_is_not_there_is_an_error_for_inputs_and_empty_for_outputs(tmp_path):
    with pytest.raises(FileNotFoundError):
        _look(tmp_path / "missing", root=tmp_path)
    assert walk.look_at_outputs(os.fsencode(tmp_path / "missing")) == b""


def test_outputs_are_regular_files_only_sorted(tmp_path):
    (tmp_path / "b.json").write_text("12")
    (tmp_path / "a.json").write_text("1")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("a.json")

    packed = walk.look_at_outputs(os.fsencode(tmp_path))

    assert list(walk.parse_outputs(packed)) == ["a.json", "b.json"]
    stats = [(name, os.stat(tmp_path / name)) for name in ("b.json", "a.json")]
    assert walk.pack_outputs((name, walk.pack_output(st.st_size, st.st_mtime_ns)) for name, st in stats) == packed


def test_no_file_has_the_unknown_signature(tmp_path):
    (tmp_path / "a.html").touch()

    assert walk.split(_look(tmp_path).records[0])[1] != walk.UNKNOWN
