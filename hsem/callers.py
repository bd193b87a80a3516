"""Warnings point at the line of the reader's own code, however deep inside they arise."""

from __future__ import annotations

import os
import sys
import sysconfig
from os.path import dirname
from warnings import warn

import torch

INSIDE = (dirname(__file__) + os.sep, dirname(torch.__file__) + os.sep)
LIBRARY = sysconfig.get_path("stdlib")


def tell(text: str, kind: type[Warning] = UserWarning) -> None:
    """Warn at the line of the nearest caller who is not of this package.

    What lies between, of torch or of Python (decorators, context managers), is passed over.
    """
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and _is_inside(frame.f_code.co_filename):
        frame, level = frame.f_back, level + 1
    warn(text, kind, stacklevel=level)


def _is_inside(filename: str) -> bool:
    return filename.startswith(INSIDE) or dirname(filename) == LIBRARY
