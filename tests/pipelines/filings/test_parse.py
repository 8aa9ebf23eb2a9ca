"""From a safe document to blocks: what is a paragraph, a row, a heading, and what is not there at all."""

from __future__ import annotations

import time

import pytest
from paper import Paper, html, parsed, text

from onward.errors import InputRefused
from onward.pipelines.filings.document import Block
from onward.pipelines.filings.html_blocks import html_blocks, html_tree
from onward.pipelines.filings.text_blocks import text_blocks


def blocks(markup: str) -> list[Block]:
    return html_blocks(html_tree(f"<html><body>{markup}</body></html>"))


def said(markup: str) -> list[str]:
    return [block.text for block in blocks(markup)]


def test_line_ends_of_the_source_are_no_line_ends_of_the_text() -> None:
    assert said("<p>Microsoft was\nfounded in 1975.</p>") == ["Microsoft was founded in 1975."]


def test_letters_in_small_capitals_are_one_word() -> None:
    assert said("<p><b>I<small>TEM</small> 1. B<small>USINESS</small></b></p>") == ["ITEM 1. BUSINESS"]


def test_a_bold_paragraph_stands_out_and_a_bold_word_in_one_does_not() -> None:
    whole, part = blocks("<p><b>Risk Factors</b></p><p>We may <b>not</b> succeed in this market.</p>")

    assert whole.stands_out
    assert not part.stands_out


def test_the_run_in_heading_of_a_paragraph_is_measured() -> None:
    (block,) = blocks('<p><font style="font-weight:bold">Fire may strike. </font>We store paper.</p>')

    assert block.text[: block.lead] == "Fire may strike."


def test_a_style_of_a_parent_reaches_its_children() -> None:
    (block,) = blocks('<div style="font-weight:700;text-align:center"><div><span>PART I</span></div></div>')

    assert block.bold == 1.0
    assert block.centred


def test_signs_in_cells_of_their_own_go_back_to_their_number() -> None:
    (row,) = blocks(
        "<table><tr><td>Net sales</td><td>$</td><td>(1,234</td><td>)</td><td>12</td><td>%</td></tr></table>"
    )

    assert row.cells == ("Net sales", "$(1,234)", "12%")


def test_a_heading_that_is_split_over_cells_is_one_row() -> None:
    (row,) = blocks("<table><tr><td>ITEM<br>1.</td><td>BUSINESS</td></tr></table>")

    assert row.text == "ITEM 1.\tBUSINESS"


def test_a_table_that_only_places_text_gives_paragraphs() -> None:
    placed = blocks("<table><tr><td><p>One paragraph.</p><p>And another.</p></td></tr></table>")

    assert [block.text for block in placed] == ["One paragraph.", "And another."]
    assert not any(block.is_row for block in placed)


def test_a_bullet_in_a_cell_of_its_own_belongs_to_its_paragraph() -> None:
    (block,) = blocks("<table><tr><td>&#8226;</td><td>the loss of a large customer;</td></tr></table>")

    assert block.text == "\u2022 the loss of a large customer;"
    assert not block.is_row


def test_two_breaks_end_a_paragraph_and_one_does_not() -> None:
    assert said("<p>One line<br>Two<br><br>Three</p>") == ["One line\nTwo", "Three"]


def test_a_heading_behind_a_single_break_is_a_block_of_its_own() -> None:
    assert said("<p>None.<br>Item 5. Market for Common Equity</p>") == ["None.", "Item 5. Market for Common Equity"]


def test_hidden_facts_and_hidden_elements_are_not_text() -> None:
    markup = (
        '<div style="display:none"><ix:header><ix:hidden>us-gaap:Hidden</ix:hidden></ix:header></div>'
        '<p>Seen<span style="display: none">unseen</span></p>'
    )

    assert said(markup) == ["Seen"]


def test_soft_hyphens_and_zero_width_blanks_are_not_text() -> None:
    assert said("<p>Item\u200b 1.&#173; Business</p>") == ["Item 1. Business"]


def test_references_of_windows_characters_mean_what_their_authors_meant() -> None:
    assert said("<p>Management&#146;s Discussion &#150; 2004</p>") == ["Management\u2019s Discussion \u2013 2004"]


def test_two_marks_at_one_place_are_one_page_break() -> None:
    markup = (
        '<p>One</p><hr style="page-break-after:always"><div style="page-break-before:always"><p>Two</p></div>'
        '<p style="page-break-before:always">Three</p>'
    )

    assert [block.page for block in blocks(markup)] == [0, 1, 2]


def test_only_anchors_that_something_links_to_are_kept() -> None:
    first, second = blocks('<p><a href="#there">Go</a></p><p><a name="there"></a><a name="elsewhere"></a>Here</p>')

    assert first.links == ("there",)
    assert second.anchors == ("there",)


def test_text_lines_become_paragraphs_and_columns_become_rows() -> None:
    found = text_blocks(
        "ITEM 2.  PROPERTIES\n\nThe Company owns its\nheadquarters.\n\n"
        "<TABLE>\n<CAPTION>\n             1993      1992\n<S>          <C>       <C>\nSales ..... 12,345    11,234\n"
        "          -------   -------\n</TABLE>\n<PAGE>    7\nMore text.\n"
    )

    assert [block.text for block in found] == [
        "ITEM 2. PROPERTIES",
        "The Company owns its headquarters.",
        "1993\t1992",
        "Sales\t12,345\t11,234",
        "7",
        "More text.",
    ]
    assert [block.is_row for block in found] == [False, False, True, True, False, False]
    assert [block.page for block in found] == [0, 0, 0, 0, 1, 1]


def test_a_typed_line_of_dashes_underlines_the_heading_above_it() -> None:
    heading, body = text_blocks("Item 1.  Business\n-----------------\n\nWe sell widgets.\n")

    assert heading.underline == 1.0
    assert body.text == "We sell widgets."


def test_a_justified_line_is_no_row_of_columns() -> None:
    (block,) = text_blocks("The  Company's  business  is  the  sale  of   widgets  to   wholesalers  in   Canada.\n")

    assert not block.is_row


@pytest.mark.parametrize("tag", ["div", "font", "b", "span", "blockquote"])
def test_a_hundred_thousand_open_tags_lose_no_text(tag: str) -> None:
    assert said(f"<{tag}>" * 100_000 + "<p>Item 1. Business</p>")[-1].endswith("Item 1. Business")


def test_entities_are_not_expanded_and_files_are_not_read() -> None:
    bomb = (
        '<!DOCTYPE html [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;"><!ENTITY x SYSTEM "file:///etc/passwd">]>'
    )

    filing = parsed(Paper(bomb.encode() + html("<p>&b;&b;&b;</p><p>&x;</p>").data))

    everything = " ".join(block.text for block in filing.blocks)
    assert "aaaaaaaaaa" not in everything
    assert "root:" not in everything


def test_megabytes_in_one_attribute_cost_neither_time_nor_text() -> None:
    begin = time.perf_counter()

    filing = parsed(html(f'<p style="{"a:b;" * 1_000_000}" title="{"x" * 4_000_000}">Item 1. Business</p>'))

    assert any(block.text == "Item 1. Business" for block in filing.blocks)
    assert time.perf_counter() - begin < 5


def test_scripts_and_styles_are_dropped_and_the_text_beside_them_is_not() -> None:
    filing = parsed(html("<script>var bad = 1;</script><p onclick='go()'>Kept</p><style>p {}</style>"))

    everything = " ".join(block.text for block in filing.blocks)
    assert "Kept" in everything
    assert "bad" not in everything


def test_an_open_script_does_not_swallow_the_document() -> None:
    assert any(block.text == "Item 1. Business" for block in parsed(html("<script><p>Item 1. Business</p>")).blocks)


def test_nuls_are_dropped_and_noted() -> None:
    filing = parsed(Paper(html("<p>Wid\x00gets</p>").data))

    assert any(block.text == "Widgets" for block in filing.blocks)
    assert "NUL characters were dropped" in filing.raw.notes


def test_a_document_that_names_no_form_is_refused() -> None:
    with pytest.raises(InputRefused, match="10-K"):
        parsed(Paper(b"<html><body><p>Our press release of today.</p></body></html>"))


def test_the_parsed_filing_no_longer_carries_its_markup() -> None:
    assert parsed(text("Item 1. Business\n")).raw.body == ""


def test_a_heading_in_capitals_directly_below_a_line_of_text_is_a_block_of_its_own() -> None:
    found = text_blocks("Notes to Consolidated Financial Statements\nITEM 9.  CHANGES IN ACCOUNTANTS\n\nNone.\n")

    assert [block.text for block in found][1:] == ["ITEM 9. CHANGES IN ACCOUNTANTS", "None."]
