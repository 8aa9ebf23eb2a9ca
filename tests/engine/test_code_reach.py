"""What a step reaches: definitions, imports, registries, and what is whose."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from code_samples import FILES, REGISTRY, changes, fresh, version_of, write

from onward.engine.code.version import code_version


class TestWhatIsReached:
    def test_the_parts_are_the_definitions_that_the_step_reaches(self, tmp_path):
        found = version_of(write(tmp_path, FILES), "pkg.steps:step")

        assert list(found.parts) == [
            "pkg.numbers:double",
            "pkg.spaces:SPACES",
            "pkg.steps:LIMIT",
            "pkg.steps:step",
            "pkg.text:clean",
        ]
        assert found.unresolved == ()

    @pytest.mark.parametrize(
        ("path", "old", "new"),
        [
            ("pkg/steps.py", "clean(item)[", "clean(item)[1]["),
            ("pkg/steps.py", "LIMIT = 10", "LIMIT = 11"),
            ("pkg/text.py", '" "', '"_"'),
            ("pkg/spaces.py", "[ ]+", "[ ]*"),
            ("pkg/numbers.py", "number * 2", "number + 2"),
        ],
    )
    def test_an_edit_of_what_is_reached_changes_the_digest(self, tmp_path, path, old, new):
        assert changes(tmp_path, FILES, "pkg.steps:step", path, old, new)

    @pytest.mark.parametrize(
        ("path", "old", "new"),
        [
            ("pkg/steps.py", "return item\n", "return item + item\n"),
            ("pkg/text.py", "re.escape(text)", "text"),
            ("pkg/spaces.py", "[\\t]+", "[\\t]*"),
            ("pkg/numbers.py", "number * 3", "number + 3"),
        ],
    )
    def test_an_edit_of_what_is_not_reached_changes_nothing(self, tmp_path, path, old, new):
        assert not changes(tmp_path, FILES, "pkg.steps:step", path, old, new)

    def test_an_edited_helper_changes_only_the_steps_that_reach_it(self, tmp_path):
        assert not changes(tmp_path, FILES, "pkg.steps:other", "pkg/text.py", '" "', '"_"')

    @pytest.mark.parametrize(
        "imports",
        [
            "from pkg.numbers import double",
            "from pkg.numbers import double as d2; double = d2",
            "import pkg.numbers; double = pkg.numbers.double",
            "import pkg.numbers as n; double = n.double",
            "from pkg import numbers; double = numbers.double",
            "from .numbers import double",
            "from . import numbers as n; double = n.double",
            "from .numbers import *",
            "from .exported import double",
            "from .exported import twice as double",
            "try:\n    from .numbers import double\nexcept ImportError:\n    double = None",
            "if True:\n    from .numbers import double",
        ],
    )
    def test_every_way_to_import_a_helper_is_followed(self, tmp_path, imports):
        files = {
            "pkg/steps.py": imports + "\n\ndef step(x):\n    return double(x)\n",
            "pkg/exported.py": "from .numbers import double\nfrom .numbers import double as twice\n",
            "pkg/numbers.py": FILES["pkg/numbers.py"],
        }

        assert changes(tmp_path, files, "pkg.steps:step", "pkg/numbers.py", "number * 2", "number + 2")
        assert not changes(tmp_path, files, "pkg.steps:step", "pkg/numbers.py", "number * 3", "number + 3")

    def test_the_name_under_which_a_helper_is_imported_does_not_count(self, tmp_path):
        numbers = {"pkg/numbers.py": FILES["pkg/numbers.py"], "pkg/exported.py": "from .numbers import double\n"}
        spellings = [
            "from .numbers import double\ndef step(x): return double(x)\n",
            "from .numbers import double as d2\ndef step(x): return d2(x)\n",
            "from . import numbers\ndef step(x): return numbers.double(x)\n",
            "import pkg.numbers\ndef step(x): return pkg.numbers.double(x)\n",
            "from pkg.exported import double\ndef step(x): return double(x)\n",
        ]

        digests = {
            version_of(write(tmp_path / str(number), {**numbers, "pkg/steps.py": text}), "pkg.steps:step").digest
            for number, text in enumerate(spellings)
        }

        assert len(digests) == 1

    def test_a_helper_imported_inside_a_function_is_followed_without_being_imported(self, tmp_path):
        files = {
            "pkg/steps.py": "def step(x):\n    from .heavy import load as l\n    return l(x)\n",
            "pkg/heavy.py": "raise RuntimeError('not now')\ndef load(x):\n    return x\n",
        }

        found = version_of(write(tmp_path, files), "pkg.steps:step")

        assert list(found.parts) == ["pkg.heavy:load", "pkg.steps:step"]
        assert "pkg.heavy" not in sys.modules

    def test_a_package_that_imports_its_own_modules_is_followed(self, tmp_path):
        files = {
            "pkg/__init__.py": "from . import tools\nfrom .tools import clean\n",
            "pkg/tools.py": "def clean(x):\n    return x\n",
            "app/steps.py": "import pkg\n\ndef step(x):\n    return pkg.tools.clean(x)\n",
        }

        found = version_of(write(tmp_path, files), "app.steps:step", roots=(tmp_path,))

        assert list(found.parts) == ["app.steps:step", "pkg.tools:clean"]

    def test_a_name_that_a_package_makes_on_demand_counts_by_what_makes_it(self, tmp_path):
        files = {
            "pkg/__init__.py": "def __getattr__(name):\n    from .late import load\n    return load(name)\n",
            "pkg/late.py": "def load(name):\n    return name.upper\n",
            "pkg/steps.py": "from pkg import anything\n\ndef step(x):\n    return anything(x)\n",
        }

        found = version_of(write(tmp_path, files), "pkg.steps:step")

        assert list(found.parts) == ["pkg.late:load", "pkg.steps:step", "pkg:__getattr__"]
        assert [gap.name for gap in found.unresolved] == ["anything"]

    def test_a_circle_of_imports_ends(self, tmp_path):
        files = {
            "pkg/steps.py": "from .a import lost\n\ndef step(x):\n    return lost(x)\n",
            "pkg/a.py": "try:\n    from .b import lost\nexcept ImportError:\n    lost = None\n",
            "pkg/b.py": "from .a import lost\n",
        }

        assert version_of(write(tmp_path, files), "pkg.steps:step").digest

    def test_a_module_used_as_a_value_counts_whole(self, tmp_path):
        files = {
            "pkg/steps.py": "from . import rules\n\ndef step(x):\n    return getattr(rules, x)(x)\n",
            "pkg/rules.py": "from .more import late\n\ndef early(x):\n    return 1\n",
            "pkg/more.py": "def late(x):\n    return 2\n",
        }

        root = write(tmp_path, files)
        assert version_of(root, "pkg.steps:step").unresolved == ()
        assert changes(tmp_path, files, "pkg.steps:step", "pkg/rules.py", "return 1", "return 3")
        assert changes(tmp_path, files, "pkg.steps:step", "pkg/more.py", "return 2", "return 3")

    def test_getattr_of_a_module_with_a_written_name_reaches_that_name_only(self, tmp_path):
        files = {
            "pkg/steps.py": "from . import rules\n\ndef step(x):\n    return getattr(rules, 'early')(x)\n",
            "pkg/rules.py": "def early(x):\n    return 1\n\ndef late(x):\n    return 2\n",
        }

        assert list(version_of(write(tmp_path, files), "pkg.steps:step").parts) == ["pkg.rules:early", "pkg.steps:step"]

    def test_a_class_counts_whole_with_its_bases_and_what_its_methods_reach(self, tmp_path):
        files = {
            "pkg/steps.py": "from .shapes import Square\n\ndef step(x):\n    return Square.make(x)\n",
            "pkg/shapes.py": """
                from .numbers import double

                class Shape:
                    def area(self): return double(1)

                class Square(Shape):
                    side: int = 1
                    @classmethod
                    def make(cls, x): return cls()
                    def never(self): return 5
                """,
            "pkg/numbers.py": FILES["pkg/numbers.py"],
        }

        for old, new in [("return 5", "return 6"), ("double(1)", "double(2)"), ("side: int = 1", "side: float = 1")]:
            assert changes(tmp_path, files, "pkg.steps:step", "pkg/shapes.py", old, new), old
        assert changes(tmp_path, files, "pkg.steps:step", "pkg/numbers.py", "number * 2", "number + 2")

    def test_every_statement_that_gives_a_constant_its_value_counts(self, tmp_path):
        files = {
            "pkg/steps.py": """
                TABLE = {"a": 1}
                TABLE["b"] = 2
                for letter in "cd":
                    TABLE[letter] = 3
                TABLE.update(e=4)
                TABLE |= {"f": 5}
                if len(TABLE) > 100:
                    TABLE = {"g": 6}
                LOOSE = 7

                def step(x):
                    return TABLE[x]
                """
        }

        for old in ('"a": 1', '"b"] = 2', "letter] = 3", "e=4", '"f": 5', "> 100", '"g": 6'):
            assert changes(tmp_path, files, "pkg.steps:step", "pkg/steps.py", old, old[:-1] + "9"), old
        assert not changes(tmp_path, files, "pkg.steps:step", "pkg/steps.py", "LOOSE = 7", "LOOSE = 8")

    def test_defaults_and_decorators_count_and_local_names_shadow_global_ones(self, tmp_path):
        files = {
            "pkg/steps.py": """
                import functools
                SIZE = 1
                rows = 2
                def doubled(function): return lambda *args: 2 * function(*args)
                @doubled
                def step(x, size=SIZE):
                    rows = x
                    return [rows for rows in rows]
                """
        }

        found = version_of(write(tmp_path, files), "pkg.steps:step")

        assert list(found.parts) == [
            "pkg.steps:SIZE",
            "pkg.steps:doubled",
            "pkg.steps:doubled.<locals>.<lambda>",
            "pkg.steps:step",
        ]


class TestRegistries:
    def test_a_function_that_a_decorator_registers_counts(self, tmp_path):
        assert changes(tmp_path, REGISTRY, "pkg.steps:step", "pkg/titles.py", "x != 1", "x != 2")

    def test_a_registration_in_a_module_that_nobody_imports_does_not_count(self, tmp_path):
        files = {**REGISTRY, "pkg/other.py": REGISTRY["pkg/titles.py"]}

        assert not changes(tmp_path, files, "pkg.steps:step", "pkg/other.py", "x != 1", "x != 2")

    @pytest.mark.parametrize(
        ("registry", "registration"),
        [
            ("RULES = {}", "from .rules import RULES\nRULES['a'] = lambda x: 1\n"),
            ("RULES = {}", "from . import rules\nrules.RULES['a'] = lambda x: 1\n"),
            ("RULES = {}\ndef add(f): RULES['a'] = f", "from .rules import add\nadd(lambda x: 1)\n"),
            ("RULES = {}\ndef add(f): RULES['a'] = f", "from .rules import add\nkept = add(lambda x: 1)\n"),
            (
                "RULES = {}\ndef add(f):\n    global RULES\n    RULES = [f]",
                "from .rules import add\nadd(lambda x: 1)\n",
            ),
            ("RULES = []", "from .rules import RULES\nRULES.append(lambda x: 1)\n"),
            ("class R(list):\n    pass\nRULES = R()", "from .rules import RULES\n@RULES.append\ndef f(x): return 1\n"),
            ("class RULES:\n    def __init_subclass__(cls): ...", "from .rules import RULES\nclass A(RULES): x = 1\n"),
            ("class RULES:\n    all = []", "from .rules import RULES\n@RULES.all.append\ndef f(x): return 1\n"),
        ],
    )
    def test_what_other_modules_add_while_they_load_counts(self, tmp_path, registry, registration):
        files = {
            "pkg/rules.py": registry + "\n",
            "pkg/more.py": registration,
            "pkg/steps.py": "from . import more\nfrom .rules import RULES\n\ndef step(x):\n    return RULES\n",
        }

        assert changes(tmp_path, files, "pkg.steps:step", "pkg/more.py", "1", "2")

    def test_single_dispatch_counts_its_registered_functions_and_their_types(self, tmp_path):
        files = {
            "pkg/steps.py": """
                import functools
                @functools.singledispatch
                def step(x): return 1
                @step.register
                def _(x: int): return 2
                """
        }

        assert changes(tmp_path, files, "pkg.steps:step", "pkg/steps.py", "return 2", "return 3")
        assert changes(tmp_path, files, "pkg.steps:step", "pkg/steps.py", "x: int", "x: str")

    def test_an_empty_container_that_nothing_fills_is_listed(self, tmp_path):
        found = version_of(
            write(tmp_path, {"pkg/steps.py": "TABLE = {}\n\ndef step(x):\n    return TABLE[x]\n"}), "pkg.steps:step"
        )

        assert [gap.name for gap in found.unresolved] == ["TABLE"]

    def test_modules_that_are_loaded_by_made_names_are_listed_where_a_registry_waits_for_them(self, tmp_path):
        files = {**REGISTRY, "pkg/titles.py": "import importlib\n\nimportlib.import_module('pkg.' + 'late')\n"}
        write(tmp_path, {"pkg/late.py": "VALUE = 1\n"})

        found = version_of(write(tmp_path, files), "pkg.steps:step")

        assert [(gap.name, gap.where) for gap in found.unresolved] == [
            ("importlib.import_module", "pkg.titles, line 3")
        ]

    def test_a_memo_that_the_step_fills_is_not_listed(self, tmp_path):
        files = {"pkg/steps.py": "MEMO = {}\n\ndef step(x):\n    MEMO[x] = x\n    return MEMO[x]\n"}

        assert version_of(write(tmp_path, files), "pkg.steps:step").unresolved == ()


class TestFirstParty:
    def test_a_library_counts_by_its_name(self, tmp_path):
        files = {
            "lib/text.py": "def clean(x):\n    return 1\n\nwash = clean\n",
            "pkg/steps.py": "from lib.text import clean\n\ndef step(x):\n    return clean(x)\n",
        }

        assert not changes(tmp_path, files, "pkg.steps:step", "lib/text.py", "return 1", "return 2")
        assert changes(tmp_path, files, "pkg.steps:step", "pkg/steps.py", "import clean", "import wash as clean")

    def test_modules_below_a_root_are_first_party(self, tmp_path):
        files = {
            "lib/text.py": "def clean(x):\n    return 1\n",
            "job/steps.py": "from lib.text import clean\n\ndef step(x):\n    return clean(x)\n",
        }

        found = version_of(write(tmp_path, files), "job.steps:step", roots=(tmp_path,))

        assert list(found.parts) == ["job.steps:step", "lib.text:clean"]

    def test_what_is_installed_below_a_root_is_not(self, tmp_path):
        site = write(tmp_path / ".venv/lib/python3/site-packages", {"lib/text.py": "def clean(x): return 1\n"})
        write(tmp_path, {"job/steps.py": "from lib.text import clean\n\ndef step(x):\n    return clean(x)\n"})

        with fresh(site):
            found = version_of(tmp_path, "job.steps:step", roots=(tmp_path,))

        assert list(found.parts) == ["job.steps:step"]

    def test_the_engine_is_a_library_to_every_step_and_a_room_is_its_own_party(self):
        from onward.engine.code.first_party import owner_of

        assert owner_of("onward.pipelines.filings.segment") == "onward.pipelines.filings"
        assert owner_of("onward.disk.atomic") is None
        assert owner_of("shop.invoices.steps") == "shop"

    def test_a_step_of_a_room_reaches_nothing_outside_it(self):
        from onward.pipelines.filings import segment

        found = code_version(segment.segment, roots=[Path(segment.__file__).parent])

        assert len(found.parts) > 1
        assert all(name.startswith("onward.pipelines.filings") for name in found.parts)

    def test_the_engine_is_not_read_even_below_a_root(self, tmp_path):
        import onward

        source = Path(onward.__file__).parents[1]
        files = {"job/steps.py": "from onward.errors import NotFound\n\ndef step(x):\n    raise NotFound(x)\n"}

        found = version_of(write(tmp_path, files), "job.steps:step", roots=(tmp_path, source))

        assert list(found.parts) == ["job.steps:step"]

    def test_a_pipeline_file_has_one_digest_however_it_was_loaded(self, tmp_path):
        text = """
            import sys
            from rows import shape
            def step(x): return shape(x)
            if __name__ == "__main__":
                from onward.engine.code.version import code_version
                print(code_version(step, roots=[sys.argv[1]]).digest)
            """
        root = write(tmp_path / "jobs", {})
        root.mkdir()
        write(root, {"invoices.py": text, "rows.py": "def shape(x): return x\n"})
        (root / "__init__.py").unlink(missing_ok=True)

        imported = version_of(root, "invoices:step", roots=(root,))
        with fresh(root):
            spec = importlib.util.spec_from_file_location("onward_pipeline_7f3a", root / "invoices.py")
            assert spec is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
            loaded = code_version(module.step, roots=[root])
            del sys.modules[spec.name]
        script = subprocess.run(
            [sys.executable, str(root / "invoices.py"), str(root)], check=True, capture_output=True, text=True
        )

        assert list(imported.parts) == ["invoices:step", "rows:shape"]
        assert imported.digest == loaded.digest == script.stdout.strip()
