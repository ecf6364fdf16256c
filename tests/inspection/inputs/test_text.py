"""Which encoding a file has is told by all its lines; a line that is none in it is bad, and no other."""

import pytest

from inspection.inputs.text import read_text

GERMAN = ["Beschädigung", "Überhitzung", "Größe 5 µm"]
FRENCH = ["rayure profonde", "pièce créée à 25 °C", "défaut"]
SPANISH = ["inspección", "daño", "año 2026"]
JAPANESE = ["スクラッチ", "傷ソ", "ロット①, 良品"]
HALF_WIDTH = ["ﾃｽﾄ", "NGﾃｽﾄ", "ｷｽﾞ"]
MIXED_WORDS = ["NG品", "L1ライン", "良品"]


@pytest.mark.parametrize(
    ("words", "encoding"),
    [
        *[(words, "cp1252") for words in (GERMAN, FRENCH, SPANISH, ["25 °C"], ["Ø 5"], ["ÜBERHITZUNG"])],
        *[(words, "cp932") for words in (JAPANESE, HALF_WIDTH, MIXED_WORDS, ["傷"], ["ﾃｽﾄ"], ["NG品"])],
        *[
            (words, encoding)
            for words in (GERMAN, FRENCH, SPANISH, JAPANESE, HALF_WIDTH, MIXED_WORDS)
            for encoding in ("utf-8", "utf-8-sig", "utf-16")
        ],
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_encoding_is_found(words: list[str], encoding: str, end: str) -> None:
    text = read_text(end.join(["image,label", *words, ""]).encode(encoding))
    assert list(text.lines) == ["image,label\n", *(f"{word}\n" for word in words)]
    assert text.bad == {}


@pytest.mark.parametrize(
    ("good", "encoding", "bad"),
    [
        (JAPANESE, "utf-8", "ロット".encode()[:-1]),
        (JAPANESE, "utf-8", "傷".encode("cp932")),
        (GERMAN, "utf-8", "Über".encode("cp1252")),
        (["größer"], "utf-8", "Öl".encode("cp1252")),
        (GERMAN, "utf-8-sig", b"\xff"),
        (["plain"], "utf-8-sig", "Öl und Ähnliches".encode("cp1252")),
        (JAPANESE, "cp932", "ロット".encode("cp932")[:-1]),
        (GERMAN, "cp1252", b"\x81"),
        (["plain"], "utf-8", b"a\0b"),
        (JAPANESE, "cp932", b"\0\0\0"),
    ],
)
def test_a_bad_line_costs_no_other(good: list[str], encoding: str, bad: bytes) -> None:
    data = "".join(f"{word}\n" for word in good).encode(encoding)
    for more in (b"", b"\n", b"\nplain\n"):
        text = read_text(data + b"x" + bad + more)
        assert [line.rstrip() for line in text.lines[: len(good)]] == good
        assert list(text.bad) == [len(good)]


def test_a_line_says_why_it_is_bad() -> None:
    assert read_text("ä\nöü\n\udc80x\n".encode(errors="surrogateescape")).bad == {
        2: "bytes that are no UTF-8 text"
    }
    text = read_text("plain\na\0\n".encode("utf-16"))
    assert text.bad == {1: "NUL bytes, as a power loss leaves them"}
    assert text.lines == ["plain\n", "a\ufffd\n"]


def test_the_end_of_a_dos_file_is_no_line() -> None:
    assert read_text(b"a,b\r\n1,2\r\n\x1a").lines == ["a,b\n", "1,2\n"]


def test_utf16_that_was_cut_in_a_character() -> None:
    text = read_text("plain\nlast".encode("utf-16")[:-1])
    assert next(iter(text.lines)) == "plain\n"
    assert text.bad == {1: "bytes that are no UTF-16 text"}
