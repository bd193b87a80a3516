"""Colours as linear light, and the two ramps that give skin and hair theirs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Colour = tuple[float, float, float]
"""Linear red, green and blue."""

GAMMA = 2.2
SKIN_TONES = np.array(
    [[60, 38, 28], [92, 58, 42], [128, 84, 60], [176, 122, 88], [206, 152, 118], [226, 178, 148],
     [238, 202, 182]]
) / 255.0  # fmt: skip
SKIN_TONES = SKIN_TONES**GAMMA * 0.82
DARK_HAIR, BLOND_HAIR = np.array([0.010, 0.007, 0.006]), np.array([0.50, 0.33, 0.15])
RED_HAIR, GREY_HAIR = np.array([0.30, 0.075, 0.022]), np.array([0.40, 0.39, 0.38])


def linear(colour: Sequence[float] | np.ndarray) -> np.ndarray:
    """Linear light of a colour as a screen shows it, 0 to 1."""
    return np.asarray(colour, float) ** GAMMA


def luminance(colour: np.ndarray) -> np.ndarray:
    """Brightness (...) of colours (..., 3 or more)."""
    return np.asarray(colour)[..., :3] @ np.array([0.3, 0.6, 0.1])


def skin_colour(tone: float) -> np.ndarray:
    """From dark (0) to light (1), interpolated between seven skin colours in their logarithms."""
    x = np.clip(tone, 0, 1) * (len(SKIN_TONES) - 1)
    i = min(int(x), len(SKIN_TONES) - 2)
    f = x - i
    return np.exp(np.log(SKIN_TONES[i]) * (1 - f) + np.log(SKIN_TONES[i + 1]) * f)


def hair_colour(lightness: float, red: float, grey: float) -> np.ndarray:
    """From black to blond, mixed with red, then with grey; each 0 to 1."""
    c = np.exp(np.log(DARK_HAIR) * (1 - lightness) + np.log(BLOND_HAIR) * lightness)
    c = c * (1 - red) + red * RED_HAIR * (0.25 + lightness)
    return c * (1 - grey) + grey * GREY_HAIR
