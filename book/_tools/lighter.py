"""Sphinx extension: leave out a script of the theme that draws each icon a second time.

The theme's icons are a font, which its style sheet loads. Its `fontawesome.js`, 1.5 MB and more
than all else on most pages, then puts the same icons there as SVG, for readers who add icons of
their own. The theme offers no switch for it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

TAG = re.compile(r'\s*<script[^>]*src="[^"]*scripts/fontawesome\.js[^"]*"[^>]*></script>')


def lighten(app: Sphinx, error: Exception | None) -> None:
    """Take the tag out of every page, and the script out of what is published."""
    if error is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    for page in out.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        if TAG.search(text):
            page.write_text(TAG.sub("", text), encoding="utf-8")
    for script in (out / "_static/scripts").glob("fontawesome.js*"):
        script.unlink()


def setup(app: Sphinx) -> dict[str, Any]:
    """Last of all, when the pages are written."""
    app.connect("build-finished", lighten, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
