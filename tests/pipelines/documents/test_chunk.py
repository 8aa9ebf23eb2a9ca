"""Chunks hold all that a document says, bounded, under its headings; an edit changes those it touched and no others."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from onward.pipelines.documents.chunk import chunk_document, chunk_id
from onward.pipelines.documents.parse import Block, ParsedDocument, parse_document

WORDS_MAX, WORDS_MIN = 40, 10


def words(count: int, word: str = "word") -> str:
    return " ".join(f"{word}{n}" for n in range(count))


def chunked(blocks: list[Block]) -> list[tuple[str, str]]:
    found = chunk_document(ParsedDocument("", tuple(blocks)), words_max=WORDS_MAX, words_min=WORDS_MIN)
    return [(chunk.heading, chunk.text) for chunk in found]


def test_a_chunk_stands_under_its_headings_and_reaches_over_none() -> None:
    text = b"before\n\n# A\n\nfirst\n\n## B\n\nsecond\n\n### C\n\n# D\n\nthird\n"

    chunks = chunk_document(parse_document("a.md", text))

    assert [(chunk.heading, chunk.text) for chunk in chunks] == [
        ("", "before"), ("A", "first"), ("A > B", "second"), ("A > B > C", ""), ("D", "third"),
    ]


def test_an_id_tells_heading_and_text_apart() -> None:
    assert chunk_id("a", "bc") != chunk_id("ab", "c")
    assert chunk_id("", "a") != chunk_id("a", "")
    assert re.fullmatch("[0-9a-f]{32}", chunk_id("Guide", "text"))
    assert chunk_id("Guide", "text") == "0f2eae705824dc2b2919973b0fe1939c"  # what stores hold: another is another chunk


def test_small_blocks_share_a_chunk_until_it_has_enough_words() -> None:
    paragraph = Block("paragraph", 0, words(6))
    code = Block("code", 0, "run it")

    assert chunked([paragraph, code, paragraph, paragraph]) == [
        ("", f"{words(6)}\n\nrun it\n\n{words(6)}"), ("", words(6)),
    ]


def test_code_is_kept_whole_where_a_paragraph_is_cut() -> None:
    text = "\n".join(f"line {n}" for n in range(WORDS_MAX))

    assert chunked([Block("code", 0, text)]) == [("", text)]
    assert len(chunked([Block("paragraph", 0, text)])) > 1


def test_long_prose_is_cut_between_sentences() -> None:
    sentences = [f"This is the sentence number {n}." for n in range(40)]

    found = chunked([Block("paragraph", 0, " ".join(sentences))])

    assert len(found) > 3
    assert [one for _, text in found for one in re.split(r"(?<=\.) ", text)] == sentences


def test_code_too_long_is_cut_between_lines_and_keeps_its_indents() -> None:
    lines = [f"{'    ' * (n % 3)}call_{n}(a, b)" for n in range(200)]

    found = chunked([Block("code", 0, "\n".join(lines))])

    assert len(found) > 3
    assert "\n".join(text for _, text in found).split("\n") == lines


_TEXT = st.text(st.sampled_from("abc.!?\u00e9\u4e2d \n\t"), min_size=1).filter(str.strip)
_UNITS = st.sampled_from(["a", "ab ", "ab. ", "ab\n", "\u4e2d", " "])
_LONG = st.builds(lambda unit, times: unit * times + "x", _UNITS, st.integers(1, 4000))
_BLOCK = st.one_of(
    st.builds(Block, st.sampled_from(["paragraph", "code", "list", "table", "quote"]), st.just(0), _TEXT | _LONG),
    st.builds(Block, st.just("heading"), st.integers(1, 4), st.sampled_from(["A", "B", "C d"])),
)


@given(blocks=st.lists(_BLOCK, max_size=12))
def test_nothing_but_blanks_is_lost_and_no_chunk_is_too_long(blocks: list[Block]) -> None:
    found = chunked(blocks)

    text = "".join(block.text for block in blocks if block.kind != "heading")
    assert "".join("".join(text for _, text in found).split()) == "".join(text.split())
    headings = " > ".join(heading for heading, _ in found)
    assert all(block.text in headings for block in blocks if block.kind == "heading")
    for _, text in found:
        assert len(text.split()) <= 3 * WORDS_MAX
        assert len(text) <= (3 * WORDS_MAX + WORDS_MIN) * 41


@given(
    before=st.lists(_BLOCK, max_size=6), after=st.lists(_BLOCK, max_size=6), old=_BLOCK, new=_BLOCK,
    wall=st.sampled_from([Block("heading", 1, "Wall"), Block("paragraph", 0, words(WORDS_MIN, "wall"))]),
)
def test_an_edit_has_no_effect_beyond_a_heading_or_a_block_of_enough_words(
    before: list[Block], after: list[Block], old: Block, new: Block, wall: Block
) -> None:
    """The edited block is walled in on both sides; what lies outside is chunked as if it were not there."""
    top = Block("heading", 1, "Top")  # so that an edited heading is above nothing that comes after the wall
    is_over = wall.kind == "heading" or "heading" in (old.kind, new.kind)

    first, second = (
        chunked([top, *before, wall, one, *([top] if is_over else []), wall, *after]) for one in (old, new)
    )
    outside_before = chunked([top, *before])
    closing = Block("heading", 1, "Wall") if wall.kind == "heading" else top
    outside_after = [text for _, text in chunked([closing, *after])]

    assert first[: len(outside_before) - 1] == second[: len(outside_before) - 1] == outside_before[:-1]
    for found in (first, second):
        tail = [text for _, text in found][len(found) - len(outside_after) :]
        assert tail[1:] == outside_after[1:]


def test_one_line_more_changes_few_of_many_small_blocks() -> None:
    blocks = [Block("paragraph", 0, words(4, f"p{n}w")) for n in range(400)]
    edited = [*blocks[:5], Block("paragraph", 0, "a new line"), *blocks[5:]]

    before, after = set(chunked(blocks)), set(chunked(edited))

    assert len(before) > 100
    assert len(after - before) <= 25


def test_one_line_more_changes_few_chunks_of_long_code() -> None:
    lines = [f"value_{n} = {n} + {n}" for n in range(2000)]
    edited = [*lines[:5], "something = else", *lines[5:]]

    before, after = ({*chunked([Block("code", 0, "\n".join(one))])} for one in (lines, edited))

    assert len(before) > 100
    assert len(after - before) <= 12


def test_equal_text_at_two_places_is_one_chunk() -> None:
    found = chunk_document(parse_document("a.md", b"# A\n\nsame\n\n# A\n\nsame\n"))

    assert [chunk.id for chunk in found] == [chunk_id("A", "same")] * 2
