"""Regions of an image (the mask M of equations 9 and 10), and where a change takes place.

Masks are float tensors (H, W) of zeros and ones, which broadcast against images (b, 3, H, W).
Shapes are given in fractions of the image, x to the right and y down, both from 0 to 1, so the
same numbers fit a model of any resolution. A pixel belongs to a shape if its centre does.

    union = torch.maximum(a, b)      both = a * b      rest = 1 - a
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..counts import whole_number
from ..reading import check_file, checked, read_arrays, refusing

REGIONS = Path(__file__).parents[1] / "data" / "portraits-64" / "regions.npz"

Size = int | Sequence[int] | Any
ALIGNED: dict[str, tuple[tuple[float, float, float, float], ...]] = {  # x, y and half axes
    "left_eye": ((0.38, 0.48, 0.08, 0.05),),
    "right_eye": ((0.62, 0.48, 0.08, 0.05),),
    "eyes": ((0.38, 0.48, 0.08, 0.05), (0.62, 0.48, 0.08, 0.05)),
    "brows": ((0.37, 0.41, 0.10, 0.035), (0.63, 0.41, 0.10, 0.035)),
    "nose": ((0.5, 0.58, 0.07, 0.10),),
    "mouth": ((0.5, 0.74, 0.14, 0.065),),
    "chin": ((0.5, 0.88, 0.13, 0.06),),
    "face": ((0.5, 0.58, 0.27, 0.36),),
    "glasses": ((0.36, 0.48, 0.13, 0.09), (0.64, 0.48, 0.13, 0.09)),
    "hair": ((0.5, 0.38, 0.40, 0.36),),
}


def rectangle(size: Size, left: float, top: float, right: float, bottom: float) -> Tensor:
    """A box. `size` is a side length, (H, W), or a model or anything else with `image_shape`.

    Examples
    --------
    >>> rectangle(4, 0.0, 0.5, 1.0, 1.0)
    tensor([[0., 0., 0., 0.],
            [0., 0., 0., 0.],
            [1., 1., 1., 1.],
            [1., 1., 1., 1.]])
    """
    x, y = _centres(size)
    return _drawn((x > left) & (x < right) & (y > top) & (y < bottom), "rectangle")


def ellipse(
    size: Size, x: float, y: float, rx: float, ry: float | None = None, angle: float = 0.0
) -> Tensor:
    """An ellipse around (x, y) with half axes `rx` and `ry` (a circle without `ry`).

    `angle` in degrees turns it clockwise.
    """
    px, py = _centres(size)
    ry = rx if ry is None else ry
    if rx <= 0 or ry <= 0:
        raise ValueError(f"half axes must be positive, got rx={rx} and ry={ry}")
    turn = torch.deg2rad(px.new_tensor(angle))
    along = (px - x) * turn.cos() + (py - y) * turn.sin()
    across = (py - y) * turn.cos() - (px - x) * turn.sin()
    return _drawn((along / rx) ** 2 + (across / ry) ** 2 <= 1, "ellipse")


def polygon(size: Size, points: Sequence[tuple[float, float]]) -> Tensor:
    """The inside of a closed line through at least three points (x, y).

    Where the line crosses itself, what it encloses twice is outside (the even-odd rule).
    """
    if len(points) < 3 or any(len(p) != 2 for p in points):
        raise ValueError(f"a polygon needs at least three points (x, y), got {points}")
    x, y = _centres(size)
    inside = torch.zeros_like(x, dtype=torch.bool)
    for (x1, y1), (x2, y2) in zip(points, [*points[1:], points[0]], strict=True):
        if y1 == y2:
            continue
        # Does a ray from the pixel to the right cross this edge?
        at_this_height = (y > min(y1, y2)) & (y <= max(y1, y2))
        inside ^= at_this_height & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    return _drawn(inside, "polygon")


def from_array(array: Any, size: Size | None = None) -> Tensor:
    """A mask from any array (H, W): booleans, 0 and 1, or 0 and 255; brought to `size` if given.

    Values above half of the largest are inside. Enlarged or reduced by the nearest pixel.
    """
    values = _flat(array, "array").cpu()
    if size is not None:
        shape = _shape(size)
        values = torch.nn.functional.interpolate(values[None, None], shape, mode="nearest-exact")
        values = values[0, 0]
    return _drawn(values > values.max() / 2, "array")


def region(name: str, size: Size | None = None, *, threshold: float = 0.5) -> Tensor:
    """A named part of the face for the model portraits-64, such as "mouth" or "left_eye".

    Parameters
    ----------
    name : one of `region_names()`; left and right are those of the picture
    size : None for the resolution of the model
    threshold : share of rendered portraits in which a pixel belongs to the part, 0 to 1. A lower
        one gives a larger mask, which suits heads that are turned or hold other expressions.

    Notes
    -----
    Computed from renders whose parts are known: no face parser is involved, hence no error of one.
    Masks do not follow the head of a given sample; they say where that part usually is.
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold must be from 0 to below 1, got {threshold}")
    table = _regions(REGIONS)
    if name not in table:
        raise ValueError(f"no region is called {name!r}; there are {', '.join(table)}")
    mask = (table[name] > threshold).to(torch.float32)
    if not bool(mask.any()):
        raise ValueError(
            f"no pixel belongs to {name!r} in more than {threshold:.0%} of the portraits (the most "
            f"is {float(table[name].max()):.0%}); take a smaller threshold"
        )
    return mask if size is None else from_array(mask, size)


def aligned_region(name: str, size: Size) -> Tensor:
    """A part of the face in photographs that are aligned as CelebA-HQ and FFHQ are: rough shapes.

    Parameters
    ----------
    name : one of `region_names()`, as for `region`
    size : side length, (H, W), or a model

    Notes
    -----
    Ellipses at places that we chose by the way those data sets are cropped (the eyes on a level
    near the middle, the mouth at three quarters). Nobody measured them.
    """
    if name not in ALIGNED and name != "background":
        raise ValueError(f"no region is called {name!r}; there are {', '.join(region_names())}")
    wanted = ALIGNED[name] if name != "background" else ALIGNED["face"] + ALIGNED["hair"]
    parts = [ellipse(size, *shape) for shape in wanted]
    union = torch.stack(parts).amax(0)
    if name == "hair":
        return union * (1 - aligned_region("face", size))
    return 1 - union if name == "background" else union


def region_names() -> tuple[str, ...]:
    """What `region` knows."""
    return tuple(_regions(REGIONS))


@cache
def _regions(path: Path) -> dict[str, Tensor]:
    remedy = "install hsem again, or draw the region with ellipse or polygon"
    check_file(path, "table of face regions", remedy)
    with refusing(path, "the table of face regions", "install hsem again", OSError):
        names, shares = read_arrays(path, "names", "shares")
        checked("names", names, None, kinds="U")
        checked("shares", shares, len(names), None, None, kinds="fu")
        scale = 255 if shares.dtype == np.uint8 else 1
        return {str(n): torch.from_numpy(s / scale) for n, s in zip(names, shares, strict=True)}


# ------------------------------------------------------------------------------------ measures


def share_inside(change: Tensor, mask: Any) -> Tensor:
    """Share of the squared change that lies inside the mask, 0 to 1.

    Parameters
    ----------
    change : difference of images, or J v, (..., 3, H, W)
    mask : (H, W)

    Returns
    -------
    (...), float64. A mask that covers a share c of the image and a change that does not care give
    c, so compare with `mask.mean()`.
    """
    energy = _energy(change)
    mask = checked_mask(mask, energy.shape[-2:]).to(energy)
    return (energy * mask).sum(dim=(-2, -1)) / energy.sum(dim=(-2, -1))


class Box(NamedTuple):
    """Rows top to bottom - 1 and columns left to right - 1; its share of the image's area."""

    left: int
    top: int
    right: int
    bottom: int
    area: float


def smallest_box(change: Tensor, share: float = 0.9) -> Box:
    """The smallest upright box that holds `share` of the squared change.

    Parameters
    ----------
    change : difference of two images, or J v, (3, H, W)

    Notes
    -----
    Its `area`, as a share of the image, measures locality without any mask: a change spread
    evenly needs 90 % of the image to hold 90 % of it, a local one a few per cent.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    if change.ndim != 3:
        raise ValueError(f"change must be one image (3, H, W), got {tuple(change.shape)}")
    energy = _energy(change)
    height, width = energy.shape
    wanted = share * float(energy.sum()) * (1 - 1e-12)  # rounding must not ask for more than all
    columns = energy.new_zeros(height + 1, width)
    columns[1:] = energy.cumsum(dim=0)
    best = Box(0, 0, width, height, 1.0)
    smallest = height * width + 1
    left_edges = torch.arange(width, device=energy.device, dtype=torch.long)
    for rows in range(1, height + 1):
        strip = columns[rows:] - columns[:-rows]  # each band of that many rows
        total = energy.new_zeros(len(strip), width + 1)
        total[:, 1:] = strip.cumsum(dim=1)
        # From each left edge, the first right edge that has enough.
        right = torch.searchsorted(total, total[:, :-1] + wanted)
        size = torch.where(right <= width, right - left_edges, width + 1)
        flat = int(size.argmin())
        top, left = divmod(flat, width)
        if int(size.flatten()[flat]) <= width and rows * int(size[top, left]) < smallest:
            smallest = rows * int(size[top, left])
            best = Box(left, top, int(right[top, left]), top + rows, smallest / (height * width))
    return best


# ------------------------------------------------------------------------------------- details


def checked_mask(mask: Any, shape: Sequence[int]) -> Tensor:
    """The mask as zeros and ones (H, W), if it is one, fits the image, and is not empty."""
    flat = _flat(mask, "mask")
    if tuple(flat.shape) != tuple(shape):
        raise ValueError(
            f"mask must be (H, W) = {tuple(shape)} like the image, got {tuple(flat.shape)}; "
            "masks.from_array(mask, size) changes the size"
        )
    if not bool(((flat == 0) | (flat == 1)).all()):
        raise ValueError("mask must hold only zeros and ones; masks.from_array(mask) makes it so")
    if not bool(flat.any()):
        raise ValueError("mask is empty: it holds no pixel")
    return flat


def weights(mask: Any, name: str = "mask") -> Tensor:
    """The numbers of a tensor, array, picture or list: float32, finite and not negative."""
    if getattr(mask, "mode", None) in ("P", "PA"):  # its numbers are places in a table of colours
        mask = mask.convert("L")
    try:
        found = mask if isinstance(mask, Tensor) else torch.from_numpy(np.array(mask, np.float32))
        values = found.detach().to(torch.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers, got {mask!r:.60}") from error
    if not values.numel() or not bool((torch.isfinite(values) & (values >= 0)).all()):
        raise ValueError(f"{name} must hold pixels that are finite and not negative")
    return values


def _flat(mask: Any, name: str) -> Tensor:
    """The numbers of a mask as (H, W), with an axis of one channel or without."""
    values = weights(mask, name)
    while values.ndim > 2 and 1 in (values.shape[0], values.shape[-1]):
        values = values[0] if values.shape[0] == 1 else values[..., 0]
    if values.ndim == 3 and {values.shape[0], values.shape[2]} & {2, 3, 4}:  # with transparency
        raise ValueError(
            f"{name} is a colour picture of shape {tuple(values.shape)}, and a mask is (H, W); "
            f'take one channel, {name}[..., 0], or grey, PIL.Image.open(path).convert("L")'
        )
    if values.ndim != 2:
        raise ValueError(f"{name} must be (H, W), got shape {tuple(values.shape)}")
    return values


def _energy(change: Tensor) -> Tensor:
    """Squared change of each pixel, over colours: (..., H, W), float64, on the CPU."""
    if change.ndim < 3:
        raise ValueError(f"change must be (..., 3, H, W), got {tuple(change.shape)}")
    energy = change.detach().to("cpu", torch.float64).square().sum(dim=-3)
    if not bool((energy.sum(dim=(-2, -1)) > 0).all()):
        raise ValueError("a change is zero everywhere, so it has no place")
    return energy


def _shape(size: Size) -> tuple[int, int]:
    size = getattr(size, "image_shape", size)
    if isinstance(size, int) or getattr(size, "ndim", 1) == 0:  # numpy's and torch's, too
        return (side := whole_number("size", size)), side
    height, width = tuple(size)[-2:]
    return int(height), int(width)


def _centres(size: Size) -> tuple[Tensor, Tensor]:
    """x and y of the centres of all pixels, (H, W) each, from 0 to 1."""
    height, width = _shape(size)
    y, x = torch.meshgrid(
        *((torch.arange(n, dtype=torch.float64, device="cpu") + 0.5) / n for n in (height, width)),
        indexing="ij",
    )
    return x, y


def _drawn(inside: Tensor, what: str) -> Tensor:
    if not bool(inside.any()):
        raise ValueError(
            f"this {what} holds no pixel; coordinates are fractions of the image, from 0 to 1, "
            "and a pixel counts if its centre is inside"
        )
    return inside.to(torch.float32)
