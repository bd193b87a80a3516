"""Numbers for the text: a cell publishes them, and the sentences that name them are filled in."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..evaluation.stability import Estimate
from ..numerals import signs

MIME = "application/vnd.hsem.published+json"
NAME = re.compile(r"[a-z0-9][a-z0-9_/.-]*", re.I)


@dataclass(frozen=True, eq=False)
class Published:
    """Texts by name. The book's pages do not show them here, but where the prose names them."""

    texts: Mapping[str, str]

    def __repr__(self) -> str:
        return "\n".join(f"{name} = {text}" for name, text in self.texts.items())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        shown = " · ".join(f"{html.escape(name)} = {text}" for name, text in self.texts.items())
        return {
            MIME: dict(self.texts),
            "text/html": f'<p class="hsem-published"><small>For the text: {shown}</small></p>',
            "text/plain": repr(self),
        }


def publish(values: Mapping[str, Any] | None = None, /, **named: Any) -> None:
    """Give the text of the chapter its numbers.

    A sentence holds `<data value="removed"></data>`; `make notebooks` or `make numbers` writes the
    published text between the two marks, and a test fails if it is another one.

    Parameters
    ----------
    values, named : by name: an `Estimate`, a whole number, or a text, such as f"{x:.2f}" or the
        word that `verdict` gave. Not a float: how many digits are meant must be said.

    Raises
    ------
    ValueError
        If a name has other signs than letters, digits and _ / . -, or a text has signs that
        Markdown or HTML would read.
    """
    from IPython.display import display  # late: only a notebook has a text to fill

    texts = {name: _text(name, value) for name, value in {**(values or {}), **named}.items()}
    display(Published(texts))


def _text(name: str, value: Any) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(f"a name holds letters, digits and _ / . -, got {name!r}")
    if isinstance(value, (bool, float)) or not isinstance(value, (str, int, Estimate)):
        raise ValueError(
            f"{name} must be a text, a whole number or an Estimate, got {value!r} of type "
            f'{type(value).__name__}; say how many digits it has, as in f"{{x:.2f}}"'
        )
    text = signs(str(value).strip())
    if not text or re.search(r"[<>&|$*`\\\[\]\n]|(?<!\w)_|_(?!\w)", text):
        raise ValueError(f"{name} must be plain text, without signs of Markdown, got {text!r}")
    return text
