"""The lines of a text file whose encoding nobody states: one bad byte costs one line."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_UTF8_MARK = b"\xef\xbb\xbf"
_DOS_END = b"\x1a"  # programs of old write it where a file ends
_REPLACED = "\ufffd"  # what stands for bytes that are no text
_OTHER = re.compile(r"[^\x00-\x7f]")
_NO_TEXT = "bytes that are no {encoding} text"
_NUL = "NUL bytes, as a power loss leaves them"
SAID = (_NO_TEXT, _NUL)
"""Why a line could not be read."""
# What plants write in cp1252: an accented letter or two in a Latin word, and a letter or a sign by itself.
_ACCENTED = "[À-ÖØ-öø-ÿŒœŠšŽž]"
_LATIN = re.compile(
    rf"(?<=[A-Za-z]){_ACCENTED}{{1,2}}|{_ACCENTED}{{1,2}}(?=[A-Za-z])"
    r"|(?<![^\x00-\x7f])[À-ÿ°µ±²³§€–„“”’](?![^\x00-\x7f])"
)
# And in cp932: Japanese words; one sign between Latin letters, or a single half-width one, is an accent.
_JAPANESE = re.compile(
    r"[\u3000-\u30ff\u4e00-\u9fff\uff01-\uff60]{2,}|[\uff61-\uff9f]{2,}"
    r"|(?<![A-Za-z])[\u3000-\u30ff\u4e00-\u9fff\uff01-\uff60](?![A-Za-z])"
)


@dataclass(frozen=True, slots=True)
class Text:
    """The lines of a file, each but perhaps the last with its line feed, and those that could not be read."""

    lines: Sequence[str]
    bad: Mapping[int, str]  # position of a line, from 0 -> why; bytes that are no text are shown as U+FFFD

    def no_text(self) -> str:
        """Says that the file is no text, for its first bad line."""
        line, why = next(iter(self.bad.items()))
        return f"not a text file, or not UTF-8, UTF-16, cp932 or cp1252 text (line {line + 1}: {why})"

    def why_bad(self, line: int, ends: int) -> str:
        """Why one of some lines could not be read; empty where all could."""
        if not self.bad:
            return ""
        return next((self.bad[i] for i in range(line, ends) if i in self.bad), "")


def read_text(data: bytes) -> Text:
    """Decode a file: UTF-16 with a byte order mark, UTF-8, cp932 (Japanese Excel) or cp1252 (Western Excel).

    Which of them is told by all lines together; a line that is none in it is bad, as one with NUL bytes is
    (a file system leaves them after a power loss).
    """
    data = data if data.startswith(_UTF16) else data.removesuffix(_DOS_END)
    try:
        if b"\0" not in data:
            return Text(_parted(data.decode("utf-8-sig")), {})
    except UnicodeDecodeError:
        pass
    if data.startswith(_UTF16):
        lines = _parted(data.decode("utf-16", "replace"))
        broken = {i: _NO_TEXT.format(encoding="UTF-16") for i, line in enumerate(lines) if _REPLACED in line}
    else:
        lines, broken = _decoded(data)
    nul = {i: _NUL for i, line in enumerate(lines) if "\0" in line}
    bad = dict(sorted((broken | nul).items()))
    return Text([line.replace("\0", _REPLACED) for line in lines] if nul else lines, bad)


def _parted(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [*(line + "\n" for line in lines[:-1]), *([lines[-1]] if lines[-1] else [])]


def _decoded(data: bytes) -> tuple[list[str], dict[int, str]]:
    """Decode the lines one by one; returns them, and those that hold what is no text."""
    rows = data.removeprefix(_UTF8_MARK).splitlines(keepends=True)
    encoding = "utf-8" if data.startswith(_UTF8_MARK) else _encoding(rows)
    lines, bad = [], {}
    for i, row in enumerate(rows):
        try:
            line = row.decode(encoding)
        except UnicodeDecodeError:
            line = row.decode(encoding, "replace")
            bad[i] = _NO_TEXT.format(encoding=encoding.upper())
        lines.append(line.rstrip("\r\n") + "\n")
    return lines, bad


def _encoding(rows: Sequence[bytes]) -> str:
    """Tell the encoding by what the lines that are not plain ASCII read like."""
    rows = [row for row in rows if not row.isascii() and b"\0" not in row]
    read = [row.decode("utf-8", "replace") for row in rows]
    whole = sum(_REPLACED not in row for row in read)
    broken = sum(row.count(_REPLACED) for row in read)
    sound = sum(len(_OTHER.findall(row)) for row in read) - broken
    if not rows or 2 * whole >= len(rows) or sound > broken:
        return "utf-8"
    return "cp1252" if _share(rows, "cp1252", _LATIN) > _share(rows, "cp932", _JAPANESE) else "cp932"


def _share(rows: Sequence[bytes], encoding: str, plausible: re.Pattern[str]) -> float:
    """The share of the characters beyond ASCII that stand where that encoding's words have them."""
    text = "".join(row.decode(encoding, "replace") for row in rows)
    return sum(map(len, plausible.findall(text))) / max(1, len(_OTHER.findall(text)))
