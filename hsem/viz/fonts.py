"""Fonts for labels: matplotlib's own, or one of this machine for letters that it lacks."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from warnings import warn

from PIL import ImageFont


def font(text: str, size: int) -> ImageFont.FreeTypeFont:
    """The font that has the most of the characters of `text`."""
    return _opened(_best(text)[0], size)


def warn_of_missing(texts: Iterable[str], stacklevel: int) -> None:
    """One warning with all characters that will be drawn as empty boxes."""
    missing = sorted({c for text in texts for c in _best(text)[1]})
    if missing:
        names = ", ".join(f"{c} (U+{ord(c):04X})" for c in missing[:10])
        warn(
            f"no font of this machine has {names}{', ...' if len(missing) > 10 else ''}: labels "
            "show empty boxes there. Install one (on Debian: fonts-noto-core, fonts-noto-cjk for "
            "Chinese, Japanese and Korean) and start Python again, or write the label in letters "
            "that are here",
            stacklevel=stacklevel + 1,
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
