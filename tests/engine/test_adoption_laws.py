"""Laws of adoption, over any mixture of what is shared, what is known here, and what stands here."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onward import Pipeline, files, json_files
from onward.engine.batch import Batch
from onward.engine.options import Options

KEYS = ("a.txt", "b.txt", "sub/c.txt", "sub/d.txt")
SHARED = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(["one", "two", ""]))
PULLED_OUTPUTS = st.sets(st.sampled_from(KEYS))
WISHES = st.sampled_from([{}, {"require_outputs": True}, {"full": True}, {"force": ["a.txt"]}, {"rehash": True}])
LIMITS = st.sampled_from([1, 2])


def read(item: object) -> str:
    text: str = item.read_text()  # type: ignore[attr-defined]
    return text


def count(text: str, config: dict[str, int]) -> dict[str, object]:
    return {"text": text, "limit": config["limit"]}


def is_full(result: dict[str, object]) -> bool:
    return bool(result["text"])


def pipeline() -> Pipeline:
    return Pipeline(
        "laws", source=files("**/*.txt"), steps=[read, count], checks=[is_full], sink=json_files(),
        settings={"limit": 1, "unread": 1},
    )


@contextmanager
def place() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def write(folder: Path, texts: dict[str, str]) -> None:
    for key, text in texts.items():
        path = folder / "in" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "in").mkdir(parents=True, exist_ok=True)


def batch(folder: Path, limit: int, **more: object) -> Batch:
    options = Options(
        state=str(folder / ".onward"), settings={"limit": limit}, workers=1,
        **more,  # type: ignore[arg-type]
    )
    return Batch.prepare(pipeline(), str(folder / "in"), str(folder / "out"), options)


def run(folder: Path, limit: int, **more: object) -> dict[str, object]:
    with batch(folder, limit, **more).run() as answer:
        return answer.document()


def told(document: dict[str, object]) -> dict[str, tuple[str, str]]:
    items = document["items"]
    assert isinstance(items, list)
    return {item["key"]: (item["action"], item["reason"]) for item in items}


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder but locks and the ledger, which readers open as well."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if "ledger.db" not in path.name}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(theirs=SHARED, before=SHARED, mine=SHARED, pulled=PULLED_OUTPUTS, wish=WISHES, then=LIMITS, now=LIMITS)
def test_a_plan_says_what_the_run_does_and_a_second_run_does_nothing(theirs, before, mine, pulled, wish, then, now):
    with place() as base:
        write(base / "anne", theirs)
        run(base / "anne", then, manifest=True)
        here = base / "bert"
        write(here, before)
        run(here, now)
        write(here, mine)
        shutil.copy(base / "anne" / "in" / ".manifest.json", here / "in")
        for key in pulled & set(theirs):
            output = Path("out", key).with_suffix(".json")
            if (base / "anne" / output).exists():
                (here / output).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(base / "anne" / output, here / output)
        if "a.txt" not in {**before, **mine}:
            wish = {name: value for name, value in wish.items() if name != "force"}
        seen = tree(here)

        planned = batch(here, now, manifest=True, **wish).plan().document()
        assert tree(here) == seen
        ran = run(here, now, manifest=True, **wish)

        assert told(planned) == told(ran)
        counts, said = planned["counts"], ran["counts"]
        assert isinstance(counts, dict)
        assert isinstance(said, dict)
        assert {name: counts[name] for name in ("total", "skipped", "held")} == {
            name: said[name] for name in ("total", "skipped", "held")
        }
        document = (here / "in" / ".manifest.json").read_bytes()
        again = run(here, now, manifest=True)
        assert {why for what, why in told(again).values() if what != "skip"} <= {"quarantined"}
        assert (here / "in" / ".manifest.json").read_bytes() == document
        for key, text in {**before, **mine}.items():
            output = (here / "out" / key).with_suffix(".json")
            if text and output.exists():
                assert f'"text": "{text}"' in output.read_text(), "whatever stands here is of the bytes that are here"
