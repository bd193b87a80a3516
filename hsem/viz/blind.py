"""A blind test that a reader plays in the static page: can the effect be seen at all?"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass

from .picture import checked_alt, img_tag, sheet, to_uint8
from .show import Images


@dataclass(frozen=True, eq=False)
class BlindTest:
    """Trials, each a picture and a choice; `book/_static/quiz.js` shows one at a time."""

    tags: tuple[str, ...]
    truths: tuple[int, ...]
    choices: tuple[str, ...]
    question: str

    def __repr__(self) -> str:
        return f"Blind test of {len(self.tags)} trials: {self.question}"

    def _repr_html_(self) -> str:
        options = " or ".join(map(html.escape, self.choices))
        trials = "\n".join(
            f"<fieldset><legend>{k}. {html.escape(self.question)}</legend>{tag}"
            f'<div class="hsem-choices">{options}?</div></fieldset>'
            for k, tag in enumerate(self.tags, start=1)
        )
        right = ", ".join(
            f"{k}: {html.escape(self.choices[t])}" for k, t in enumerate(self.truths, start=1)
        )
        # not a secret, but not to be read by accident either
        coded = base64.b64encode(",".join(map(str, self.truths)).encode()).decode()
        names = html.escape("|".join(self.choices))
        return (
            f'<div class="hsem-blind" data-truths="{coded}" data-choices="{names}">\n{trials}\n'
            f"<details><summary>Answers</summary><p>{right}</p></details></div>"
        )


def blind_test(
    pictures: Images,
    truths: Sequence[int],
    choices: Sequence[str],
    *,
    question: str,
    alt: str,
    scale: float = 2.0,
) -> BlindTest:
    """Trials for the reader, with the score against chance at the end; nothing leaves the page.

    Parameters
    ----------
    pictures : (n, 3, H, W), one per trial, or (n, m, 3, H, W), m side by side; shuffle them
    truths : n positions in `choices`
    choices : two or more short answers, the same in every trial
    question : asked in every trial
    alt : what is shown, without the answer; the number of the trial is added
    scale : CSS pixels per pixel

    Raises
    ------
    ValueError
        If numbers do not fit, or every trial has the same answer.
    """
    pictures = pictures[:, None] if pictures.ndim == 4 else pictures
    array, kept = to_uint8(pictures), tuple(int(t) for t in truths)
    if array.ndim != 5 or len(array) != len(kept):
        raise ValueError(f"there must be one truth per trial, got {len(array)} and {len(kept)}")
    if len(choices) < 2 or any("|" in c for c in choices):
        raise ValueError(f"choices must be two or more texts without |, got {list(choices)}")
    if not set(kept) <= set(range(len(choices))) or len(set(kept)) < 2:
        raise ValueError(f"truths must be positions in choices, not all the same, got {kept}")
    alt = checked_alt(alt)
    tags = []
    for k, images in enumerate(array, start=1):
        picture = sheet(images, len(images))
        tags.append(img_tag(picture, f"{alt}; trial {k}", round(picture.width * scale)))
    return BlindTest(tuple(tags), kept, tuple(choices), question)
