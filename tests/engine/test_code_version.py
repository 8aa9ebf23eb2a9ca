"""The code version as a whole: what never changes it, what it tells a cache, declared versions."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from pathlib import Path

import pytest
from code_samples import FILES, REGISTRY, STEPS, edited, fresh, version_in_a_process, version_of, write

from onward.engine.code.dependencies import dependency_versions
from onward.engine.code.version import CodeReader, code_version, files_are_unchanged
from onward.errors import PipelineInvalid


class TestWhatDoesNotCount:
    PLAIN = """
        from dataclasses import dataclass

        LIMIT = 3
        TEXT = 'a' 'b'

        @dataclass
        class Row:
            size: int = 0

        def step(x, y=1, *rest, z=(1, 2)):
            row = Row(y)
            if x:
                return [row.size, TEXT, f"{x}-{y:>3}", {"k": -1}]
            else:
                pass
            return LIMIT
        """
    OTHER = '''
        """A module about rows."""
        # And a comment.
        from dataclasses import dataclass
        from typing import Final, overload

        LIMIT: Final[int] = 3  # rows
        TEXT = (
            "ab"
        )


        @dataclass
        class Row:
            """A row."""

            size: int = 0
            """Its size."""


        @overload
        def step(x: int) -> int: ...
        def step(x: "int", y: int = 1, *rest: object, z: tuple[int, ...] = (1, 2,)) -> list[object] | int:
            """Do it."""
            row: Row = Row(
                y,
            )
            count: int
            if (x):
                return [
                    row.size, TEXT, f'{x}-{y:>3}',
                    {'k': -1},
                ]
            else:
                ...
            return (LIMIT)
        '''

    def test_comments_docstrings_annotations_and_layout(self, tmp_path):
        plain = version_of(write(tmp_path / "a", {"pkg/steps.py": self.PLAIN}), "pkg.steps:step")
        other = version_of(write(tmp_path / "b", {"pkg/steps.py": self.OTHER}), "pkg.steps:step")

        assert plain.parts == other.parts
        assert plain.digest == other.digest

    @pytest.mark.parametrize("one", ["1", "True", "1.0", "'1'", "b'1'", "1j", "None", "...", "-1", "1e999", "(1,)"])
    def test_constants_of_different_types_differ(self, tmp_path, one):
        digests = set()
        for number, value in enumerate(("1", one) if one != "1" else ("1", "0x1")):
            root = write(tmp_path / str(number), {"pkg/steps.py": f"VALUE = {value}\ndef step(x): return VALUE\n"})
            digests.add(version_of(root, "pkg.steps:step").digest)

        assert len(digests) == (1 if one == "1" else 2)

    def test_carriage_returns_a_byte_order_mark_and_the_encoding(self, tmp_path):
        text = "# -*- coding: utf-8 -*-\n\ndef step(x):\n    return '''ä\nb'''\n"
        latin = text.replace("utf-8", "latin-1")
        found = set()
        for name, data in {
            "a": text.encode(),
            "b": b"\xef\xbb\xbf" + text.encode(),
            "c": text.replace("\n", "\r\n").encode(),
            "d": latin.encode("latin-1"),
        }.items():
            root = write(tmp_path / name, {"pkg/steps.py": ""})
            (root / "pkg/steps.py").write_bytes(data)
            found.add(version_of(root, "pkg.steps:step").digest)

        assert len(found) == 1

    def test_hash_seed_working_directory_locale_and_import_order(self, tmp_path):
        root = write(tmp_path / "code", {**FILES, **REGISTRY, "pkg/sets.py": "S = {'a', 'b', 'c'}\n"})
        edited(root, "pkg/steps.py", "import titles", "import titles\nfrom .sets import S")
        edited(root, "pkg/steps.py", "all(", "S and all(")

        found = {
            json.dumps(version_in_a_process(root, "pkg.steps:step", *early, cwd=cwd, **environment))
            for early, cwd, environment in [
                ((), None, {"PYTHONHASHSEED": "1"}),
                ((), tmp_path, {"PYTHONHASHSEED": "2", "LC_ALL": "C", "TZ": "Asia/Tokyo"}),
                (("pkg.titles", "pkg.text"), Path("/"), {"PYTHONHASHSEED": "3"}),
                (("pkg.numbers", "pkg.rules", "pkg.titles"), root, {"PYTHONHASHSEED": "4", "PYTHONUTF8": "1"}),
            ]
        }

        assert len(found) == 1

    def test_a_moved_tree_and_new_times(self, tmp_path):
        root = write(tmp_path / "here", FILES)
        before = version_of(root, "pkg.steps:step")
        shutil.copytree(root, tmp_path / "there" / "deeper")

        after = version_of(tmp_path / "there" / "deeper", "pkg.steps:step")

        assert before.digest == after.digest
        assert before.parts == after.parts

    def test_the_order_of_definitions(self, tmp_path):
        root = write(tmp_path, FILES)
        before = version_of(root, "pkg.steps:step")
        text = (root / "pkg/numbers.py").read_text()
        first, second = text.strip().split("\n\n")
        (root / "pkg/numbers.py").write_text(f"{second}\n\n{first}\n")

        assert version_of(root, "pkg.steps:step").digest == before.digest

    def test_the_depth_of_the_stack(self, tmp_path):
        terms = " + ".join(["x"] * 300)
        root = write(tmp_path, {"pkg/steps.py": f"N = 1\ndef step(x):\n    return {terms} + N\n"})

        def below(frames: int) -> str:
            return below(frames - 1) if frames else version_of(root, "pkg.steps:step").digest

        assert below(0) == below(150)
        assert list(version_of(root, "pkg.steps:step").parts) == ["pkg.steps:N", "pkg.steps:step"]


class TestCaching:
    def test_the_files_reached_are_those_that_were_read(self, tmp_path):
        root = write(tmp_path, FILES)

        found = version_of(root, "pkg.steps:step")

        names = {Path(file.path).name for file in found.files_reached}
        assert {"steps.py", "text.py", "spaces.py", "numbers.py", "__init__.py"} == names
        stat = (root / "pkg/text.py").stat()
        assert (str(root / "pkg/text.py"), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) in found.files_reached

    def test_files_are_unchanged_until_one_is_written(self, tmp_path):
        root = write(tmp_path, FILES)
        found = version_of(root, "pkg.steps:step")

        assert files_are_unchanged(json.loads(json.dumps(found.files_reached)))
        edited(root, "pkg/numbers.py", "number * 3", "number ** 3")
        assert not files_are_unchanged(found.files_reached)

    def test_a_file_that_appears_where_one_was_looked_for_is_a_change(self, tmp_path):
        root = write(tmp_path, {"pkg/steps.py": "def step(x):\n    from .gone import f\n    return f(x)\n"})
        found = version_of(root, "pkg.steps:step")
        assert files_are_unchanged(found.files_reached)

        (root / "pkg/gone.py").write_text("def f(x): return x\n")

        assert not files_are_unchanged(found.files_reached)

    def test_the_key_of_a_step_follows_what_it_holds_and_reads_nothing(self, tmp_path):
        with fresh(write(tmp_path, STEPS)):
            from pkg import steps

            reader = CodeReader()
            given = [steps.plain, steps.part, steps.Step(1), steps.Step(2), *steps.two, *steps.late]
            keys = [reader.key(step) for step in given]
            again = [CodeReader().key(step) for step in given]

        assert len(set(keys)) == len(given)
        assert keys == again
        assert CodeReader([tmp_path]).key(len) != CodeReader().key(len)

    def test_a_reader_gives_what_a_fresh_one_gives(self, tmp_path):
        with fresh(write(tmp_path, {**STEPS, "lib/steps.py": FILES["pkg/numbers.py"]})):
            from lib.steps import double
            from pkg import steps

            given = [steps.plain, double, steps.part, steps.Step(1), steps.remembered]
            shared = CodeReader()

            assert [shared.version(step) for step in given] == [code_version(step) for step in given]
            assert [shared.version(step) for step in reversed(given)] == [
                code_version(step) for step in reversed(given)
            ]


class TestDependencies:
    def test_libraries_are_named_with_their_installed_versions_in_order(self):
        assert dependency_versions(["pytest", "hypothesis", "pytest"]) == {
            "hypothesis": importlib.metadata.version("hypothesis"),
            "pytest": importlib.metadata.version("pytest"),
        }

    def test_a_library_may_be_called_by_what_it_provides(self):
        assert dependency_versions(["_pytest"]) == {"_pytest": f"pytest=={importlib.metadata.version('pytest')}"}

    def test_a_library_that_is_not_installed_is_an_error_that_says_what_to_do(self):
        with pytest.raises(PipelineInvalid, match=r"'nowhere-at-all'.*Install it.*depends="):
            dependency_versions(["nowhere-at-all"])
