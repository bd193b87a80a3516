"""Pictures and tables for notebooks; nothing else in `hsem` draws."""

from .difference import difference
from .film import Film
from .picture import Picture, to_uint8
from .publish import publish
from .show import anatomy, board, figure, grid, live_slider, slider, strip
from .table import Table, table

__all__ = [
    "Film",
    "Picture",
    "Table",
    "anatomy",
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
