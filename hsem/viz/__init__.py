"""Pictures and tables for notebooks; nothing else in `hsem` draws."""

from .differences import difference
from .film import Film
from .picture import Picture, to_uint8
from .published import publish
from .show import anatomy, board, figure, grid, live_slider, slider, strip
from .tables import Table, table

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
