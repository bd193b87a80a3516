"""Pictures and tables for notebooks; nothing else in `hsem` draws."""

from .blind import BlindTest, blind_test
from .differences import difference
from .film import Film
from .picture import Picture, to_uint8
from .published import publish
from .show import anatomy, board, figure, grid, live_slider, slider, strip
from .tables import Table, table

__all__ = [
    "BlindTest",
    "Film",
    "Picture",
    "Table",
    "anatomy",
    "blind_test",
    "board",
    "difference",
    "figure",
    "grid",
    "live_slider",
    "publish",
    "slider",
    "strip",
    "table",
    "to_uint8",
]
