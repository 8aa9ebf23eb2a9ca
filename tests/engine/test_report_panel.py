"""The panel of a report: every cell in its column, and nothing from outside in it that a browser would obey."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from onward.engine.reports.report_panel import Cell, Group, Mark, Panel, Strip, Tone, drawn

HOSTILE = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'onload='x", "</svg><script>x</script>",
    "</title><rect onclick=x>", "a&lt;b", "a\x00b\x1b[31mred", "line\nbreak", "photo\u202egpj.exe", "名前",
]


def panel_with(text: str, groups: int = 1) -> Panel:
    strips = [Strip(text, [Cell(0, 3, Tone.DONE, text), Cell(4, 1, Tone.BAD, text)])]
    return Panel(
        text, text, 5, [(0, text), (4, text)], [Mark(Tone.DONE, text, 3), Mark(Tone.BAD, text, 1)],
        [Group(text, text, strips, [text]) for _ in range(groups)], text,
    )


class Parsed(HTMLParser):
    """The names of elements and attributes, in order, and what does not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.shape: list[tuple[str, ...]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shape.append((tag, *(name for name, _ in attrs)))
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shape.append((tag, *(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize("text", HOSTILE, ids=repr)
def test_no_text_from_outside_adds_an_element_or_an_attribute(text: str) -> None:
    plain, hostile = Parsed(drawn(panel_with("plain"))), Parsed(drawn(panel_with(text)))

    assert hostile.shape == plain.shape
    assert hostile.wrong == plain.wrong == []
    assert not any(c in drawn(panel_with(text)) for c in "\x00\x1b\u202e")


def test_a_cell_stands_in_its_columns() -> None:
    found = re.findall(r'<rect class="(\w+)" x="(\d+)" y="0" width="(\d+)"', drawn(panel_with("plain")))

    assert found == [("done", "0", "30"), ("bad", "40", "10")]


def test_what_a_cell_is_can_be_heard() -> None:
    panel = panel_with("plain")
    strip = Strip("2025-01", [Cell(0, 3, Tone.DONE, "days 1 to 3: done"), Cell(4, 1, Tone.BAD, "day 5: failed")])

    text = drawn(panel._replace(groups=[Group("t", "s", [strip])]))

    assert 'aria-label="days 1 to 3: done; day 5: failed"' in text


def test_marks_without_cells_are_left_out() -> None:
    told = Parsed(drawn(panel_with("plain")._replace(marks=[Mark(Tone.ODD, "strange", 0), Mark(Tone.DONE, "good", 7)])))

    assert "strange" not in "".join(told.texts)
    assert "good 7" in "".join(told.texts)


def test_a_password_in_a_text_is_not_drawn() -> None:
    assert "hunter2" not in drawn(panel_with("postgresql://me:hunter2@host/db"))


def test_more_groups_than_a_page_can_take_are_counted() -> None:
    text = drawn(panel_with("plain", groups=75))

    assert text.count("<figure") == 60
    assert "and 15 more" in text
