"""Labels in other scripts: a font that has them, or one warning that names what is missing."""

from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch

from hsem import viz
from hsem.viz import fonts

OURS = Path(matplotlib.get_data_path()) / "fonts/ttf"
ALT = "two grey squares side by side"
SQUARES = torch.zeros(2, 3, 16, 16)
OTHER_SCRIPTS = {
    "Chinese": "微笑", "Japanese": "えがお", "Korean": "미소", "Devanagari": "मुस्कान", "Thai": "ยิ้ม",
}  # fmt: skip


@pytest.fixture
def machine(monkeypatch):
    """A machine with just the fonts that a test names."""

    def with_fonts(*paths: str | Path) -> None:
        monkeypatch.setattr(fonts, "_others", lambda: tuple(map(str, paths)))
        fonts._best.cache_clear()

    yield with_fonts
    fonts._best.cache_clear()


def drawn(*labels: str) -> np.ndarray:
    return np.asarray(viz.grid(SQUARES, alt=ALT, labels=labels).image)


@pytest.mark.parametrize("script", OTHER_SCRIPTS)
def test_letters_that_no_font_has_are_named_once(machine, script):
    machine()
    text = OTHER_SCRIPTS[script]
    with pytest.warns(UserWarning) as caught:
        viz.strip(SQUARES, [text, "smile"], [text], alt=ALT)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert all(f"{c} (U+{ord(c):04X})" in message for c in text)
    assert "Install one (on Debian: fonts-noto-core" in message
    assert "s (U+" not in message  # what DejaVu has is not complained about


def test_so_they_are_in_a_stamp(machine):
    machine()
    with pytest.warns(UserWarning, match=r"no font of this machine has .*無 \(U\+7121\)") as caught:
        viz.stamp(SQUARES, "無作為")
    assert [w.filename for w in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        viz.stamp(SQUARES, "random")  # control


@pytest.mark.parametrize(
    "text",
    ["smile", "α_t → η ≤ ½", "Ärger", "улыбка", "χαμόγελο", "ابتسامة", "two\nlines", "",
     "a\ufe0f\u200d"],
)  # fmt: skip
def test_what_dejavu_has_needs_no_other_font(machine, text):
    """Greek, Cyrillic and Arabic are in it; spaces and invisible signs need no glyph."""
    machine("/nowhere.ttf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn(text, "b")
    assert fonts.font(text, 13).path == str(OURS / "DejaVuSans.ttf")


def test_a_font_that_has_the_letters_is_taken(machine, monkeypatch):
    """With a first font that has no letters, DejaVu is the font found on the machine."""
    cmex = str(OURS / "cmex10.ttf")  # brackets of TeX
    monkeypatch.setattr(fonts, "_ours", lambda: cmex)
    machine(OURS / "cmsy10.ttf", "/nowhere.ttf", OURS / "DejaVuSans.ttf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = drawn("Lächeln", "улыбка")
    assert fonts.font("Lächeln", 13).path == str(OURS / "DejaVuSans.ttf")
    machine()
    with pytest.warns(UserWarning, match=r"no font of this machine has .*\(U\+0430\)"):  # control
        boxes = drawn("Lächeln", "улыбка")
    assert found.shape != boxes.shape or not np.array_equal(found, boxes)


def test_of_several_the_one_that_lacks_least(machine):
    machine(OURS / "cmex10.ttf")
    with pytest.warns(UserWarning, match=r"has 笑 \(U\+7B11\): labels"):
        drawn("a笑", "b")
    assert fonts.font("a笑", 13).path == str(OURS / "DejaVuSans.ttf")


def test_several_fonts_share_a_text(machine, monkeypatch):
    """A font of another script may lack letters and digits that DejaVu has; none is missing."""
    cmex, dejavu = str(OURS / "cmex10.ttf"), str(OURS / "DejaVuSans.ttf")  # brackets of TeX
    table = {cmex: frozenset("xy"), dejavu: frozenset("笑")}
    monkeypatch.setattr(fonts, "_lacking", lambda path, wanted: wanted & table[path])
    machine(cmex)
    parts = [(text, letters.path) for text, letters in fonts.pieces("笑x 笑\n+y", 13)]
    assert [text for text, _ in parts] == ["笑", "x ", "笑", "\n+y"]
    assert [path for _, path in parts] == [cmex, dejavu, cmex, dejavu]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mixed = viz.strip(SQUARES, ["笑x", "y\n笑"], ["x 笑"], alt=ALT).image
    widths = [letters.getlength(text) for text, letters in fonts.pieces("笑x", 13)]
    assert len(widths) == 2 and fonts.width_of("笑x", 13) == round(sum(widths))
    assert mixed.getchannel("A").crop((0, 0, mixed.width, 20)).getbbox()  # something is written


def test_several_fonts_share_a_stamp(machine):
    """DejaVu has ѡ, STIX the others: as boxes of one font, both texts would look the same."""
    machine(OURS / "STIXGeneral.ttf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stamps = [viz.stamp(SQUARES, f"ѡѡѡ{c}") for c in "⌓⌕"]
    assert len({font.path for _, font in fonts.pieces("ѡѡѡ⌓", 13)}) == 2
    assert not torch.equal(*stamps)


def test_where_one_font_will_do_pieces_are_whole(machine):
    machine()
    assert [text for text, _ in fonts.pieces("two words\nα", 13)] == ["two words\nα"]


@pytest.mark.parametrize("kind", ["\r\n", "\r", "\u2028", "\x0b"])
def test_any_line_break_is_one(kind):
    assert np.array_equal(drawn(f"a{kind}b", "c"), drawn("a\nb", "c"))
    assert not np.array_equal(drawn("a b", "c"), drawn("a\nb", "c"))  # control


@pytest.mark.parametrize("text", ["e\u0301", "a" + "\u0301" * 50, "\u202eab", "\0", "\ud800", "\t"])
def test_marks_and_signs_without_a_width(text):
    assert drawn(text, "b").shape[1] == drawn("a", "b").shape[1]


def test_a_label_of_a_page_is_refused():
    for where in ("labels", "col_labels"):
        with pytest.raises(ValueError, match=r"at most 200 characters, got 5000 in 'xxx.*caption"):
            viz.grid(SQUARES, alt=ALT, **{where: ["x" * 5000, "b"]})
    with pytest.raises(ValueError, match="at most 200 characters"):
        viz.slider(SQUARES[:, None], [0, 1], "x" * 5000, alt=ALT)
    drawn("x" * 200, "b")  # control


def test_damaged_fonts_are_passed_over(machine, tmp_path):
    (tmp_path / "damaged.ttf").write_bytes(b"\0\1\0\0 no font")
    machine(tmp_path / "damaged.ttf")
    with pytest.warns(UserWarning, match="no font of this machine"):
        drawn("笑", "b")


def test_many_missing_letters_are_cut_short(machine):
    machine()
    with pytest.warns(UserWarning, match=r"\(U\+4E09\), \.\.\.: labels"):
        drawn("".join(chr(0x4E00 + k) for k in range(30)), "b")


@pytest.mark.parametrize("script", OTHER_SCRIPTS)
def test_the_fonts_of_this_machine(script, monkeypatch):
    """Runs where such a font is installed: letters, different ones, and not cut off."""
    first, *_, last = OTHER_SCRIPTS[script]
    if fonts._best(OTHER_SCRIPTS[script])[1]:
        pytest.skip(f"no font with {script} here")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sheet = drawn(OTHER_SCRIPTS[script], OTHER_SCRIPTS[script])
    assert not sheet[-1, :, 3].any()  # nothing touches the lower end
    masks = [bytes(fonts.font(c, 24).getmask(c)) for c in (first, last)]
    assert masks[0] != masks[1]
    ours = fonts._opened(fonts._ours(), 24)  # control: there both are the same box
    assert len({bytes(ours.getmask(c)) for c in "微笑"}) == 1
