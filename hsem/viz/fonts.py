"""Fonts for labels: matplotlib's own, or those of this machine for letters that it lacks."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from PIL import ImageDraw, ImageFont

from ..callers import tell


def font(text: str, size: int) -> ImageFont.FreeTypeFont:
    """The font that has the most of the characters of `text`."""
    return _opened(_best(text)[0], size)


def pieces(text: str, size: int) -> list[tuple[str, ImageFont.FreeTypeFont]]:
    """A text, cut where another font has to help out: some of other scripts have no digits."""
    main, missing = _best(text)
    if not missing:
        return [(text, _opened(main, size))]
    spare = font("".join(sorted(missing)), size)
    runs = groupby(text, key=missing.__contains__)
    return [("".join(run), spare if helped else _opened(main, size)) for helped, run in runs]


def width_of(text: str, size: int) -> int:
    """Pixels that the longest line of a text takes."""
    lines = (pieces(line, size) for line in text.split("\n"))
    return round(max(sum(letters.getlength(part) for part, letters in line) for line in lines))


def height_of(texts: Iterable[str], size: int) -> int:
    """Pixels that a line takes; fonts of other scripts are taller."""
    used = (letters for text in ("", *texts) for _, letters in pieces(text, size))
    return int(max(letters.getbbox("Ág")[3] for letters in used))


def broken(text: str, size: int, room: int) -> str:
    """The text in lines no wider than `room`, if its words are; as few lines as that takes."""
    lines = []
    for paragraph in text.split("\n"):
        words = paragraph.split(" ")
        while words:
            n = len(words)
            while n > 1 and width_of(" ".join(words[:n]), size) > room:
                n -= 1
            lines.append(" ".join(words[:n]))
            words = words[n:]
    return "\n".join(lines)


def write(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int,
    fill: tuple[int, ...], anchor: str,
) -> None:  # fmt: skip
    """Draw lines of text: "ma" hangs them centred below `at`, "rm" ends them to its left."""
    if len(pieces(text, size)) == 1:
        pen.multiline_text(
            at, text, fill, font(text, size), anchor, spacing=size // 4, align="center"
        )
        return
    lines, step = text.split("\n"), height_of([text], size) + size // 4
    y = at[1] + (0 if anchor[1] == "a" else -step * len(lines) / 2)
    for k, line in enumerate(lines):
        x = at[0] - width_of(line, size) / (1 if anchor[0] == "r" else 2)
        for part, letters in pieces(line, size):
            pen.text((x, y + k * step + size), part, fill, letters, anchor="ls")
            x += letters.getlength(part)


def warn_of_missing(texts: Iterable[str]) -> None:
    """One warning with all characters that will be drawn as empty boxes."""
    missing = sorted({c for text in texts for c in _best("".join(sorted(_best(text)[1])))[1]})
    if missing:
        names = ", ".join(f"{c} (U+{ord(c):04X})" for c in missing[:10])
        tell(
            f"no font of this machine has {names}{', ...' if len(missing) > 10 else ''}: labels "
            "show empty boxes there. Install one (on Debian: fonts-noto-core, fonts-noto-cjk for "
            "Chinese, Japanese and Korean) and start Python again, or write the label in letters "
            "that are here",
        )


@lru_cache(maxsize=512)
def _best(text: str) -> tuple[str, frozenset[str]]:
    """Path of the font for a text, and the characters that it lacks."""
    wanted = frozenset(c for c in text if _is_drawn(c))
    best, missing = _ours(), _lacking(_ours(), wanted)
    for path in _others() if missing else ():
        fewer = _lacking(path, wanted)
        if len(fewer) < len(missing):
            best, missing = path, fewer
        if not missing:
            break
    return best, missing


def _is_drawn(character: str) -> bool:
    """Neither space nor control character nor a sign that only changes another one."""
    selector = 0xFE00 <= ord(character) <= 0xFE0F
    return not selector and unicodedata.category(character)[0] not in "CZ"


@lru_cache(maxsize=1024)
def _lacking(path: str, wanted: frozenset[str]) -> frozenset[str]:
    from matplotlib.ft2font import FT2Font

    try:
        table, drawn = FT2Font(path), _opened(path, 16)
    except (OSError, RuntimeError):  # damaged, or pictures of one size, as of coloured emoji
        return wanted
    have = {c for c in wanted if table.get_char_index(ord(c)) and drawn.getmask(c).getbbox()}
    return wanted - have


def _ours() -> str:
    import matplotlib  # its DejaVu Sans has the Greek letters of the paper

    return str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf")


@lru_cache
def _others() -> tuple[str, ...]:
    """Fonts of this machine, plain and without serifs first, always in the same order."""
    from matplotlib.font_manager import findSystemFonts

    def rank(path: str) -> tuple[bool, bool, str]:
        name = Path(path).name.lower()
        return "regular" not in name, "sans" not in name, path

    return tuple(sorted(findSystemFonts(), key=rank))


@lru_cache
def _opened(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)
