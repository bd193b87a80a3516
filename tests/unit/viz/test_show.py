"""Pictures and sliders, without a browser (tests/browser moves them in one)."""

from __future__ import annotations

import base64
import html
import io
import re

import ipywidgets
import matplotlib.figure
import matplotlib.pyplot as plt
import matplotlib.text
import numpy as np
import pytest
import torch
from PIL import Image

from hsem import viz
from hsem.viz.picture import tick, ticks

# ipywidgets 7 has none; what is used instead is tested at the end
needs_stack = pytest.mark.skipif(not hasattr(ipywidgets, "Stack"), reason="needs ipywidgets 8")

ALT = "shades of grey, darker from left to right"


@pytest.fixture
def frames() -> torch.Tensor:
    """Five frames of two images, (5, 2, 3, 16, 16), all different."""
    shades = torch.linspace(-1, 1, 10).reshape(5, 2, 1, 1, 1)
    return shades.expand(5, 2, 3, 16, 16).clone()


def decoded(tag: str) -> np.ndarray:
    """The pixels in an <img> tag."""
    (data,) = re.findall(r'src="data:image/webp;base64,([^"]+)"', tag)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)


def alt_of(tag: str) -> str:
    (alt,) = re.findall(r'alt="([^"]*)"', tag)
    return html.unescape(alt)


def walk(widget: ipywidgets.Widget) -> list[ipywidgets.Widget]:
    return [widget, *(w for child in getattr(widget, "children", ()) for w in walk(child))]


def of_type(film: ipywidgets.Widget, kind: type) -> list:
    return [w for w in walk(film) if type(w) is kind]


# -- bytes ---------------------------------------------------------------------------------------


def test_to_uint8_at_the_ends_the_middle_and_beyond() -> None:
    x = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0]).expand(3, 1, 5)
    assert viz.to_uint8(x)[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_to_uint8_undoes_the_usual_scaling_of_bytes() -> None:
    original = np.arange(256, dtype=np.uint8).reshape(1, 16, 16).repeat(3, axis=0)
    x = torch.from_numpy(original).float() / 127.5 - 1
    assert np.array_equal(viz.to_uint8(x), np.moveaxis(original, 0, -1))
    assert np.array_equal(viz.to_uint8(original), np.moveaxis(original, 0, -1))  # bytes pass


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_to_uint8_takes_every_float_grey_and_gradients(dtype: torch.dtype) -> None:
    x = torch.zeros(2, 1, 4, 4, dtype=dtype, requires_grad=True)
    assert viz.to_uint8(x).shape == (2, 4, 4, 3)


def test_to_uint8_refuses_channels_last_and_nan() -> None:
    with pytest.raises(ValueError, match=r"shape \(\.\.\., 3, H, W\).*got \(2, 8, 8, 3\)"):
        viz.to_uint8(torch.zeros(2, 8, 8, 3))
    with pytest.raises(ValueError, match="finite"):
        viz.to_uint8(torch.full((3, 4, 4), float("nan")))


def test_ticks_read_well() -> None:
    assert ticks(np.linspace(-0.3, 0.3, 3)) == ["\N{MINUS SIGN}0.3", "0", "+0.3"]
    assert ticks([0, 500, 999]) == ["0", "500", "999"]
    assert ticks(["a", 1]) == ["a", "1"]
    assert tick(-1e-9) == "0"  # not "-0"
    assert ticks(["-5 γ", "0", "+5 γ", "seed 0-7"]) == ["−5 γ", "0", "+5 γ", "seed 0-7"]


# -- still pictures ------------------------------------------------------------------------------


def test_grid_puts_each_image_in_its_place() -> None:
    x = torch.linspace(-1, 1, 6).reshape(6, 1, 1, 1).expand(6, 3, 8, 8)
    picture = viz.grid(x, alt=ALT, cols=3)
    pixels = np.asarray(picture.image.convert("RGB"))
    centres = pixels[4::10, 4::10, 0]  # images of 8 pixels with gaps of 2
    assert np.array_equal(centres.ravel(), viz.to_uint8(x)[:, 0, 0, 0])


def test_labels_add_ink_where_they_belong() -> None:
    x = torch.ones(4, 3, 64, 64)
    plain = viz.grid(x, alt=ALT, cols=2)
    labelled = viz.grid(x, alt=ALT, cols=2, labels=range(4))
    above = viz.strip(x.reshape(2, 2, 3, 64, 64), ["α", "β"], ["swapped", "original"], alt=ALT)
    assert plain.image.size == (130, 130)
    assert labelled.image.width == 2 * plain.image.width  # letters need pixels
    assert labelled.image.height > 2 * plain.image.height
    assert above.image.width > labelled.image.width
    ink = np.asarray(above.image)
    assert ((ink[..., 3] > 0) & (ink[..., 0] < 200)).any()
    # negative control: without labels nothing but white images and transparent gaps
    bare = np.asarray(plain.image)
    assert not ((bare[..., 3] > 0) & (bare[..., 0] < 200)).any()


def letters(picture: viz.Picture, cells: int, side: int) -> np.ndarray:
    """The ink above the pictures, whether there is any in each row of pixels."""
    ink = np.asarray(picture.image)
    return (ink[: picture.image.height - cells * side, :, 3] > 128).any(axis=1)


def test_a_label_wider_than_its_picture_goes_on_in_a_second_line_as_large_as_ever() -> None:
    x = torch.ones(1, 3, 3, 64, 64)
    short = viz.strip(x, ["⊥ hat", "", ""], alt=ALT)
    long = viz.strip(x, ["⊥ gender, hat, glasses", "", ""], alt=ALT)
    lines = []
    for picture in (short, long):
        rows = letters(picture, 1, 128).astype(int)
        starts = np.flatnonzero(np.diff(rows, prepend=0) == 1)
        ends = np.flatnonzero(np.diff(rows, append=0) == -1)
        lines.append([int(b - a + 1) for a, b in zip(starts, ends, strict=True)])
    assert len(lines[0]) == 1 and len(lines[1]) == 2
    assert min(lines[1]) >= min(lines[0]) - 2


def test_names_of_rows_leave_the_page_to_the_pictures() -> None:
    x = torch.ones(2, 5, 3, 64, 64)
    name = "glasses and a hat, projected from what they share with age and gender"
    picture = viz.strip(x, row_labels=[name, "plain"], alt=ALT)
    bare = viz.strip(x, alt=ALT)
    assert picture.width - bare.width < 190  # CSS pixels
    alone = viz.strip(x, row_labels=["x" * 30, "plain"], alt=ALT)  # a word is not broken
    assert alone.width - bare.width > 190


def test_small_images_are_shown_enlarged_and_large_ones_are_not() -> None:
    assert viz.grid(torch.zeros(1, 3, 64, 64), alt=ALT).width == 128
    assert viz.grid(torch.zeros(1, 3, 256, 256), alt=ALT).width == 256
    assert viz.grid(torch.zeros(1, 3, 64, 64), alt=ALT, scale=4).width == 256
    assert "pixelated" in viz.grid(torch.zeros(1, 1, 8, 8), alt=ALT, crisp=True)._repr_html_()
    assert "pixelated" not in viz.grid(torch.zeros(1, 1, 8, 8), alt=ALT)._repr_html_()


def test_a_picture_carries_text_html_and_a_fallback() -> None:
    picture = viz.grid(torch.zeros(1, 3, 8, 8), alt='he said "<hi>"', caption="a < b")
    bundle = picture._repr_mimebundle_()
    assert bundle["text/plain"] == 'he said "<hi>"'
    assert alt_of(bundle["text/html"]) == 'he said "<hi>"'
    assert "<figcaption>a &lt; b</figcaption>" in bundle["text/html"]
    fallback = Image.open(io.BytesIO(base64.b64decode(bundle["image/jpeg"])))
    assert fallback.size == (8, 8)


def test_figure_takes_matplotlib_and_closes_it() -> None:
    fig, axes = plt.subplots(figsize=(2, 1))
    axes.plot([0, 1])
    picture = viz.figure(fig, alt="a rising line from 0 to 1")
    assert not plt.fignum_exists(fig.number)
    assert "image/png" in picture._repr_mimebundle_()  # thin lines: without loss
    assert picture.image.width == pytest.approx(2 * picture.width, abs=1)
    drawn = viz.figure(matplotlib.figure.Figure(figsize=(1, 1)), alt="an empty drawing")
    assert drawn.image.width > 0


def test_texts_of_a_figure_have_minus_signs() -> None:
    drawing, axes = plt.subplots()
    axes.plot([0, 1], label="γ = -1")
    axes.set(title="from -0.5 to +0.0, seeds 0-7", xticks=[0, 1], xticklabels=["-5", "-0"])
    axes.legend()
    axes.text(0, 0, "$-3$")
    viz.figure(drawing, alt="a line from the lower left to the upper right")
    texts = {t.get_text() for t in drawing.findobj(matplotlib.text.Text)}
    assert {"from −0.5 to 0.0, seeds 0-7", "γ = −1", "−5", "0", "$−3$"} <= texts
    assert not {"-5", "γ = -1"} & texts


@pytest.mark.parametrize("alt", ["", "   ", "face", None])
def test_a_text_that_says_nothing_is_refused(alt: str | None) -> None:
    with pytest.raises(ValueError, match="alt must be a sentence"):
        viz.grid(torch.zeros(1, 3, 8, 8), alt=alt)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="alt must be a sentence"):
        viz.slider(torch.zeros(2, 3, 8, 8), [0, 1], "x", alt=alt)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="alt must be a sentence"):
        viz.figure(Image.new("RGB", (4, 4)), alt=alt)  # type: ignore[arg-type]


def test_bad_shapes_and_counts_are_named() -> None:
    x = torch.zeros(4, 3, 8, 8)
    with pytest.raises(TypeError, match="alt"):
        viz.grid(x)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="labels must hold 4 texts, got 3"):
        viz.grid(x, alt=ALT, labels="abc")
    with pytest.raises(ValueError, match="images must have 4 axes"):
        viz.grid(x[0], alt=ALT)
    with pytest.raises(ValueError, match="not be empty"):
        viz.grid(x[:0], alt=ALT)
    with pytest.raises(ValueError, match="scale must be positive"):
        viz.grid(x, alt=ALT, scale=0)
    with pytest.raises(ValueError, match=r"frames must be \(5,\)"):
        viz.slider(x, range(5), "x", alt=ALT)
    with pytest.raises(ValueError, match=r"frames must be \(2, 3\)"):
        viz.board(torch.zeros(2, 2, 1, 3, 8, 8), [range(2), range(3)], ["a", "b"], alt=ALT)
    with pytest.raises(ValueError, match="one label each"):
        viz.board(torch.zeros(2, 3, 1, 3, 8, 8), [range(2), range(3)], ["a"], alt=ALT)
    with pytest.raises(ValueError, match="start"):
        viz.slider(x, range(4), "x", alt=ALT, start=4)


# -- sliders with a Stack (ipywidgets 8) ---------------------------------------------------------


@needs_stack
def test_slider_links_its_index_to_a_stack_of_all_frames(
    frames: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = []
    monkeypatch.setattr(ipywidgets, "jslink", lambda *ends: links.append(ends))
    film = viz.slider(frames, np.linspace(-1, 1, 5), "darkness", alt=ALT)
    (slider,) = of_type(film, ipywidgets.SelectionSlider)
    (stack,) = of_type(film, ipywidgets.Stack)
    assert slider.options == ("\N{MINUS SIGN}1", "\N{MINUS SIGN}0.5", "0", "+0.5", "+1")
    assert slider.index == stack.selected_index == 2  # zero first
    assert links == [((slider, "index"), (stack, "selected_index"))]
    for i, child in enumerate(stack.children):
        shown, wanted = decoded(child.value), viz.to_uint8(frames[i])
        assert abs(shown[8, 8] - wanted[0, 8, 8]).max() <= 3  # WebP loses little
        assert abs(shown[8, 26] - wanted[1, 8, 8]).max() <= 3
        assert alt_of(child.value) == f"{ALT}; darkness {slider.options[i]}"


@needs_stack
def test_board_nests_stacks_in_the_order_of_its_sliders() -> None:
    values = [range(2), range(3), range(4)]
    shades = torch.linspace(-1, 1, 24).reshape(2, 3, 4, 1, 1, 1, 1)
    cube = shades.expand(2, 3, 4, 1, 3, 8, 8)
    film = viz.board(cube, values, ["a", "b", "c"], alt=ALT, start=(1, 2, 3))
    top = film.children[3]
    for i in range(2):
        for j in range(3):
            for k in range(4):
                leaf = top.children[i].children[j].children[k]
                assert alt_of(leaf.value) == f"{ALT}; a {i}, b {j}, c {k}"
                wanted = viz.to_uint8(cube[i, j, k])[0, 4, 4]
                assert abs(decoded(leaf.value)[4, 4] - wanted).max() <= 3
    assert [s.index for s in film.children[:3]] == [1, 2, 3]
    assert top.selected_index == 1


@needs_stack
def test_a_viewer_without_widgets_gets_a_contact_sheet(frames: torch.Tensor) -> None:
    film = viz.slider(frames, range(5), "darkness", alt=ALT)
    bundle = film._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"].startswith(ALT)
    assert "text/html" not in bundle
    still = Image.open(io.BytesIO(base64.b64decode(bundle["image/jpeg"])))
    assert still.height > 5 * 16  # all five frames, one below the other
    board = viz.board(frames[:4].reshape(2, 2, 2, 3, 16, 16), [(0, 1)] * 2, "ab", alt=ALT)
    assert board.contact_sheet.image.height < still.height


@needs_stack
def test_page_weight_stays_small() -> None:
    """Three sliders of 11 frames of eight portraits of 64 pixels: under half a megabyte."""
    generator = torch.Generator().manual_seed(0)
    rough = torch.randn(11, 8, 3, 8, 8, generator=generator).reshape(88, 3, 8, 8) / 3
    smooth = torch.nn.functional.interpolate(rough, 64, mode="bicubic").reshape(11, 8, 3, 64, 64)
    film = viz.slider(smooth, range(11), "x", alt=ALT)
    assert 3 * sum(len(w.value) for w in of_type(film, ipywidgets.HTML)) < 500_000


# -- live, and ipywidgets 7 ----------------------------------------------------------------------


def test_live_slider_computes_on_release() -> None:
    asked = []

    def shade(value: float) -> torch.Tensor:
        asked.append(value)
        return torch.full((1, 3, 8, 8), value)

    frames, values = torch.zeros(3, 1, 3, 8, 8), [-1.0, 0.0, 1.0]
    film = viz.slider(frames, values, "shade", alt=ALT, live=shade)
    assert asked == []
    (live,) = of_type(film, ipywidgets.FloatSlider)
    assert not live.continuous_update
    assert (live.min, live.max) == (-1, 1)
    live.value = 0.5
    assert asked == [0.5]
    shown = of_type(film, ipywidgets.HTML)[-1]
    assert abs(decoded(shown.value)[4, 4] - 191).max() <= 3
    assert alt_of(shown.value) == f"{ALT}; shade 0.5"


def test_live_slider_tells_what_went_wrong() -> None:
    def fails(value: float) -> torch.Tensor:
        raise RuntimeError("out of <memory>")

    film = viz.slider(torch.zeros(2, 3, 8, 8), [0, 1], "x", alt=ALT, live=fails)
    (live,) = of_type(film, ipywidgets.FloatSlider)
    with pytest.raises(RuntimeError):
        live.value = 1
    assert "RuntimeError: out of &lt;memory&gt;" in of_type(film, ipywidgets.HTML)[-1].value


@needs_stack
def test_without_stack_python_swaps_the_frame(
    frames: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ipywidgets 7, which Colab has, knows no Stack."""
    with_stack = viz.slider(frames, range(5), "x", alt=ALT)
    wanted = [w.value for w in of_type(with_stack, ipywidgets.Stack)[0].children]
    monkeypatch.delattr(ipywidgets, "Stack")
    film = viz.slider(frames, range(5), "x", alt=ALT)
    (slider,) = of_type(film, ipywidgets.SelectionSlider)
    (shown,) = of_type(film, ipywidgets.HTML)
    assert shown.value == wanted[0]
    for i in (3, 1, 4):
        slider.index = i
        assert shown.value == wanted[i]

    board = viz.board(frames[:4].reshape(2, 2, 2, 3, 16, 16), [(0, 1)] * 2, "ab", alt=ALT)
    first, second = of_type(board, ipywidgets.SelectionSlider)
    (shown,) = of_type(board, ipywidgets.HTML)
    first.index, second.index = 1, 0
    assert alt_of(shown.value) == f"{ALT}; a 1, b 0"


# -- names of rows, columns, figures -------------------------------------------------------------


def test_a_slider_names_its_rows_and_columns(frames: torch.Tensor) -> None:
    if not hasattr(ipywidgets, "Stack"):
        pytest.skip("needs ipywidgets 8")
    film = viz.slider(
        frames, range(5), "x", alt=ALT, cols=1, row_labels=["a < b", 2], col_labels=[7]
    )
    text = of_type(film, ipywidgets.HTML)[0].value
    assert [text.index(f"<span>{t}</span>") for t in ("7", "a &lt; b", "2")] == sorted(
        text.index(f"<span>{t}</span>") for t in ("7", "a &lt; b", "2")
    )
    assert "<img" in text and "hsem-labelled" in text
    plain = viz.slider(frames, range(5), "x", alt=ALT, cols=1)
    assert "hsem-labelled" not in of_type(plain, ipywidgets.HTML)[0].value
    with pytest.raises(ValueError, match="col_labels must hold 1 texts, got 2"):
        viz.slider(frames, range(5), "x", alt=ALT, cols=1, col_labels=[1, 2])


def test_a_picture_with_a_name_says_so_to_the_book(frames: torch.Tensor) -> None:
    kind = "application/vnd.hsem.numbered+json"
    named = {"alt": ALT, "name": "fig-x", "caption": "Five shades"}
    said = {"kind": "figure", "name": "fig-x", "caption": "Five shades"}
    assert viz.grid(frames[0], **named)._repr_mimebundle_()[kind] == said
    assert viz.strip(frames[0], **named)._repr_mimebundle_()[kind] == said
    assert viz.figure(Image.new("RGB", (9, 9)), **named)._repr_mimebundle_()[kind] == said
    if hasattr(ipywidgets, "Stack"):
        bundle = viz.slider(frames, range(5), "x", **named)._repr_mimebundle_()
        assert (bundle[0] if isinstance(bundle, tuple) else bundle)[kind] == said
    assert kind not in viz.grid(frames[0], alt=ALT)._repr_mimebundle_()
    with pytest.raises(ValueError, match="needs a caption"):
        viz.grid(frames[0], alt=ALT, name="fig-x")._repr_mimebundle_()
