"""Sphinx extension: use the fetched page assets, or say that they are missing.

`_config.yml` names the local files. When `make setup` could not fetch them, the settings go back
to their defaults, which are public servers, so that the book still shows formulas and sliders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util import logging

NOTICE = Path(__file__).resolve().parents[1] / "_static" / "vendor" / "NOTICE.txt"


def fall_back(app: Sphinx, config: Config) -> None:
    """Without the files, drop the two settings that name them."""
    if NOTICE.exists():
        return
    logging.getLogger(__name__).info(
        "book/_static/vendor is missing: these pages will load MathJax and the widget renderer "
        "from public servers (`make setup` fetches both when npm is there)"
    )
    for name in ("mathjax_path", "nb_ipywidgets_js"):
        config[name] = config.values[name].default


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect early, before the widget renderer's address is read."""
    app.connect("config-inited", fall_back, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
