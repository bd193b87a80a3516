"""Sphinx extension: outputs that have a name and a caption become numbered figures and tables.

`hsem.viz` puts both into the output (`viz.strip(..., name="fig-swap", caption="...")`). MyST-NB can
number images, but neither HTML nor widgets, which our pictures and sliders are. Here each such
output is put into a figure with its caption, so that {numref}`fig-swap` leads to it.

Folds say what is in them: a cell with the tag `solution` has the solution, others have code.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

MIME = "application/vnd.hsem.numbered+json"
SHOWN = ("display_data", "execute_result")
# "0.8 (0.7 to 0.9)": where a cell is too narrow, the line breaks before the interval, not within
INTERVAL = re.compile(r"(\([^()<>]+ to [^()<>]+\))(?=</(?:td|strong)>)")
PROMPTS = {"prompt_show": "Show the solution", "prompt_hide": "Hide the solution"}
LOGGER = logging.getLogger(__name__)


class NumberedTable(nodes.figure):
    """Holds a table that has its caption inside, where the number is added."""


class NumberOutputs(SphinxTransform):
    """Early, while labels and numbers have yet to be collected."""

    default_priority = 300

    def apply(self, **kwargs: Any) -> None:
        """Wrap the outputs of this document that have a name."""
        path = Path(self.env.doc2path(self.env.docname))
        if path.suffix != ".ipynb":
            return
        cells = json.loads(path.read_text("utf-8"))["cells"]
        for cell in list(self.document.findall(nodes.container)):
            if cell.get("nb_element") != "cell_code":
                continue
            if "tag_solution" in cell["classes"] and "prompt_show" in cell:
                cell.attributes.update(PROMPTS)
            outputs = cells[cell["cell_index"]]["outputs"]
            stored = [o["data"] for o in outputs if o["output_type"] in SHOWN]
            drawn = [
                node
                for node in cell.findall(nodes.container)
                if node.get("nb_element") == "mime_bundle"
            ]
            if len(stored) != len(drawn):
                if any(MIME in data for data in stored):
                    LOGGER.warning("outputs of this cell cannot be told apart", location=cell)
                continue
            for data, node in zip(stored, drawn, strict=True):
                if MIME in data:
                    self.wrap(node, **data[MIME])

    def wrap(self, bundle: nodes.container, kind: str, name: str, caption: str) -> None:
        """Put one output into a figure."""
        number_me = NumberedTable() if kind == "table" else nodes.figure()
        number_me["classes"].append("hsem-numbered")
        number_me.line, number_me.source = bundle.line, bundle.source
        number_me["names"].append(name)
        bundle.replace_self(number_me)
        number_me += bundle
        number_me += nodes.caption(caption, "", *inline(caption))
        self.document.note_explicit_target(number_me, number_me)


def inline(text: str) -> list[nodes.Node]:
    """Text with formulas between dollars."""
    parts = re.split(r"\$([^$]+)\$", text)
    return [
        nodes.math(part, part) if k % 2 else nodes.Text(part)
        for k, part in enumerate(parts)
        if part
    ]


def visit_table(self: Any, node: NumberedTable) -> None:
    """Open the frame; its caption stands inside the table already."""
    (caption,) = (child for child in node if isinstance(child, nodes.caption))
    node.remove(caption)
    self.body.append(f'<div class="hsem-numbered" id="{html.escape(node["ids"][0])}">\n')
    node["start"] = len(self.body)


def depart_table(self: Any, node: NumberedTable) -> None:
    """Put the number before the caption of the table."""
    inside = "".join(self.body[node["start"] :])
    del self.body[node["start"] :]
    self.add_fignumber(node)
    number = "".join(self.body[node["start"] :])
    del self.body[node["start"] :]
    inside = INTERVAL.sub(r'<span class="hsem-interval">\1</span>', inside)
    self.body += [inside.replace("<caption>", f"<caption>{number}", 1), "</div>\n"]


def title(node: nodes.Node) -> str:
    """What {numref} may show beside the number."""
    return next(iter(node.findall(nodes.caption))).astext()


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the transform, and the frame that is numbered as tables are."""
    app.add_enumerable_node(NumberedTable, "table", title, html=(visit_table, depart_table))
    app.add_transform(NumberOutputs)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
