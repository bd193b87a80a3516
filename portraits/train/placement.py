"""Where a face lies in its picture: shifted, turned and scaled at random, for `--loose`.

The renders are aligned: the head is always in the middle, and as large as the frame wants it. The
paper's faces are, too; its churches and bedrooms are not. Moving the renders makes a data set that
differs from the aligned one in nothing else, and whose placement is known to the pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .draws import uniform

PLACEMENT = ("shift_x", "shift_y", "turn", "scale")
SHIFT = 12 / 64  # of the width of a picture, to each side
TURN = 25.0  # degrees, to each side
SCALE = (0.7, 1.3)


def draw_placement(n: int, generator: torch.Generator) -> Tensor:
    """Placements (n, 4), uniform and independent, on the device of the generator.

    Columns are those of `PLACEMENT`: shifts to the right and downwards as shares of the width,
    a clockwise turn in degrees, and a scale (above 1: the face is larger).
    """
    share = uniform(generator, n, len(PLACEMENT))
    low = share.new_tensor([-SHIFT, -SHIFT, -TURN, SCALE[0]])
    high = share.new_tensor([SHIFT, SHIFT, TURN, SCALE[1]])
    return torch.lerp(low, high, share)


def place(x: Tensor, placement: Tensor) -> Tensor:
    """Pictures (n, c, s, s) scaled and turned about their middle, then shifted; same shape.

    What lay outside is filled with the nearest pixel of the border: behind a portrait that is the
    background, and below it the clothes. Reflection would hang a second body under the first.
    """
    shift, turn, scale = placement[:, :2], placement[:, 2].deg2rad(), placement[:, 3]
    # affine_grid asks where each output place comes from, so this is the inverse of the move;
    # its coordinates run from -1 to 1, so a share of the width counts twice
    rows = [torch.stack([turn.cos(), turn.sin()], 1), torch.stack([-turn.sin(), turn.cos()], 1)]
    inverse = torch.stack(rows, 1) / scale[:, None, None]
    theta = torch.cat([inverse, inverse @ (-2 * shift[:, :, None])], 2)
    grid = nn.functional.affine_grid(theta, list(x.shape), align_corners=False)
    return nn.functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
