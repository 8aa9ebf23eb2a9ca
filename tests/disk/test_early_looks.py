"""What was seen early is what a look shows, the child ends with whoever asked for it, and holds up nobody."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from farm import alive, wait_until
from onward import files, json_files, json_lines_source, json_segments
from onward.disk import walk
from onward.disk.early_looks import EarlyLooks
from onward.engine.scan import serve
from onward.engine.source import EarlyListing, ScanProblem
from onward.engine.sources.file_source import FileSource
from onward.engine.sources.folder_listing import FolderListing
from onward.pipelines.tables.sinks.parquet_sink import ParquetSink

# The child is forked from a test process that may have threads of its own.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


def seen_early(place: Path, out: Path) -> EarlyLooks:
    """Look until all is seen."""
    early = EarlyLooks(str(place), str(out))
    early.look_at_inputs()
    if early._pid:
        os.waitid(os.P_PID, early._pid, os.WEXITED | os.WNOWAIT)
    early.end()
    return early


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    place, out = tmp_path / "in", tmp_path / "out"
    for folder in ("", "a", "a/b", "ü"):
        (place / folder).mkdir(exist_ok=True)
        (out / folder).mkdir(exist_ok=True)
        for name in ("one.txt", "two.md", "three.txt"):
            (place / folder / name).write_text(folder + name)
        (out / folder / "one.json").write_text(folder)
    return place, out


def test_what_was_seen_early_is_what_a_look_shows(folders: tuple[Path, Path]) -> None:
    place, out = folders

    early = seen_early(place, out)

    for folder in ("", "a", "a/b", "ü"):
        glimpse = early.glimpse(os.fsencode(folder))
        assert glimpse is not None
        root, at = os.fsencode(place), os.fsencode(place / folder)
        whole = walk.look(at, lambda _: True, root=root)
        texts = walk.look(at, lambda name: name.endswith(b".txt"), root=root)
        assert glimpse.matching(lambda _: True) == (whole.packed, 3)
        assert glimpse.matching(lambda name: name.endswith(b".txt")) == (texts.packed, 2)
        assert glimpse.matching(lambda _: False) == (b"", 0)
        assert glimpse.folders == whole.folders
        assert glimpse.outputs == walk.look_at_outputs(os.fsencode(out / folder)) != b""


def test_a_folder_with_anything_but_files_is_left_to_the_later_look(folders: tuple[Path, Path]) -> None:
    place, out = folders
    (place / "a" / "link.txt").symlink_to("/etc/passwd")
    os.mkfifo(place / "a/b/pipe.txt")

    early = seen_early(place, out)

    assert early.glimpse(b"a") is None
    assert early.glimpse(b"a/b") is None
    assert early.glimpse(b"") is not None


def test_hidden_names_and_the_output_itself_are_not_looked_at(tmp_path: Path) -> None:
    place, out = tmp_path, tmp_path / "out"
    for folder in (".git", "out/deep", "seen/.hidden"):
        (place / folder).mkdir(parents=True)
    (place / ".DS_Store").write_text("")
    (place / "a.txt").write_text("")

    early = seen_early(place, out)

    root, seen = early.glimpse(b""), early.glimpse(b"seen")
    assert root is not None
    assert seen is not None
    assert root.names == b"a.txt"
    assert seen.folders == []
    assert [early.glimpse(folder) for folder in (b".git", b"out", b"out/deep", b"seen/.hidden")] == [None] * 4


def test_nobody_looks_where_nothing_was_ever_put_out(folders: tuple[Path, Path]) -> None:
    place, out = folders

    for here, there in ((place, out / "none"), (place / "none", out), (place / "one.txt", out)):
        early = EarlyLooks(str(here), str(there))
        assert early._pid == 0
        early.end()
        assert early.glimpse(b"") is None


def test_the_child_ends_when_it_is_told_and_what_it_saw_by_then_is_whole(tmp_path: Path) -> None:
    place, out = tmp_path / "in", tmp_path / "out"
    out.mkdir()
    for at in range(40):
        (place / f"{at:02}").mkdir(parents=True)
        for name in range(100):
            (place / f"{at:02}" / f"{name}.txt").write_text("")

    for _ in range(20):
        with EarlyLooks(str(place), str(out)) as early:
            early.look_at_inputs()
            pid = early._pid
        assert not alive(pid)
        for at in range(40):
            glimpse = early.glimpse(b"%02d" % at)
            if glimpse is not None:
                looked = walk.look(os.fsencode(place / f"{at:02}"), lambda _: True, root=os.fsencode(place))
                assert glimpse.matching(lambda _: True) == (looked.packed, 100)


def test_inputs_are_not_looked_at_before_it_is_said(folders: tuple[Path, Path]) -> None:
    place, out = folders
    with EarlyLooks(str(place), str(out)) as early:
        time.sleep(0.2)
        (place / "one.txt").write_text("written while the pipeline was imported")
        early.look_at_inputs()
        os.waitid(os.P_PID, early._pid, os.WEXITED | os.WNOWAIT)

    glimpse = early.glimpse(b"")
    assert glimpse is not None
    assert glimpse.inputs == walk.look(os.fsencode(place), lambda _: True, root=os.fsencode(place)).packed


def test_who_never_says_that_inputs_may_be_looked_at_sees_nothing(folders: tuple[Path, Path]) -> None:
    with EarlyLooks(*map(str, folders)) as early:
        time.sleep(0.1)
        pid = early._pid

    assert not alive(pid)
    assert early.glimpse(b"") is None


ORPHAN = """
    import fcntl, os, sys
    from onward.disk import early_looks, walk
    lock = open(sys.argv[2] + "/lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    look = walk.look
    def slow(*args, **named):
        import time
        time.sleep(0.05)
        return look(*args, **named)
    walk.look = slow
    early = early_looks.EarlyLooks(sys.argv[1], sys.argv[2])
    early.look_at_inputs()
    print(early._pid, flush=True)
    {end}
"""


def start(folders: tuple[Path, Path], end: str) -> subprocess.Popen[str]:
    script = textwrap.dedent(ORPHAN).format(end=end)
    return subprocess.Popen([sys.executable, "-c", script, *map(str, folders)], stdout=subprocess.PIPE, text=True)


def test_the_child_does_not_outlive_a_parent_that_was_killed(folders: tuple[Path, Path]) -> None:
    for at in range(200):
        (folders[0] / f"more{at}").mkdir()
    parent = start(folders, "import time; time.sleep(60)")
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert alive(pid)

    parent.send_signal(signal.SIGKILL)
    parent.wait()

    wait_until(lambda: not alive(pid), timeout_s=5, what="the child's end")
    parent.stdout.close()


def test_whoever_waits_for_the_parent_does_not_wait_for_its_child(folders: tuple[Path, Path]) -> None:
    for at in range(200):
        (folders[0] / f"more{at}").mkdir()

    # A child that is stopped cannot end.
    parent = start(folders, "import time; time.sleep(0.2); os.kill(early._pid, 19); os._exit(0)")
    said, _ = parent.communicate(timeout=10)

    with open(folders[1] / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.kill(int(said), signal.SIGKILL)
    assert parent.returncode == 0


class OnlyTexts(FileSource):
    """A source that scans in a way of its own."""

    def scan(self, place: str, *, leave_out: Sequence[str]) -> Iterator[FolderListing | ScanProblem]:
        """Leave out all folders but one."""
        return (found for found in super().scan(place, leave_out=leave_out) if found.key == "a")


def test_a_source_that_scans_in_its_own_way_is_asked_for_all_of_it(folders: tuple[Path, Path]) -> None:
    place, out = folders
    early = seen_early(place, out)

    own = OnlyTexts(["**/*"]).scan_with(early, str(place), leave_out=())
    plain = FileSource(["**/*"]).scan_with(early, str(place), leave_out=())

    assert [found.key for found in own] == ["a"]
    assert [type(found) for found in plain] == [EarlyListing] * 3 + [FolderListing]


def test_only_a_sink_whose_outputs_mirror_the_inputs_is_served() -> None:
    source = files("**/*")

    assert serve(source, json_files())
    assert not serve(source, json_segments(id_field="id"))
    assert not serve(source, ParquetSink())
    assert not serve(json_lines_source(), json_files())
