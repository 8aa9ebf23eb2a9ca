"""The page: whole, alone, and nothing from outside in it that a browser or an eye would obey."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.engine.questions.account import Account, FailedItem, FailureType, Slow, Step
from onward.engine.questions.pace import Measured
from onward.engine.reports.report import Report, Seen
from onward.engine.reports.report_html import page
from onward.engine.run import Line
from onward.ledger.base import Head
from onward.model.reason import Reason
from onward.model.record import Job, Run
from onward.runs.memory import Sample

NOW = 1_766_932_222_000_000
COUNTS = {
    "total": 10, "new": 5, "changed": 1, "retried": 0, "processed": 5, "skipped": 3, "failed": 0, "quarantined": 1,
    "held": 1, "discarded": 0, "deleted": 2, "remaining": 0,
}
VOID = {"meta", "br", "line", "rect", "polygon", "polyline"}
HOSTILE = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "</title></style><h1>x", "a&lt;b", "'onload='x",
    "-->x<!--", "]]>", "javascript:alert(1)", "&#60;b&#62;", "{{7*7}}", "</svg><script>x</script>", "a\x00b\x1b[31mred",
    "line\nbreak\r\tand tab", "photo\u202egpj.exe", "\u2066isolated\u2069", "zero\u200bwidth", "caf\udce9.txt",
    "名前.html",
]


def report_with(text: str = "plain.html", **other: object) -> Report:
    """Return a report in which `text` stands wherever a text from outside can stand."""
    failed = FailedItem(text, text, "permanent", text, 2, True)
    facts: dict[str, object] = {
        "job": Job(1, text, text, "in", "out", "completed", NOW, 1, "{}"),
        "run": Run(
            1, 1, "20251228_143022", text, "completed", NOW, None, 7, text,
            json.dumps({"researcher": text, "git_commit": text, f"x-{text}": text}),
            json.dumps({text: text, f"{text}.more": [text]}),
            None, None,
        ),
        "status": "completed",
        "place": text,
        "out": text,
        "file": "out/.runs/x/report.json",
        "counts": COUNTS,
        "elapsed_s": 12.5,
        "account": Account(
            {"succeeded": 5, "failed": 2}, [("new", 5), (f"code-changed:{text}", 1), (text, 1)], 5, {text: failed}, [],
            [FailureType(text, "permanent", 1, 2, text, text)], [], [Step(0, 2, 1), Step(5, 3, 1)], 5.0, NOW,
        ),
        "seen": Seen([Slow(text, 2.5)], [Sample(0, 10**8), Sample(5, 2 * 10**8)], 2 * 10**8),
        "measured": Measured(100, 4, 50_000_000),
        "failures": [failed],
        "problems": [(text, text)],
        "validation": {"PASS": 4, "WARN": 1},
        "ledger": "11111111-2222",
        "anchor": Head(7, bytes(32)),
        "written_at": NOW,
    }
    return Report(**{**facts, **other})  # type: ignore[arg-type]


def lines_with(text: str) -> list[Line]:
    return [Line(text, "process", text, "processed"), Line(text, "process", "new", None)]


class Seen_(HTMLParser):  # noqa: N801 - beside the report's own Seen
    """Elements with their attributes, texts, and whatever does not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"comment {data}")


def references(seen: Seen_) -> Iterator[str]:
    for _, attrs in seen.tags:
        for name, value in attrs:
            if name in ("src", "href", "action", "data", "poster", "srcset", "formaction") or name.startswith("on"):
                yield f"{name}={value}"


def test_the_page_is_whole_and_needs_nothing_but_itself():
    text = page(report_with(), lines_with("a.html"))
    seen = Seen_(text)

    assert (seen.open, seen.wrong) == ([], [])
    assert list(references(seen)) == []
    outward = {"script", "link", "iframe", "img", "object", "embed", "base", "form"}
    assert outward & {tag for tag, _ in seen.tags} == set()
    assert not re.search(r"url\(|@import|https?://", text)


@pytest.mark.contract("S4-029")
def test_the_page_says_what_was_done_and_skipped_and_why():
    told = " ".join(Seen_(page(report_with(), lines_with("a.html"))).texts)

    for words in (
        "10 items were offered: 5 were processed and 3 skipped as unchanged.", "1 item failed.",
        "new: never seen before", "completed, 2 need attention", "unchanged: input, code and settings",
        "held: failed in an earlier run", "gone: no longer", "passed every check", "1.5 s",
        "took 0.5 s on average, measured over 100 results in 4 runs", "at most 200 MB of memory",
        "sha256:" + "0" * 64, "Success rate 80 %",
    ):
        assert words in " ".join(told.split()), words


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_shown_and_never_obeyed(text):
    benign = Seen_(page(report_with("plain"), lines_with("plain")))
    hostile = page(report_with(text), lines_with(text))
    seen = Seen_(hostile)

    assert seen.tags == benign.tags
    assert (seen.open, seen.wrong) == ([], [])
    assert not re.search("[\x00-\x08\x0b-\x1f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", hostile)
    hostile.encode()


@given(st.text(min_size=1).filter(lambda text: text.partition(":")[0] not in list(Reason)))
def test_no_text_from_outside_changes_the_page_laws(text):
    benign = Seen_(page(report_with("plain"), lines_with("plain")))
    seen = Seen_(page(report_with(text), lines_with(text)))

    assert [tag for tag, _ in seen.tags] == [tag for tag, _ in benign.tags]
    assert (seen.open, seen.wrong) == ([], [])


def test_the_name_of_an_item_can_be_read_on_the_page():
    told = Seen_(page(report_with('<b>"x" & y</b>.html'), ())).texts

    assert '<b>"x" & y</b>.html' in told


def test_a_password_in_a_url_is_not_on_the_page():
    assert "hunter2" not in page(report_with("postgres://me:hunter2@host/db"), lines_with("ftp://me:hunter2@h/x"))


def test_a_long_list_is_cut_and_says_so():
    failures = [FailedItem(f"f{n:04}.html", "value-error", "permanent", "bad", 1, True) for n in range(1000)]
    lines = [Line(f"i{n:04}.html", "process", "new", "processed") for n in range(1000)]
    text = page(report_with(failures=failures), lines)

    assert "f0099.html" in text
    assert "f0100.html" not in text
    assert "900 more" in text
    assert "i0100.html" not in text
    assert len(text) < 200_000


def test_a_run_that_had_nothing_to_do_says_so():
    nothing = Account({}, [], 0, {}, [], [], [], [], 0.0, None)
    counts = {**dict.fromkeys(COUNTS, 0), "total": 3, "skipped": 3}
    text = page(report_with(account=nothing, counts=counts, failures=[], problems=[], seen=Seen(), validation={}))

    assert "There was nothing to do: 3 were as before." in text
    assert "<svg" not in text


def test_a_run_that_died_says_that_it_left_no_counts():
    died = Account({"succeeded": 2, "lost": 1}, [("new", 3)], 2, {}, ["c"], [], [], [], 0.0, NOW)
    text = page(report_with(account=died, is_counted=False, status="failed", failures=[], elapsed_s=None))

    assert "did not come to its end" in text
    assert "2 were processed before that, and 1 was still at work" in text


@pytest.mark.parametrize("status", ["completed", "running", "paused", "stopped", "interrupted", "failed", "unheard-of"])
def test_every_status_has_a_badge(status):
    assert Seen_(page(report_with(status=status, failures=[]))).wrong == []
