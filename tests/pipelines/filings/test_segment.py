"""Segments: the law that nothing is lost, sizes, headings, and the value that is written."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.errors import SettingInvalid
from onward.model.validation import Check, Status
from onward.pipelines.filings.accuracy import StoredFiling
from onward.pipelines.filings.clean import clean
from onward.pipelines.filings.cutting import cut
from onward.pipelines.filings.document import (
    Block,
    CleanedBlock,
    CleanedFiling,
    Cover,
    ExtractedItem,
    ItemStatus,
    Source,
)
from onward.pipelines.filings.extract import extract
from onward.pipelines.filings.parse import parse
from onward.pipelines.filings.sanitize import sanitize
from onward.pipelines.filings.segment import segment

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "filings").glob("*.gz"))
SOURCE = Source(path="a.txt", sha256="sha256:" + "0" * 64, size_bytes=1)


@cache
def cleaned_example(path: Path) -> CleanedFiling:
    return clean(extract(parse(sanitize(StoredFiling(path.name, path.read_bytes())))))


def filing(*items: tuple[str, list[Block]], before: str = "", after: str = "", **cover: object) -> CleanedFiling:
    """Join blocks to a cleaned filing, as `clean` does: items in the order given, text of no item before and after."""
    parts, blocks, found = [], [], []
    at = 0

    def put(block: Block) -> None:
        nonlocal at
        if parts:
            parts.append("\n\n")
            at += 2
        parts.append(block.text)
        blocks.append(CleanedBlock(start=at, end=at + len(block.text), block=block))
        at += len(block.text)

    if before:
        put(Block(text=before))
    for name, some in items:
        start = at + (2 if parts else 0)
        for block in some:
            put(block)
        found.append(
            ExtractedItem(
                item=name,
                part="I",
                status=ItemStatus.EXTRACTED,
                title=f"Title {name}",
                start=start,
                end=at,
                method="text",
            )
        )
    if after:
        put(Block(text=after))
    facts = Cover(form="10-K", **cover)  # type: ignore[arg-type]
    return CleanedFiling(source=SOURCE, cover=facts, text="".join(parts), blocks=tuple(blocks), items=tuple(found))


def heading(text: str) -> Block:
    return Block(text=text, bold=1.0, lead=len(text))


def words(count: int, word: str = "word") -> Block:
    return Block(text=" ".join([word] * count) + ".")


def assert_nothing_is_lost(cleaned: CleanedFiling, size: int) -> None:
    """Segments and gaps, each in its place, with white space between them, are the whole text."""
    segments, gaps = cut(cleaned, size)

    places = sorted([(s.start, s.end) for s in segments] + [(g.start, g.end) for g in gaps])
    at = 0
    for start, end in places:
        assert start >= at
        assert not cleaned.text[at:start].strip()
        assert cleaned.text[start:end].strip() == cleaned.text[start:end] != ""
        at = end
    assert not cleaned.text[at:].strip()
    for piece in segments:
        assert piece.item.start is not None
        assert piece.item.end is not None
        assert piece.item.start <= piece.start < piece.end <= piece.item.end
        assert len(cleaned.text[piece.start : piece.end].split()) <= 1.5 * size


# --- the law ----------------------------------------------------------------------------------------------------------

some_text = st.text(st.sampled_from("abc AB.,\u00e9\u2014 \n\t\u00a0"), min_size=1, max_size=300).filter(str.strip)
some_block = st.builds(
    Block,
    text=some_text,
    table=st.sampled_from([-1, -1, 0, 1]),
    bold=st.sampled_from([0.0, 0.0, 1.0]),
    lead=st.integers(0, 40),
    level=st.sampled_from([0, 0, 0, 2]),
)
some_item = st.tuples(st.sampled_from(["1", "1A", "7"]), st.lists(some_block, min_size=1, max_size=12))


@given(
    items=st.lists(some_item, max_size=4, unique_by=lambda item: item[0]),
    before=st.just("") | some_text,
    after=st.just("") | some_text,
    size=st.integers(20, 60),
)
def test_segments_and_gaps_are_the_whole_text(items, before, after, size):
    assert_nothing_is_lost(filing(*items, before=before, after=after), size)


@pytest.mark.parametrize("size", [20, 300, 2000])
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name[:24])
def test_segments_and_gaps_of_a_real_filing_are_its_whole_text(path, size):
    assert_nothing_is_lost(cleaned_example(path), size)


def test_text_that_no_block_owns_is_kept_all_the_same():
    cleaned = filing(("1", [words(5)]))
    torn = CleanedFiling(source=SOURCE, cover=cleaned.cover, text=cleaned.text, blocks=(), items=cleaned.items)

    assert_nothing_is_lost(torn, 20)


def test_items_of_one_combined_heading_are_cut_once():
    one = filing(("1", [heading("Items 1 and 2. Business and Properties"), words(40)]))
    two = ExtractedItem(item="2", part="I", status=ItemStatus.EXTRACTED, start=one.items[0].start, end=one.items[0].end)
    both = CleanedFiling(source=SOURCE, cover=one.cover, text=one.text, blocks=one.blocks, items=(*one.items, two))

    segments, _ = cut(both, 100)

    assert [piece.item.item for piece in segments] == ["1"]
    assert_nothing_is_lost(both, 100)


# --- sizes and headings -----------------------------------------------------------------------------------------------


def shapes(cleaned: CleanedFiling, size: int) -> list[tuple[str, int]]:
    return [(s.heading, len(cleaned.text[s.start : s.end].split())) for s in cut(cleaned, size)[0]]


def test_a_section_is_a_segment_under_its_heading():
    cleaned = filing(("1", [heading("Item 1. Business"), heading("General"), words(90), heading("Sales"), words(80)]))

    assert shapes(cleaned, 100) == [("General", 94), ("Sales", 81)]


def test_short_sections_go_together_and_long_ones_apart_in_equal_parts():
    blocks = [heading("A"), words(10), heading("B"), words(12), heading("C"), *[words(40) for _ in range(10)]]

    assert shapes(filing(("1", blocks)), 100) == [("A", 24), ("C", 81), ("C", 120), ("C", 80), ("C", 120)]


def test_risk_factors_stay_one_by_one_however_short_they_are():
    blocks = [
        heading("Item 1A. Risk Factors"),
        words(8),
        heading("Risks of our trade"),
        heading("It may rain."),
        words(9),
        heading("It may snow."),
        words(7),
    ]

    assert shapes(filing(("1A", blocks)), 300) == [
        ("Item 1A. Risk Factors", 12),
        ("It may rain.", 16),
        ("It may snow.", 10),
    ]


def test_a_run_in_heading_parts_risk_factors_too():
    blocks = [
        Block(text=f"{risk} may come. {'We fear it. ' * 9}", lead=len(f"{risk} may come.")) for risk in ("Rain", "Snow")
    ]

    assert [name for name, _ in shapes(filing(("1A", [heading("Item 1A."), *blocks])), 300)][-1] == "Snow may come."


def test_a_long_risk_factor_keeps_its_heading_in_every_part():
    blocks = [heading("It may rain for years."), *[words(60) for _ in range(5)]]

    assert {name for name, _ in shapes(filing(("1A", blocks)), 100)} == {"It may rain for years."}


def test_a_heading_is_never_left_at_the_end_of_a_segment():
    blocks = [words(95), heading("Next"), words(95), heading("Last"), words(95)]
    cleaned = filing(("7", blocks))

    for piece in cut(cleaned, 100)[0]:
        assert not cleaned.text[piece.start : piece.end].endswith(("Next", "Last"))


def test_a_paragraph_without_end_is_cut_at_sentences():
    sentence = "The cat sat on the mat in the old house. "

    cleaned = filing(("1", [Block(text=(sentence * 60).strip())]))

    texts = [cleaned.text[piece.start : piece.end] for piece in cut(cleaned, 100)[0]]
    assert len(texts) == 6
    assert all(text.endswith("house.") for text in texts)


def test_words_without_any_sentence_are_cut_between_words():
    cleaned = filing(("1", [Block(text="word " * 1000 + "end")]))

    assert {count for _, count in shapes(cleaned, 100)} <= set(range(50, 151))


def test_megabytes_in_one_paragraph_are_cut_in_no_time():
    cleaned = filing(("1", [Block(text="word " * 1_000_000 + "end")]))

    assert len(cut(cleaned, 100)[0]) > 5_000


def test_rows_of_a_table_stay_together_while_they_fit():
    rows = [Block(text="Sales\t1\t2\t3", table=0, cells=("Sales", "1", "2", "3")) for _ in range(20)]
    cleaned = filing(("8", [words(60), *rows]))

    counts = [count for _, count in shapes(cleaned, 100)]

    assert counts == [140]


def test_where_everything_is_bold_bold_is_no_heading():
    blocks = [Block(text="All of this is bold and says nothing.", bold=1.0) for _ in range(30)]

    assert len(shapes(filing(("1", blocks)), 100)) <= 4


def test_in_text_without_styles_a_short_line_above_a_paragraph_is_a_heading():
    blocks = [
        Block(text="Item 1. Business"),
        Block(text="Principal products"),
        words(90),
        Block(text="Markets"),
        words(80),
    ]

    assert [name for name, _ in shapes(filing(("1", blocks)), 100)] == ["Principal products", "Markets"]


# --- the value --------------------------------------------------------------------------------------------------------


def test_a_segment_says_where_it_stands():
    result = segment(filing(("1A", [heading("Rain"), words(3), heading("Snow"), words(4)])))

    assert result["segments"][1] == {
        "id": "I-1A-0001",
        "item": "1A",
        "index": 1,
        "heading": "Snow",
        "text": "Snow\n\nword word word word.",
        "words": 5,
    }


def test_offsets_index_the_document_text_which_is_given_on_request():
    cleaned = filing(("1", [heading("Item 1."), words(5)]), before="COVER", after="SIGNATURES")

    result = segment(cleaned, {"document_text": True})

    item = result["items"][0]
    assert result["document"][item["start"] : item["end"]] == item["text"] == "Item 1.\n\nword word word word word."
    assert "document" not in segment(cleaned)


def test_what_lies_outside_of_items_is_recorded():
    cleaned = filing(("1", [words(5)]), before="COVER", after="SIGNATURES")

    checks = {check["name"]: check for check in segment(cleaned)["validation"]["checks"]}

    assert "0-5, 34-44" in checks["text-kept"]["detail"]
    assert cleaned.text[34:44] == "SIGNATURES"


def test_an_absent_item_has_no_place_and_no_text():
    absent = ExtractedItem(item="1B", part="I", status=ItemStatus.ABSENT)
    cleaned = CleanedFiling(source=SOURCE, cover=Cover(form="10-K"), text="", blocks=(), items=(absent,))

    item = segment(cleaned)["items"][0]

    assert (item["text"], item["start"], item["end"], item["status"]) == ("", None, None, "absent")


def test_the_whole_is_as_bad_as_the_worst_check():
    cleaned = filing(("1", [words(5)]), doubts=("the submission says form 10-K, and the document is a form 10-Q",))
    failed = CleanedFiling(
        source=SOURCE, cover=Cover(), text="", blocks=(), items=(), checks=(Check("items-found", Status.FAIL, "none"),)
    )

    assert segment(cleaned)["validation"]["status"] == "WARN"
    assert segment(failed)["validation"]["status"] == "FAIL"


@pytest.mark.parametrize("size", [0, 19, -5, 1.5, "300", True, None, 10**9])
def test_an_impossible_size_is_refused(size):
    with pytest.raises(SettingInvalid, match="segment_words"):
        segment(filing(("1", [words(5)])), {"segment_words": size})


def test_a_document_text_that_is_no_truth_value_is_refused():
    with pytest.raises(SettingInvalid, match="document_text"):
        segment(filing(("1", [words(5)])), {"document_text": "yes"})


def test_ids_are_unique_in_a_filing_that_has_an_item_one_in_two_parts():
    cleaned = cleaned_example(next(path for path in EXAMPLES if path.name.startswith("WMT_10-Q")))

    ids = [piece["id"] for piece in segment(cleaned)["segments"]]

    assert len(ids) == len(set(ids))
    assert {"I-1-0000", "II-1-0000"} <= set(ids)
