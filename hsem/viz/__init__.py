"""Pictures of samples and edits, for notebooks; nothing else in `hsem` draws."""

from .film import Film
from .picture import Picture, to_uint8
from .show import anatomy, board, figure, grid, live_slider, slider, strip

__all__ = [
    "Film",
    "Picture",
    "anatomy",
    "board",
    "figure",
    "grid",
    "live_slider",
    "slider",
    "strip",
    "to_uint8",
]
