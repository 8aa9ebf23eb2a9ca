"""Documents of every kind become blocks and chunks: nothing of substance is lost, and nothing is followed anywhere."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onward.errors import InputRefused
from onward.pipelines.documents.chunk import Chunk, chunk_document, chunk_id
from onward.pipelines.documents.parse import ParsedDocument, parse_document

EXAMPLES = Path(__file__).parents[3] / "examples" / "docs"
WORD = re.compile(r"\w+")


def chunks_of(name: str, text: str | bytes, **bounds: int) -> list[Chunk]:
    return chunk_document(parse_document(name, text.encode() if isinstance(text, str) else text), **bounds)


def kinds(parsed: ParsedDocument) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in parsed.blocks]


# -- each kind of document


def test_markdown_has_headings_paragraphs_code_lists_tables_and_quotes() -> None:
    parsed = parse_document("a.md", (
        b"Title\n=====\n\nHello *you*.\n\n```sh\nrm -rf /\n```\n\n- one\n- two\n\n  more\n\n> said\n\n"
        b"| a | b |\n|---|---|\n| 1 | 2 |\n\n"
        b"### Deep ###\n\n[ref]: https://example.com 'x'\n"
    ))

    assert parsed.title == "Title"
    assert kinds(parsed) == [
        ("heading", "Title"), ("paragraph", "Hello *you*."), ("code", "```sh\nrm -rf /\n```"),
        ("list", "- one\n- two\n\n  more"), ("quote", "> said"), ("table", "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("heading", "Deep"), ("paragraph", "[ref]: https://example.com 'x'"),
    ]
    assert [block.level for block in parsed.blocks if block.kind == "heading"] == [1, 3]


def test_front_matter_is_kept_and_names_the_document() -> None:
    parsed = parse_document("a.md", b"---\ntitle: \"The name\"\ntags: [a]\n---\n# Heading\n\ntext\n")

    assert parsed.title == "The name"
    assert parsed.blocks[0] == ("code", 0, '---\ntitle: "The name"\ntags: [a]\n---')


def test_html_is_read_for_what_a_reader_sees() -> None:
    parsed = parse_document("a.html", (
        b"<html><head><title> A \n page </title><style>p{}</style></head><body><h1>Big <em>one</em></h1><div>loose"
        b"<p>para &amp; more<br>line</p></div><script>alert(1)</script><!-- no --><ul><li>a<li>b</ul>"
        b"<table><tr><td>1</td><td>2</td></tr><tr><td>3<td>4</table><pre>  x\n   y</pre>tail</body></html>"
    ))

    assert parsed.title == "A page"
    assert kinds(parsed) == [
        ("heading", "Big one"), ("paragraph", "loose"), ("paragraph", "para & more line"), ("list", "a\nb"),
        ("table", "1 | 2\n3 | 4"), ("code", "  x\n   y"), ("paragraph", "tail"),
    ]


def test_restructured_text_has_sections_by_their_adornment_and_whole_directives() -> None:
    parsed = parse_document("a.rst", (
        b"=====\nTitle\n=====\n\nIntro::\n\n    code\n\n    more code\n\nPart\n----\n\n"
        b".. note::\n   Mind\n\n   this.\n\n- a\n- b\n\n"
        b"Sub\n~~~\n\ntext\nin two lines\n\nOther\n-----\n\n.. include:: /etc/passwd\n"
    ))

    assert parsed.title == "Title"
    assert kinds(parsed) == [
        ("heading", "Title"), ("code", "Intro::\n\n    code\n\n    more code"), ("heading", "Part"),
        ("code", ".. note::\n   Mind\n\n   this."), ("list", "- a\n- b"), ("heading", "Sub"),
        ("paragraph", "text\nin two lines"), ("heading", "Other"), ("code", ".. include:: /etc/passwd"),
    ]
    assert [block.level for block in parsed.blocks if block.kind == "heading"] == [1, 2, 3, 2]


def test_plain_text_is_paragraphs() -> None:
    parsed = parse_document("NOTES", b"Notes\n\none\ntwo\n \n\n    code\n")

    assert parsed.title == "Notes"
    assert kinds(parsed) == [("paragraph", "Notes"), ("paragraph", "one\ntwo"), ("code", "    code")]


# -- bad input


@pytest.mark.parametrize(("data", "said"), [
    ("\ufeffgrün".encode(), "grün"), ("grün".encode("utf-16"), "grün"), ("grün".encode("cp1252"), "grün"),
    (b"<meta charset='iso-8859-5'>" + "привет".encode("iso-8859-5"), "привет"),
    (b"<?xml version='1.0' encoding='koi8-r'?><p>" + "привет".encode("koi8-r"), "привет"),
    (b"<meta charset='no-such'>" + "grün".encode("cp1252"), "grün"), (b"a\0b", "ab"), (b"\x81\x8d\xff", "ÿ"),
])  # fmt: skip
def test_any_encoding_is_read(data: bytes, said: str) -> None:
    found = " ".join(block.text for block in parse_document("a.html", data).blocks)

    assert said in found


@pytest.mark.parametrize("name", ["a.md", "a.html", "a.rst", "a.txt", "a"])
def test_an_empty_document_has_no_chunks(name: str) -> None:
    for data in (b"", b"\n\n \t\n", b"\xef\xbb\xbf", b"\0"):
        assert chunks_of(name, data) == []


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(InputRefused, match="is no text"):
        parse_document("a.md", bytes(range(32)) * 100)


@pytest.mark.parametrize("data", [
    b"<div>" * 100_000 + b"deep" + b"</div>" * 50_000, b"<p title='" + b"x" * 3_000_000 + b"'>text", b"<" * 10_000,
    b"<!DOCTYPE a [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]><p>&b;&b;</p>",
    b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/hostname'>]><p>&x;</p>", b"</p></div></html>",
    b"<p>" + b"a" * 2_000_000, b"<svg><p>x</svg><p>y", b"<title></title><h1></h1>",
])  # fmt: skip
def test_hostile_html_is_survived(data: bytes) -> None:
    parsed = parse_document("a.html", data)

    assert len(parsed.blocks) < 10
    for chunk in chunk_document(parsed):
        assert len(chunk.text) < 100_000


@pytest.mark.parametrize("data", [
    b"`" * 20_000, b"[" * 5_000, b"> " * 3_000 + b"x", b"* " * 3_000 + b"x", b"|" * 5_000 + b"\n" + b"|-" * 2_500,
    b"=\n" * 5_000, b".. " * 3_000, b"x::\n\n" * 2_000, b"- a\n" * 20_000,
])  # fmt: skip
@pytest.mark.parametrize("name", ["a.md", "a.rst"])
def test_hostile_markup_is_survived(name: str, data: bytes) -> None:
    assert chunks_of(name, data)


def test_no_document_opens_another_or_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a parser asked for more than its text")

    page = b"<html><head><link rel=stylesheet href=http://h/x><base href=http://h/></head><iframe src=http://h/></iframe><p>x"
    for name, data in (
        ("a.html", page), ("a.rst", b".. raw:: html\n   :url: http://h/\n\n.. csv-table::\n   :file: /etc/passwd\n"),
        ("a.md", b"![x](http://h/y.png) <http://h/>"),
    ):
        parse_document(name, data)  # whatever it imports is imported now
        with monkeypatch.context() as context:
            context.setattr("builtins.open", refuse)
            context.setattr(socket, "socket", refuse)
            parse_document(name, data)


# -- chunks


def test_a_chunk_stands_under_its_headings_and_never_reaches_over_one() -> None:
    found = chunks_of("a.md", "# A\n\none\n\n## B\n\ntwo\n\n# C\n\n## D\n\nthree\n\n# E\n")

    assert [(chunk.heading, chunk.text) for chunk in found] == [
        ("A", "one"), ("A > B", "two"), ("C > D", "three"), ("E", ""),
    ]
    assert all(chunk.id == chunk_id(chunk.heading, chunk.text) for chunk in found)


def test_small_blocks_share_a_chunk_and_large_ones_are_cut() -> None:
    small = chunks_of("a.txt", "\n\n".join(f"word {n} " * 4 for n in range(10)), words_max=50, words_min=20)
    assert len(small) < 10
    assert sum(len(chunk.text.split()) for chunk in small) == 80

    large = chunks_of("a.txt", " ".join(f"A sentence of {n} words." for n in range(40)), words_max=50, words_min=20)
    assert len(large) >= 4
    assert sum(len(chunk.text.split()) for chunk in large) == 200
    assert all(len(chunk.text.split()) <= 50 and chunk.text.endswith(".") for chunk in large)


def test_code_is_kept_whole_where_that_is_bearable() -> None:
    code = "\n".join(f"    line {n} of code" for n in range(30))
    (one,) = chunks_of("a.md", f"{code}\n", words_max=50)
    assert one.text == code

    long = "\n".join(f"    line {n} of code" for n in range(300))
    many = chunks_of("a.md", long, words_max=50)
    assert "\n".join(chunk.text for chunk in many).split() == long.split()


words = st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "x1"]), min_size=1, max_size=30).map(" ".join)
blocks = st.one_of(words, words.map(lambda said: f"## {said[:20]}"), words.map(lambda said: f"- {said}"))
pages = st.lists(blocks, max_size=12)


@given(pages)
@settings(deadline=None, max_examples=60)
def test_law_every_word_of_a_document_is_in_its_chunks_in_order(page: list[str]) -> None:
    for name in ("a.md", "a.txt"):
        text = "\n\n".join(page)
        said = " ".join(f"{chunk.heading} {chunk.text}" for chunk in chunks_of(name, text, words_max=25, words_min=5))
        assert set(WORD.findall(text)) <= set(WORD.findall(said))


@given(pages, st.data())
@settings(deadline=None, max_examples=60)
def test_law_an_edit_of_a_paragraph_makes_few_other_chunks(page: list[str], data: st.DataObject) -> None:
    before = {chunk.id for chunk in chunks_of("a.md", "\n\n".join(["# Top", *page, "the end"]))}
    at = data.draw(st.integers(0, len(page)))
    edited = ["# Top", *page[:at], "something new", *page[at:], "the end"]
    after = {chunk.id for chunk in chunks_of("a.md", "\n\n".join(edited))}

    # The block itself, and as many as share its section until the cuts fall as before: each has 40 words or more.
    section = " ".join(page).split("## ")
    assert len(after - before) <= 2 + max((len(part.split()) for part in section), default=0) // 40


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.*")), ids=lambda path: path.name)
def test_real_pages_lose_no_word(path: Path) -> None:
    data = path.read_bytes()
    chunks = chunk_document(parse_document(path.name, data))
    text = re.sub(r"<(style|title)>.*?</\1>|<[^>]*>", " ", data.decode()) if path.suffix == ".html" else data.decode()

    said = " ".join(f"{chunk.heading} {chunk.text}" for chunk in chunks)

    assert chunks
    assert set(WORD.findall(text)) <= set(WORD.findall(said))
    assert max(len(chunk.text.split()) for chunk in chunks) <= 600
