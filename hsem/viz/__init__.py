"""Pictures and tables for notebooks; nothing else in `hsem` draws."""

from ..numerals import numeral
from .blind import BlindTest, blind_test
from .differences import difference
from .film import Film
from .live import Playground, playground
from .picture import Picture, to_uint8
from .published import publish
from .show import anatomy, board, figure, grid, slider, strip
from .stamp import of, stamp
from .tables import Table, table

__all__ = [
    "BlindTest",
    "Film",
    "Picture",
    "Playground",
    "Table",
    "anatomy",
    "blind_test",
    "board",
    "difference",
    "figure",
    "grid",
    "numeral",
    "of",
    "playground",
    "publish",
    "slider",
    "stamp",
    "strip",
    "table",
    "to_uint8",
]
