"""Opening a filing's file: compression, charset, the submission's wrapping, and what is refused."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onward.errors import InputRefused, ItemError, SettingInvalid
from onward.pipelines.filings import compression
from onward.pipelines.filings.accuracy import StoredFiling, filing_of
from onward.pipelines.filings.charset import decode
from onward.pipelines.filings.compression import decompress
from onward.pipelines.filings.document import RawFiling
from onward.pipelines.filings.sanitize import sanitize
from onward.pipelines.filings.submission import form_name, unpack

EXAMPLES = Path(__file__).parents[3] / "examples" / "filings"

UNDEFINED = (0x81, 0x8D, 0x8F, 0x90, 0x9D)  # bytes that Windows-1252 gives no character

HEADER = b"""<SEC-DOCUMENT>0000320193-96-000023.txt : 19961220
<SEC-HEADER>0000320193-96-000023.hdr.sgml : 19961220
ACCESSION NUMBER:\t\t0000320193-96-000023
CONFORMED SUBMISSION TYPE:\t10-K
PUBLIC DOCUMENT COUNT:\t\t2
CONFORMED PERIOD OF REPORT:\t19960927
FILED AS OF DATE:\t\t19961219

FILER:

\tCOMPANY DATA:\t
\t\tCOMPANY CONFORMED NAME:\t\t\tAPPLE COMPUTER INC
\t\tCENTRAL INDEX KEY:\t\t\t0000320193
\t\tSTANDARD INDUSTRIAL CLASSIFICATION:\tELECTRONIC COMPUTERS [3571]
\t\tFISCAL YEAR END:\t\t\t0930
</SEC-HEADER>
"""


def document(type_: str, text: bytes, name: str = "a.txt") -> bytes:
    head = f"<DOCUMENT>\n<TYPE>{type_}\n<SEQUENCE>1\n<FILENAME>{name}\n<DESCRIPTION>WORDS\n<TEXT>\n".encode()
    return head + text + b"\n</TEXT>\n</DOCUMENT>\n"


def opened(data: bytes, name: str = "filing.txt") -> RawFiling:
    return unpack(StoredFiling(name, data))


# --- compression ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "compress", [gzip.compress, lzma.compress, bz2.compress, bytes], ids=["gz", "xz", "bz2", "bare"]
)
@given(data=st.binary(min_size=1, max_size=400).map(lambda data: b"FORM 10-K " + data))
def test_what_was_compressed_comes_out_as_it_was(compress, data):
    assert data == decompress(compress(data))


def test_the_compression_is_recognised_by_its_bytes_and_not_by_the_name():
    assert "Ford" in opened(gzip.compress(b"FORM 10-K of Ford"), "filing.html").body


def test_a_gzip_file_of_several_members_is_read_to_its_end():
    assert (
        decompress(gzip.compress(b"FORM 10-K, ") + gzip.compress(b"part two") + b"\x00" * 20) == b"FORM 10-K, part two"
    )


@pytest.mark.parametrize(
    "name", ["LGE_8-K_0000_0001104659-03-004925.html.gz", "AAMES_8-K_1998-12-15_0001011438-98-000429.txt.gz"]
)
def test_a_gzip_file_cut_short_anywhere_is_refused(name):
    data = (EXAMPLES / name).read_bytes()

    for end in range(2, len(data), 97):
        with pytest.raises(InputRefused, match=r"ends in the middle|damaged|is gzip of nothing"):
            decompress(data[:end])


def test_a_damaged_stream_is_refused():
    data = bytearray(gzip.compress(b"FORM 10-K " * 500))
    data[-6] ^= 0xFF  # the checksum

    with pytest.raises(InputRefused, match="damaged"):
        decompress(bytes(data))


def test_a_gzip_bomb_is_refused_before_it_is_unpacked():
    bomb = gzip.compress(bytes(200 << 20), 9)

    with pytest.raises(InputRefused, match="over 250 times its size"):
        decompress(bomb)


def test_a_file_that_unpacks_beyond_the_limit_is_refused_and_the_limit_is_a_setting(monkeypatch):
    monkeypatch.setattr(compression, "UNPACKED_MB_MAX", 1)
    data = gzip.compress(random.Random(1).randbytes(2 << 20))

    with pytest.raises(InputRefused, match="more than 1 MiB"):
        decompress(data)
    assert len(decompress(data, config={"unpacked_mb_max": 3})) == 2 << 20
    with pytest.raises(SettingInvalid, match="unpacked_mb_max"):
        decompress(data, config={"unpacked_mb_max": "many"})


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, bz2.compress], ids=["gz", "xz", "bz2"])
def test_a_long_stream_of_several_pieces_comes_out_whole(compress):
    data = random.Random(2).randbytes(1 << 20) * 3

    assert decompress(compress(data)) == data


def test_a_small_file_never_asks_for_the_limit():
    class Unread(dict):
        def get(self, key, default=None):
            raise AssertionError(key)

    assert decompress(gzip.compress(b"FORM 10-K"), config=Unread()) == b"FORM 10-K"


def test_a_file_compressed_twice_is_refused():
    with pytest.raises(InputRefused, match="compressed twice"):
        decompress(gzip.compress(gzip.compress(b"FORM 10-K")))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (gzip.compress(b"", mtime=0), "gzip of nothing"),
        (gzip.compress(b" \r\n\x00", mtime=0), "gzip of nothing"),
        (b"%PDF-1.4 ...", "a PDF"),
        (b"PK\x03\x04....", "a ZIP"),
        (b"\x89PNG\r\n\x1a\n", "a PNG"),
        (b"\xd0\xcf\x11\xe0" + bytes(50), "old Office"),
        (b"\x28\xb5\x2f\xfd" + bytes(50), "Zstandard"),
        (gzip.compress(b"words", mtime=0) + b"then something else", "something else"),
    ],
)
def test_what_is_no_text_is_refused_by_name(data, what):
    with pytest.raises(InputRefused, match=what):
        decompress(data)


# --- charset ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "text", "charset"),
    [
        (b"plain", "plain", "ascii"),
        ("caf\u00e9 \u201cx\u201d".encode(), "caf\u00e9 \u201cx\u201d", "utf-8"),
        (b"caf\xe9 \x93x\x94 \x97 \x80", "caf\u00e9 \u201cx\u201d \u2014 \u20ac", "windows-1252"),
        (codecs.BOM_UTF8 + "\u2014".encode(), "\u2014", "utf-8"),
        ("\u201cx\u201d".encode("utf-16"), "\u201cx\u201d", "utf-16"),
        (codecs.BOM_UTF16_BE + "\u201cx\u201d".encode("utf-16-be"), "\u201cx\u201d", "utf-16"),
        (
            "<meta charset=shift_jis>\u682a\u5f0f\u4f1a".encode("shift_jis"),
            "<meta charset=shift_jis>\u682a\u5f0f\u4f1a",
            "shift_jis",
        ),
        (b"a\r\nb\rc\n", "a\nb\nc\n", "ascii"),
    ],
)  # fmt: skip
def test_bytes_spell_what_their_filer_meant(data, text, charset):
    decoded = decode(data)

    assert (text, charset) == (decoded.text, decoded.charset)


def test_controls_that_are_windows_characters_are_mapped_also_out_of_utf8():
    assert decode("\x93x\x94".encode()).text == "\u201cx\u201d"


@pytest.mark.parametrize("declared", ["utf-16", "us-ascii", "iso-8859-1", "shift_jis", "no-such-charset"])
def test_utf8_is_read_as_utf8_whatever_the_page_declares(declared):
    page = f'<?xml version="1.0" encoding="{declared}"?><p>na\u00efve \u2014 50\u00a0%</p>'

    assert page == decode(page.encode()).text


@pytest.mark.parametrize("declared", ["utf-8", "UTF-16", "koi8-nonsense", "iso-8859-1"])
def test_windows_text_is_read_as_windows_text_whatever_the_page_declares(declared):
    page = f'<meta http-equiv="Content-Type" content="text/html; charset={declared}"><p>\u201cna\u00efve\u201d</p>'

    assert page == decode(page.encode("cp1252")).text


def test_a_declaration_that_turns_the_bytes_into_controls_is_not_believed():
    assert "\u201cx\u201d" in decode(b"<meta charset=iso-8859-2><p>\x93x\x94</p>").text


def test_old_bytes_pasted_into_a_utf8_page_are_read_one_by_one_and_said_so():
    decoded = decode("\u2014 \u201ca\u201d \u2014".encode() + b" \x93b\x94 ")

    assert decoded.text == "\u2014 \u201ca\u201d \u2014 \u201cb\u201d "
    assert "2 bytes are not UTF-8" in decoded.doubt


HIGH = st.sampled_from([bytes([code]).decode("cp1252") for code in range(0x80, 0x100) if code not in UNDEFINED])
ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1)


@given(st.lists(st.tuples(HIGH, ASCII), min_size=1))
def test_every_windows_text_is_read_back(words):
    """High characters stand alone, since a run of them may happen to be UTF-8, which is then believed."""
    text = "".join(high + low for high, low in words)

    assert decode(text.encode("cp1252")).text == text


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_every_utf8_text_is_read_back(text):
    assert text.removeprefix("\ufeff") == decode(text.encode()).text


@pytest.mark.parametrize("data", [bytes(range(32)) * 40, b"\x00\x01\x02" * 999, "FORM 10-K".encode("utf-16-le") * 40])
def test_binary_is_refused(data):
    with pytest.raises(InputRefused, match=r"binary|NUL"):
        decode(data)


def test_a_few_nuls_are_no_reason_to_refuse():
    assert "FORM\x0010-K" in decode(b"FORM\x0010-K and the rest of a long enough page").text


# --- the wrapping -----------------------------------------------------------------------------------------------------


def test_the_header_of_a_full_submission_is_read():
    raw = opened(HEADER + document("10-K", b"FORM 10-K") + document("EX-27", b"<ARTICLE> 5", "b.txt"))

    assert raw.header["CONFORMED PERIOD OF REPORT"] == "19960927"
    assert raw.header["COMPANY CONFORMED NAME"] == "APPLE COMPUTER INC"
    assert raw.header["STANDARD INDUSTRIAL CLASSIFICATION"] == "ELECTRONIC COMPUTERS [3571]"
    assert [(listed.type, listed.name) for listed in raw.documents] == [("10-K", "a.txt"), ("EX-27", "b.txt")]


def test_the_header_of_the_raw_feed_is_read_too():
    head = (
        b"<SUBMISSION>\n<ACCESSION-NUMBER>0000320193-96-000023\n<TYPE>10-K\n<PERIOD>19960927\n<FILING-DATE>19961219\n"
        b"<FILER>\n<COMPANY-DATA>\n<CONFORMED-NAME>AT&amp;T CORP\n<CIK>0000005907\n<ASSIGNED-SIC>4813\n"
    )

    header = opened(head + document("10-K", b"FORM 10-K")).header

    assert header["CONFORMED SUBMISSION TYPE"] == "10-K"
    assert header["COMPANY CONFORMED NAME"] == "AT&T CORP"
    assert header["STANDARD INDUSTRIAL CLASSIFICATION"] == "4813"


def test_a_second_filer_does_not_take_the_first_ones_place():
    second = b"FILER:\n\tCOMPANY DATA:\n\t\tCOMPANY CONFORMED NAME:\t\tSUBSIDIARY INC\n</SEC-HEADER>\n"

    raw = opened(HEADER.replace(b"</SEC-HEADER>\n", second) + document("10-K", b"FORM 10-K"))

    assert raw.header["COMPANY CONFORMED NAME"] == "APPLE COMPUTER INC"


def test_the_document_of_the_submissions_own_type_is_taken_and_said_which():
    raw = opened(HEADER + document("EX-13", b"ANNUAL REPORT", "e.txt") + document("10-K", b"THE FORM ITSELF", "k.txt"))

    assert raw.body.strip() == "THE FORM ITSELF"
    assert raw.document_name == "k.txt"
    assert "document 2 of 2 is the form: 10-K (k.txt)" in raw.notes


@pytest.mark.parametrize(
    "content",
    [b"<PDF>\nbegin 644 k.pdf\nM)5!$1BTQ\nend\n</PDF>", b"begin 644 k.pdf\nM)5!$1BTQ\nend", b"  \n"],
    ids=["pdf", "uuencoded", "empty"],
)
def test_a_copy_that_holds_no_text_is_passed_over(content):
    raw = opened(HEADER + document("10-K", content) + document("10-K", b"FORM 10-K in words"))

    assert raw.body.strip() == "FORM 10-K in words"


def test_a_submission_whose_form_is_a_pdf_is_refused_with_the_reason():
    with pytest.raises(InputRefused, match="the 10-K is encoded binary"):
        opened(document("10-K", b"<PDF>\nbegin 644 k.pdf\nM)5!$1BTQ\nend\n</PDF>"))


@pytest.mark.parametrize("form", ["S-1", "20-F", "NT 10-K", "DEF 14A", "10-QSB", "10-12G", "8-A12B", "11-K", "6-K"])
def test_a_submission_of_another_form_is_refused_by_its_name(form):
    with pytest.raises(InputRefused, match=f"form {form};"):
        opened(HEADER.replace(b"10-K\n", form.encode() + b"\n") + document(form, b"FORM 10-K"))
    with pytest.raises(InputRefused, match=f"type {form};"):
        opened(document(form, b"FORM 10-K"))


def test_a_bare_document_in_its_wrapping_loses_the_wrapping():
    raw = opened(document("10-K405", b"FORM 10-K"))

    assert (raw.document_type, raw.kind, raw.body.strip()) == ("10-K405", "text", "FORM 10-K")
    assert raw.header == {}


def test_a_document_without_a_type_is_left_for_its_cover_to_decide():
    assert opened(document("", b"FORM 10-K")).body.strip() == "FORM 10-K"


def test_an_xbrl_wrapper_inside_the_text_is_taken_off():
    raw = opened(document("10-K", b"<XBRL>\n<?xml version='1.0'?>\n<html><body>FORM 10-K</body></html>\n</XBRL>"))

    assert raw.kind == "html"
    assert raw.body.startswith("<?xml")
    assert "XBRL" not in raw.body


def test_a_submission_with_a_mark_of_utf16_is_opened_all_the_same():
    raw = opened((HEADER + document("10-K", b"FORM 10-K")).decode().encode("utf-16"))

    assert raw.body.strip() == "FORM 10-K"


def test_a_submission_that_is_never_closed_is_read_to_its_end():
    whole = HEADER + document("10-K", b"FORM 10-K") + document("EX-27", b"x")

    assert "FORM 10-K" in opened(whole[: whole.index(b"</TEXT>")]).body


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<HTML><BODY>FORM 10-K</BODY></HTML>", "html"),
        (b"\n\n<!DOCTYPE html><p>FORM 10-K", "html"),
        (b"<?xml version='1.0'?><html xmlns:ix='x'><body/></html> FORM", "html"),
        (b"<P>FORM <B>10-K</B></P><P>a</P><P>b</P><P>c</P><P>d</P><P>e</P>", "html"),
        (b"FORM 10-K\n<PAGE> 1\n<TABLE>\n<CAPTION>\n<S>  <C>\nSales  1\n</TABLE>\n", "text"),
        (b"a < b and c > d, see page <2>. FORM 10-K", "text"),
    ],
)
def test_the_kind_is_what_the_content_is(body, kind):
    assert kind == opened(body, "filing.txt").kind == opened(body, "filing.html").kind


def test_text_that_stands_in_nothing_but_a_pre_is_text():
    raw = opened(
        b"<HTML><HEAD><TITLE>x</TITLE></HEAD><BODY><PRE>\nFORM 10-K\n  Sales &amp; costs   1\n<PAGE>  2\n"
        + b"more words " * 40
        + b"</PRE></BODY></HTML>"
    )

    assert raw.kind == "text"
    assert "FORM 10-K\n  Sales & costs   1\n<PAGE>  2\n" in raw.body


@pytest.mark.parametrize(
    "data",
    [
        b"\n\n  \n",
        b"12 34 -- 56\n",
        b"<DOCUMENT>\n<TYPE>10-K\n<TEXT>\n</TEXT>\n</DOCUMENT>",
    ],
)
def test_a_file_without_a_word_is_refused(data):
    with pytest.raises(InputRefused):
        sanitize(StoredFiling("a.txt", data))


NAMES = {
    "10-K": ["10-K", "FORM 10-K", "10K", "form 10\u2013k"],
    "10-K/A": ["10-K/A", "10-K / A"],
    "10-K405": ["10-K405", "10-K 405"],
    "10-K405/A": ["10-K405/A"],
    "10-KSB": ["10-KSB", "10KSB"],
    "10-KSB/A": ["10-KSB/A", "10KSB/A"],
    "10-KSB40": ["10KSB40"],
    "10-KT": ["10-KT", "10KT"],
    "10-KT/A": ["10-KT/A"],
    "10-KT405": ["10KT405"],
    "10-Q": ["10-Q", "10\u2013Q"],
    "10-Q/A": ["10-Q/A"],
    "8-K": ["8-K", "form 8-k"],
    "8-K/A": ["8-K/A"],
    None: ["10-QSB", "8-K12B", "10-D", "NT 10-K", "S-1", "", "10-K1", "110-K", "8-Q"],
}


@pytest.mark.parametrize(("name", "stated"), [(name, stated) for name, all_ in NAMES.items() for stated in all_])
def test_a_form_has_one_name_however_it_is_spelled(name, stated):
    assert name == form_name(stated)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.gz")), ids=lambda path: path.name[:24])
def test_every_example_is_opened(path):
    raw = opened(path.read_bytes(), path.name)

    assert raw.kind == ("html" if "<html" in raw.body[:3000].lower() else "text")
    assert "\ufffd" not in raw.body


def test_pictures_of_a_full_submission_are_listed_and_not_taken():
    path = EXAMPLES / "F_8-K_2017-10-03_0000037996-17-000084.txt.gz"

    raw = opened(path.read_bytes(), path.name)

    assert raw.document_type == "8-K"
    assert "GRAPHIC" in {listed.type for listed in raw.documents}
    assert raw.kind == "html"


def test_every_example_is_listed_in_their_readme():
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")

    assert [path.name for path in EXAMPLES.glob("*.gz") if f"`{path.name}`" not in listed] == []


# --- whatever comes ---------------------------------------------------------------------------------------------------


@given(st.binary(max_size=2_000))
def test_no_bytes_do_more_than_be_refused(data):
    try:
        raw = opened(data)
    except InputRefused:
        return
    assert raw.body


@given(
    st.binary(max_size=300),
    st.sampled_from([b"<DOCUMENT>\n<TYPE>10-K\n<TEXT>\n", b"<SEC-HEADER>\n", b"<html><body>", b"\x1f\x8b"]),
)
def test_no_bytes_after_a_familiar_beginning_do_either(data, beginning):
    try:
        opened(beginning + data)
    except InputRefused:
        return


@pytest.mark.parametrize("name", ["LGE_8-K*", "AAMES_8-K*", "ORCL_8-K*", "REAC_10-K*", "109446*"])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_damaged_filing_ends_as_a_result_or_a_refusal(name, data):
    """Cut it anywhere, and write anything over it anywhere: what comes out is a filing or one of the item errors."""
    whole = gzip.decompress(next(EXAMPLES.glob(name)).read_bytes())
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    junk = data.draw(
        st.sampled_from([b"", b"\x00" * 50, b"<" * 200, b"<table><tr><td>" * 40, b"&" * 100, b"\xff\xfe\x93", b"<!--"])
    )

    try:
        result = filing_of(StoredFiling("damaged.txt", whole[:start] + junk + whole[end:]))
    except ItemError:
        return
    assert result["schema"] == "onward.filing/1"
