"""What a document says is read whole, whatever its kind, its charset and its faults; nothing else is opened for it."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import re
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.errors import InputRefused
from onward.model.validation import Status
from onward.pipelines.documents.checks import lost_words, nothing_lost
from onward.pipelines.documents.chunk import chunk_document
from onward.pipelines.documents.parse import parse_document, text_of
from onward.pipelines.documents.result import Result

EXAMPLES = Path(__file__).parents[3] / "examples" / "docs"
KINDS = ("a.md", "a.html", "a.rst", "a.txt", "a")
_SPEED_MIN = 200_000
"""Bytes a second even for the worst input, on a machine that does other things too."""


def said(name: str, data: bytes) -> str:
    return "\n".join(block.text for block in parse_document(name, data).blocks)


def test_markdown_is_headings_paragraphs_lists_code_quotes_and_tables_as_written() -> None:
    text = (
        "# Guide #\n\nFirst *words*\nof it.\n\nUse\n---\n\n- one\n- two\n\n```sh\nrun it\n\n# no heading\n```\n\n"
        "> said\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n[link]: https://example.org\n"
    )

    parsed = parse_document("guide.md", text.encode())

    assert parsed.title == "Guide"
    assert [tuple(block) for block in parsed.blocks] == [
        ("heading", 1, "Guide"),
        ("paragraph", 0, "First *words*\nof it."),
        ("heading", 2, "Use"),
        ("list", 0, "- one\n- two"),
        ("code", 0, "```sh\nrun it\n\n# no heading\n```"),
        ("quote", 0, "> said"),
        ("table", 0, "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("paragraph", 0, "[link]: https://example.org"),
    ]


def test_restructuredtext_is_sections_paragraphs_directives_and_literal_blocks() -> None:
    text = (
        "=====\nGuide\n=====\n\nFirst words\nof it::\n\n    run it\n\n    again\n\nUse\n---\n\n"
        ".. note::\n\n   Mind this.\n\n- one\n- two\n"
    )

    parsed = parse_document("guide.rst", text.encode())

    assert parsed.title == "Guide"
    assert [(block.kind, block.level) for block in parsed.blocks] == [
        ("heading", 1), ("code", 0), ("heading", 2), ("code", 0), ("list", 0),
    ]
    assert parsed.blocks[1].text == "First words\nof it::\n\n    run it\n\n    again"
    assert parsed.blocks[3].text == ".. note::\n\n   Mind this."


def test_html_is_what_a_reader_sees() -> None:
    text = (
        "<html><head><title>The  guide</title><style>p {}</style></head><body><!-- not --><h1>Guide</h1>"
        "<p>First <b>wor</b>ds &amp; more<script>no()</script><ul><li>one<li>two</ul>"
        "<pre>  run\n    it</pre><table><tr><th>a<th>b<tr><td>1<td>2</table>"
    )

    parsed = parse_document("guide.html", text.encode())

    assert parsed.title == "The guide"
    assert [tuple(block) for block in parsed.blocks] == [
        ("heading", 1, "Guide"),
        ("paragraph", 0, "First words & more"),
        ("list", 0, "one\ntwo"),
        ("code", 0, "  run\n    it"),
        ("table", 0, "a | b\n1 | 2"),
    ]


def test_plain_text_is_paragraphs_and_an_indented_one_is_code() -> None:
    parsed = parse_document("notes.txt", b"Notes\n\nfirst\nlines\n \n    code\n      more\n")

    assert parsed.title == "Notes"
    assert [(block.kind, block.text) for block in parsed.blocks] == [
        ("paragraph", "Notes"), ("paragraph", "first\nlines"), ("code", "    code\n      more"),
    ]


def test_front_matter_stays_and_gives_the_title() -> None:
    parsed = parse_document("a.md", b'---\ntitle: "A page"\ntags: [x]\n---\n# Other\n')

    assert parsed.title == "A page"
    assert parsed.blocks[0] == ("code", 0, '---\ntitle: "A page"\ntags: [x]\n---')
    assert parsed.blocks[1] == ("heading", 1, "Other")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.md", "h\u00e9llo".encode()),
        ("a.md", "h\u00e9llo".encode("utf-8-sig")),
        ("a.rst", "h\u00e9llo".encode("utf-16")),
        ("a.txt", b"h\xe9llo"),
        ("a.html", b"<meta charset=utf-8><p>h\xe9llo"),
        ("a.html", '<?xml version="1.0" encoding="cp437"?><html><p>h\u00e9llo</p></html>'.encode("cp437")),
        ("a.html", b"<meta charset=no-such><p>h\xe9llo"),
        ("a.html", b"<meta charset=hex><p>h\xe9llo"),
        ("a.html", "<meta charset=latin-1><p>h\u00e9llo".encode()),
        ("a.html", b"<p>h&eacute;llo"),
        ("a.md", "h\u00e9\0llo".encode()),
    ],
)
def test_any_charset_is_read(name: str, data: bytes) -> None:
    assert said(name, data) == "h\u00e9llo"


def test_what_is_no_text_is_refused_by_name() -> None:
    with pytest.raises(InputRefused, match=r"'pictures/a\.txt' is no text"):
        parse_document("pictures/a.txt", bytes(range(256)) * 20)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("data", [b"", b"\n \t\n", b"\xef\xbb\xbf", b"\0"])
def test_an_empty_document_has_no_blocks(name: str, data: bytes) -> None:
    assert parse_document(name, data) == ("", ())


def test_no_other_file_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the hidden words")
    entity = f'<!DOCTYPE a [<!ENTITY x SYSTEM "file://{secret}">]><p>seen &x; after</p>'
    directives = f".. include:: {secret}\n\n.. raw:: html\n   :file: {secret}\n\n.. csv-table:: a\n   :file: {secret}\n"

    for name, text in (("a.html", entity), ("a.rst", directives), ("a.md", f"![]({secret})")):
        assert "hidden" not in said(name, text.encode())


def test_entities_do_not_multiply() -> None:
    entities = "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))

    assert len(said("a.html", f'<!DOCTYPE a [<!ENTITY a "ha">{entities}]><p>&j;</p><p>after</p>'.encode())) < 100


BAD = {
    "deep.html": b"<div>" * 100_000 + b"inside</div><p>after",
    "inline.html": b"<b>" * 200_000 + b"inside<script>unseen</script><p>after",
    "lists.html": b"<ul><li>x" * 30_000 + b"inside after",
    "unclosed.html": b"<p>inside<table><tr><td>x<pre>y<a href='<p>after",
    "crossed.html": b"<b><p>inside</b><i></p>after</i></div></p>" * 1000,
    "one-text.html": b"<p>" + b"x" * 12_000_000 + b" inside after",
    "ampersands.html": b"&" * 500_000 + b" inside after",
    "picture.html": b"<p>inside<svg><p>after",
    "brackets.md": b"[" * 50_000 + b" inside after",
    "quotes.md": b">" * 50_000 + b" inside after",
    "nested.md": b"".join(b" " * n * 2 + b"- a\n" for n in range(1000)) + b"inside after",
    "fences.md": b"```\n" * 30_001 + b"inside after",
    "dashes.md": b"---\n" * 30_001 + b"inside after",
    "definitions.md": b"".join(b"[a%d]: <b\n" % n for n in range(20_000)) + b"inside after",
    "comments.md": b"<!-- " * 50_000 + b"inside after",
    "columns.md": b"|a" * 2000 + b"\n" + b"|-" * 2000 + b"\n" + b"|b" * 2000 + b"\ninside after",
    "tabs.rst": b"\t" * 300_000 + b"inside after",
    "colons.rst": b"a::\n\n" * 20_000 + b"inside after",
    "adorned.rst": b"=\n" * 50_000 + b"==\n" * 50_000 + b"inside after",
    "mixed.rst": b"a\n" * 50_000 + b"  b\n" * 50_000 + b"inside after",
    "directives.rst": b".. x::\n" * 50_000 + b"   inside after",
    "line.txt": b"word " * 300_000 + b"inside after",
    "blank.txt": b"\n \n" * 300_000 + b" " * 1_000_000 + b"inside after" + b"\n\t" * 300_000,
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_read_to_its_end_and_in_time(name: str) -> None:
    began = time.process_time()

    chunks = chunk_document(parse_document(name, BAD[name]))

    text = "\n".join(chunk.text for chunk in chunks)
    assert "inside" in text
    assert "after" in text or name == "unclosed.html"
    assert "unseen" not in text
    assert max(len(chunk.text) for chunk in chunks) < 30_000
    assert time.process_time() - began < 2 + len(BAD[name]) / _SPEED_MIN


_MARKS = st.text("ab<>/!&;#=-*|`. \n\t:+&[]()'\"", max_size=300).map(str.encode)
_LINES = st.text(st.sampled_from("abcd01#=-_~*>`|+.:[]! \n\t"), max_size=400)


@given(name=st.sampled_from(KINDS), data=st.binary(max_size=300) | _MARKS)
def test_any_bytes_are_read_or_refused_and_say_the_same_each_time(name: str, data: bytes) -> None:
    try:
        parsed = parse_document(name, data)
    except InputRefused:
        return

    assert parsed == parse_document(name, data)
    for block in parsed.blocks:
        assert block.text.strip()
        assert "\0" not in block.text
        block.text.encode()  # no half of a character, which no store would take
        assert (block.kind == "heading") == (block.level > 0)


@given(name=st.sampled_from(("a.md", "a.rst", "a.txt")), text=_LINES)
def test_what_is_written_is_in_the_blocks_in_its_order(name: str, text: str) -> None:
    words = re.findall("[a-d]+", text)

    assert re.findall("[a-d]+", said(name, text.encode())) == words


def test_the_examples_lose_no_word() -> None:
    files = [path for path in EXAMPLES.rglob("*") if path.is_file()]

    assert len(files) >= 12
    assert {path.suffix for path in files} == {".md", ".html", ".rst", ".txt"}
    for path in files:
        data = path.read_bytes()
        lost, count = lost_words(path.name, data, chunk_document(parse_document(path.name, data)))
        assert lost == []
        assert count > 50


def test_real_pages_lose_no_word() -> None:
    for path in sorted((EXAMPLES.parent / "filings").glob("*.htm*.gz")):
        data = gzip.decompress(path.read_bytes())
        lost, count = lost_words("a.html", data, chunk_document(parse_document("a.html", data)))
        assert len(lost) <= count * 0.02, (path.name, lost[:20])


def test_the_check_names_what_was_lost() -> None:
    data = b"# Guide\n\nSome words that matter.\n"
    chunks = chunk_document(parse_document("guide.md", data))
    whole = Result(document="guide.md", content=data, chunks=chunks, vectors={}, embedder="none", source={})
    torn = Result(
        document="guide.md", content=data, chunks=[chunks[0]._replace(text="Some words")], vectors={}, embedder="none",
        source={},
    )

    assert nothing_lost(whole).status == Status.PASS
    assert nothing_lost(torn).status == Status.FAIL
    assert nothing_lost(torn).detail == (
        "2 of 5 different words of 'guide.md' are in none of its chunks: 'matter', 'that'"
    )


@pytest.mark.long
@pytest.mark.parametrize("history", ["flask-docs", "rust-book"])
def test_all_real_contents_lose_no_word(history: str) -> None:
    folder = os.environ.get("DOCUMENTS_DATA")
    if not folder:
        pytest.skip("DOCUMENTS_DATA names no folder with the histories")

    for name, data in _contents(Path(folder), history):
        chunks = chunk_document(parse_document(name, data))
        assert lost_words(name, data, chunks)[0] == [], name
        assert text_of(name, data)


def _contents(folder: Path, history: str) -> Iterator[tuple[str, bytes]]:
    names: dict[str, str] = {}
    with lzma.open(folder / f"{history}.versions.jsonl.xz") as lines:
        for event in map(json.loads, lines):
            if event["op"] == "put" and event["bytes"]:
                names.setdefault(event["sha256"], event["path"])
    with lzma.open(folder / f"{history}.contents.jsonl.xz") as lines:
        for one in map(json.loads, lines):
            if one["sha256"] in names:
                data = one["content"].encode() if "content" in one else b64decode(one["content_base64"])
                yield names[one["sha256"]], data
