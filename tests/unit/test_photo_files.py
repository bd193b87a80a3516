"""Picture files of every mode, damaged ones, large ones, and eyes in the wrong place."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from hsem.photos import EYES_AT, read_photo

RAMP = np.linspace(0, 1, 32)[None].repeat(32, 0)  # from black to white, left to right


def ramp_of(image: Tensor) -> np.ndarray:
    """What of the ramp arrived, in [0, 1], from a picture read at 32 pixels."""
    return ((image.mean(dim=(0, 1)) + 1) / 2).numpy()


# ------------------------------------------------------------------------------- modes of pixels


@pytest.mark.parametrize(
    ("suffix", "kind"), [("png", "<u2"), ("tif", "<u2"), ("tif", ">u2"), ("pgm", "<u2")]
)
def test_sixteen_bits_of_grey_keep_their_range(tmp_path, suffix, kind):
    path = tmp_path / f"grey.{suffix}"
    values = (RAMP * 65535).astype(kind)
    if suffix == "pgm":
        path.write_bytes(b"P5 32 32 65535\n" + values.astype(">u2").tobytes())
    else:
        Image.fromarray(values).save(path)
    with Image.open(path) as file:
        assert file.mode[0] == "I"  # control: this is one of the modes that came out white
    np.testing.assert_allclose(ramp_of(read_photo(path, 32)), RAMP[0], atol=1 / 255)


@pytest.mark.parametrize(
    ("order", "photometric"),
    [("<", 0), ("<", 1), (">", 1)],  # Pillow does not read (">", 0): an OSError with its name
)
def test_sixteen_bits_that_count_from_white_to_black(tmp_path, order, photometric):
    """TIFF calls it WhiteIsZero; Pillow turns such pictures of 8 bits round, these it does not."""
    stored = RAMP if photometric else 1 - RAMP
    packed = (stored * 65535).astype(order + "u2").tobytes()
    tags = [(256, 32), (257, 32), (258, 16), (259, 1), (262, photometric),
            (273, 8 + 2 + 9 * 12 + 4), (277, 1), (278, 32), (279, len(packed))]  # fmt: skip
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags)
    path = tmp_path / "white.tif"
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags))
    path.write_bytes(head + entries + bytes(4) + packed)
    np.testing.assert_allclose(ramp_of(read_photo(path, 32)), RAMP[0], atol=1 / 255)


def test_sixteen_bits_of_which_one_value_is_transparent(tmp_path):
    path, ramp = tmp_path / "clear.png", (RAMP * 65535).astype("<u2")
    ramp[:, :16] = 7
    for clear in (None, 7):
        Image.fromarray(ramp).save(path, **({} if clear is None else {"transparency": clear}))
        left = read_photo(path, 32)[..., :15]
        assert left.min() > 0.99 if clear else left.max() < -0.99  # control: opaque, it is black
    assert read_photo(path, 32)[..., 17].max() < 0.2  # and the others stay what they were


def test_twelve_bits_in_a_tiff(tmp_path):
    """Two values in three bytes; Pillow cannot write such files, so here is one by hand."""
    values = (RAMP * 4095).astype(int).reshape(-1, 2)
    packed = bytearray()
    for a, b in values:
        packed += bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255])
    tags = [(256, 32), (257, 32), (258, 12), (259, 1), (262, 1), (273, 8 + 2 + 9 * 12 + 4),
            (277, 1), (278, 32), (279, len(packed))]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    path = tmp_path / "twelve.tif"
    path.write_bytes(
        b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + bytes(packed)
    )
    np.testing.assert_allclose(ramp_of(read_photo(path, 32)), RAMP[0], atol=2 / 255)


def test_sixteen_bits_of_colour(tmp_path):
    """PNG with 16-bit RGB, which Pillow reads with 8: the high byte first."""
    rgb = np.stack([RAMP, 0 * RAMP, 1 - RAMP], axis=-1)
    rows = b"".join(b"\0" + row.tobytes() for row in (rgb * 65535).astype(">u2"))
    path = tmp_path / "colour.png"
    path.write_bytes(png(32, 32, zlib.compress(rows), bits=16, colour=2))
    image = read_photo(path, 32)
    np.testing.assert_allclose(((image[0, 0] + 1) / 2).numpy(), RAMP[0], atol=1 / 255)
    assert image[1].max() == -1 and image[2, 0, 0] == 1


@pytest.mark.parametrize("mode", ["I", "F"])
def test_modes_without_a_known_range_are_refused(tmp_path, mode):
    path = tmp_path / "unknown.tif"
    Image.new(mode, (8, 8)).save(path)
    with pytest.raises(OSError, match=r"unknown\.tif.*save it with 8 or 16 bits"):
        read_photo(path)


def test_sixteen_bits_without_a_known_range_are_refused(tmp_path):
    """FITS counts from any zero, by keywords that Pillow passes over."""
    cards = ("SIMPLE  = T", "BITPIX  = 16", "NAXIS   = 2", "NAXIS1  = 8", "NAXIS2  = 8", "END")
    for bits in (8, 16):
        head = "".join(card.ljust(80) for card in cards).replace("= 16", f"= {bits}".ljust(4))
        (tmp_path / "sky.fits").write_bytes(head.ljust(2880).encode() + bytes(2880))
        if bits == 8:
            assert read_photo(tmp_path / "sky.fits", 8).max() == -1  # control
    with pytest.raises(
        OSError, match=r"sky\.fits.*in a FITS do not say.*save it with 8 or 16 bits"
    ):
        read_photo(tmp_path / "sky.fits")


@pytest.mark.parametrize(("sign", "fine"), [(1, True), (2, False)])
def test_eight_bits_with_a_sign_are_refused(tmp_path, sign, fine):
    path = tmp_path / "signed.tif"
    Image.fromarray(np.uint8(RAMP * 127)).save(path, tiffinfo={339: sign})
    with Image.open(path) as file:
        assert file.tag_v2[339] == (sign,) and file.mode == "L"
    if fine:  # control
        read_photo(path)
        return
    with pytest.raises(OSError, match=r"signed\.tif.*numbers of either sign.*save it with 8"):
        read_photo(path)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("1", "png"), ("L", "png"), ("P", "gif"), ("P", "png"), ("LA", "png"), ("RGB", "jpg"),
     ("RGBA", "png"), ("RGBA", "webp"), ("CMYK", "jpg"), ("CMYK", "tif"), ("YCbCr", "jpg"),
     ("RGB", "bmp"), ("RGB", "ppm"), ("RGB", "jp2")],
)  # fmt: skip
def test_other_modes_give_the_same_picture(tmp_path, mode, suffix):
    path = tmp_path / f"a.{suffix}"
    half = np.repeat((RAMP > 0.5)[..., None], 3, axis=-1) * np.uint8(255)
    Image.fromarray(half).convert(mode).save(path)
    image = read_photo(path, 32)
    assert image[..., :12].max() < -0.8 and image[..., 20:].min() > 0.8


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "RGB"])
def test_what_is_transparent_becomes_white(tmp_path, mode):
    """Black that is transparent on the left; the same black, opaque, on the right."""
    path = tmp_path / "clear.png"
    alpha = np.uint8((RAMP > 0.5) * 255)
    if mode == "P":
        picture = Image.fromarray(np.uint8(RAMP > 0.5), mode="L").convert("P")
        picture.putpalette([0, 0, 0] * 256)
        picture.save(path, transparency=0)
    elif mode == "RGB":  # one colour is said to be clear
        pixels = np.zeros((32, 32, 3), np.uint8)
        pixels[:, :16] = (1, 2, 3)
        Image.fromarray(pixels).save(path, transparency=(1, 2, 3))
    else:
        black = Image.new("RGB", (32, 32)).convert(mode)
        black.putalpha(Image.fromarray(alpha))
        black.save(path)
    image = read_photo(path, 32)
    assert image[..., :15].min() > 0.95 and image[..., 17:].max() < -0.95


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_of_an_animation_the_first_picture_is_taken(tmp_path, suffix):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("white", "black")]
    path = tmp_path / f"moving.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert read_photo(path, 8).min() > 0.9


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (2, 3)])
def test_tiny_and_thin_pictures(tmp_path, shape):
    Image.new("RGB", shape, "white").save(tmp_path / "thin.png")
    assert torch.equal(read_photo(tmp_path / "thin.png", 8), torch.ones(3, 8, 8))


# ---------------------------------------------------------------------------------- damaged files


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, packed: bytes, *, bits: int = 8, colour: int = 0) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def damaged(data: bytes, at: float) -> bytes:
    """Some bytes in the middle of a file turned over."""
    k = int(len(data) * at)
    return data[:k] + bytes(255 - b for b in data[k : k + 40]) + data[k + 40 :]


GOOD = png(32, 32, zlib.compress(b"".join(b"\0" + bytes(32) for _ in range(32))))
BAD_PICTURES: dict[str, bytes] = {
    "empty.png": b"",
    "text.jpg": b"This is no picture.\n" * 20,
    "page.png": b"<!DOCTYPE html><html><body>404</body></html>",
    "magic only.jpg": b"\xff\xd8\xff\xe0",
    "truncated.png": GOOD[:-40],
    "head only.png": GOOD[:33],
    "damaged.png": damaged(GOOD, 0.4),
    "wrong length.png": GOOD[:8] + b"\x7f" + GOOD[9:],
    "broken.ppm": b"P6 thirty 32 255\n" + bytes(100),
    "short.ppm": b"P6 32 32 255\n" + bytes(100),
    "zero.ppm": b"P6 0 0 255\n",
    "negative.bmp": b"BM" + struct.pack("<IHHIIiiHH", 60, 0, 0, 54, 40, -5, -5, 1, 24) + bytes(30),
    "cut.gif": b"GIF89a\x20\x00\x20\x00\xf7\x00",
    "cut.tif": b"II*\0\xff\xff\xff\x7f",
    "cut.webp": b"RIFF\x24\x00\x00\x00WEBPVP8 \x18\x00\x00\x00",
    "200 megapixels.png": png(20_000, 10_000, zlib.compress(bytes(10))),
    "pickle.png": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07builtin\x94.",
}


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_a_damaged_file_is_an_oserror_with_its_name(tmp_path, name):
    (tmp_path / name).write_bytes(BAD_PICTURES[name])
    with pytest.raises(OSError, match=f"cannot read a picture from .*{name}"):
        read_photo(tmp_path / name)


def test_a_program_in_place_of_a_picture_is_not_run(tmp_path, monkeypatch):
    """Pillow hands PostScript to Ghostscript, whatever the ending of the file's name."""
    run = []
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *a, **k: run.append(a))
    box = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
    (tmp_path / "a.png").write_bytes(box)
    with pytest.raises(OSError, match=r"a\.png.*PostScript is a program; save it as PNG"):
        read_photo(tmp_path / "a.png")
    assert not run
    with Image.open(tmp_path / "a.png") as file, pytest.raises(Exception):  # noqa: B017
        file.load()
    assert run  # control


@pytest.mark.parametrize("suffix", ["bmp", "ppm", "tif"])
def test_a_file_that_others_shorten_is_not_mapped(tmp_path, suffix, monkeypatch):
    """Of a name, Pillow maps plain pixels, and the process dies when the file gets shorter."""
    path = tmp_path / f"a.{suffix}"
    Image.new("L", (64, 64), 99).save(path)
    mapped = []
    real = Image.core.map_buffer
    monkeypatch.setattr("PIL.Image.core.map_buffer", lambda *a: mapped.append(a) or real(*a))
    read_photo(path, 8)
    assert not mapped
    Image.open(path).load()
    assert mapped or suffix == "bmp"  # control


@pytest.mark.parametrize("kind", [SyntaxError, struct.error, EOFError, KeyError, IndexError])
def test_so_it_is_whatever_the_decoder_raises(tmp_path, monkeypatch, kind):
    """Which error a broken chunk of PNG gives differs between versions of Pillow."""
    (tmp_path / "a.png").write_bytes(GOOD)

    def broken(self):
        raise kind("broken PNG file")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load_end", broken)
    with pytest.raises(OSError, match=rf"from .*a\.png' \({kind.__name__}: .*broken PNG file"):
        read_photo(tmp_path / "a.png")
    monkeypatch.undo()
    read_photo(tmp_path / "a.png")  # control


def test_so_are_files_that_are_not_there_and_folders(tmp_path):
    for path in (tmp_path / "missing.png", tmp_path):
        with pytest.raises(OSError, match=f"cannot read a picture from '{path}'"):
            read_photo(path)
    (tmp_path / "good.png").write_bytes(GOOD)
    assert read_photo(tmp_path / "good.png").shape == (3, 64, 64)  # control


def test_a_remedy_for_pictures_that_are_too_large(tmp_path):
    (tmp_path / "huge.png").write_bytes(BAD_PICTURES["200 megapixels.png"])
    with pytest.raises(OSError, match=r"shrink it first, or raise PIL\.Image.MAX_IMAGE_PIXELS"):
        read_photo(tmp_path / "huge.png")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp", "tif"])
def test_half_a_file(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"half.{suffix}"
    Image.fromarray(noise).save(path)
    read_photo(path)  # control: all of it can be read
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(OSError, match=f"cannot read a picture from .*half.{suffix}"):
        read_photo(path)


# ----------------------------------------------------------------------------------------- eyes


def photo(path: Path, eyes=((20, 30), (44, 34)), size=(70, 60)) -> Path:
    """Blue, with a red dot at the first and a green one at the second place."""
    pixels = np.full((size[1], size[0], 3), (0, 0, 255), dtype=np.uint8)
    for (x, y), colour in zip(eyes, ((255, 0, 0), (0, 255, 0)), strict=True):
        pixels[y - 2 : y + 2, x - 2 : x + 2] = colour
    Image.fromarray(pixels).save(path)
    return path


def centre(image: Tensor, channel: int) -> tuple[float, float]:
    """Of a colour, as fractions of the side."""
    weight, side = (image[channel] + 1) / 2, image.shape[1]
    along = (torch.arange(side) + 0.5) / side
    total = weight.sum()
    return float((weight.sum(0) * along).sum() / total), float(
        (weight.sum(1) * along).sum() / total
    )


def test_eyes_in_either_order_leave_the_face_upright(tmp_path):
    path = photo(tmp_path / "a.png")
    straight = read_photo(path, 64, eyes=((20, 30), (44, 34)))
    swapped = read_photo(path, 64, eyes=((44, 34), (20, 30)))
    assert torch.equal(straight, swapped)
    assert centre(swapped, 0) == pytest.approx(EYES_AT[0], abs=0.01)
    assert centre(swapped, 1) == pytest.approx(EYES_AT[1], abs=0.01)
    arrays = read_photo(path, 64, eyes=np.array([[44, 34], [20, 30]]), eyes_at=EYES_AT[::-1])
    assert torch.equal(straight, arrays)


def test_of_two_eyes_one_above_the_other_the_first_goes_to_the_left(tmp_path):
    path = photo(tmp_path / "a.png", ((30, 40), (30, 20)))
    image = read_photo(path, 64, eyes=((30, 40), (30, 20)))
    assert centre(image, 0)[0] < 0.4 and centre(image, 1)[0] > 0.6


@pytest.mark.parametrize("orientation", range(10))  # 0 and 9 mean nothing
def test_eyes_are_those_of_the_upright_picture(tmp_path, orientation):
    """The file is stored turned or mirrored; the eyes are given as a viewer shows them."""
    path = photo(tmp_path / "a.png")
    upright = Image.open(path)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "stored.png", exif=exif)
    eyes = ((20, 30), (44, 34))
    expected = read_photo(path, 64, eyes=eyes)
    image = read_photo(tmp_path / "stored.png", 64, eyes=eyes)
    assert torch.equal(image, expected)
    if orientation in undo:  # control: without its EXIF the file is another picture
        stored.save(tmp_path / "bare.png")
        eyes = tuple((min(x, stored.width), min(y, stored.height)) for x, y in eyes)
        assert not torch.equal(read_photo(tmp_path / "bare.png", 64, eyes=eyes), expected)


def exif(*tags: tuple[int, int, int, bytes]) -> bytes:
    """EXIF by hand: (tag, kind, count, four bytes)."""
    entries = b"".join(struct.pack("<HHI", *tag[:3]) + tag[3] for tag in tags)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


TURNED = (0x0112, 3, 1, struct.pack("<HH", 6, 0))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize(
    ("about", "turned"),
    [
        (exif(TURNED), True),  # control
        (exif((0x0100, 2, 4, b"ab\0\0"), TURNED), True),  # a width that is a text
        (exif((0x0100, 8, 1, struct.pack("<hh", -5, 0)), TURNED), True),  # or below zero
        (exif((0x0112, 2, 4, b"ab\0\0")), False),
        (b"Exif\0\0garbage, and no TIFF", False),
        (b"Exif\0\0II*\0" + b"\xff" * 20, False),
    ],
    ids=["good", "text", "negative", "orientation", "garbage", "cut"],
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_picture_is_read_whatever_its_metadata(tmp_path, suffix, about, turned):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.uint8(RAMP * 255)).convert("RGB").save(path, exif=about)
    ramp = read_photo(path, 32)
    along = ramp.mean(dim=(0, 2) if turned else (0, 1))
    np.testing.assert_allclose((along.numpy() + 1) / 2, RAMP[0], atol=0.03)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "eyes",
    [((NAN, 3), (9, 3)), ((3, 3), (INF, 3)), ((3, 3), (3, -INF)), ((-1, 3), (9, 3)),
     ((3, 3), (71, 3)), ((3, 3), (9, 61)), ((3, 3),), ((3, 3), (9, 3), (5, 5)), (3, 9),
     ((3, 3, 3), (9, 3, 3)), "no", (("a", "b"), ("c", "d")), ((10**400, 3), (9, 3))],
)  # fmt: skip
def test_eyes_that_are_no_two_places_in_the_picture(tmp_path, eyes):
    with pytest.raises(ValueError, match=r"eyes must be two points.*upright picture.*\(70, 60\)"):
        read_photo(photo(tmp_path / "a.png"), eyes=eyes)


@pytest.mark.parametrize("eyes", [((3, 3), (3, 3)), ((0.3, 0.5), (0.7, 0.5))])
def test_eyes_in_one_place_or_in_fractions(tmp_path, eyes):
    with pytest.raises(ValueError, match=r"eyes must be two different places.*in pixels"):
        read_photo(photo(tmp_path / "a.png"), eyes=eyes)


def test_places_and_sizes_that_cannot_be(tmp_path):
    path, eyes = photo(tmp_path / "a.png"), ((20, 30), (44, 34))
    for at in (((0.5, 0.5), (0.5, 0.5)), ((NAN, 0), (1, 1)), ((22, 28), (41, 28))):
        with pytest.raises(ValueError, match="eyes_at must be two"):
            read_photo(path, eyes=eyes, eyes_at=at)
    for size in (0, -3, 6.5, "64"):
        with pytest.raises((TypeError, ValueError), match="size must be"):
            read_photo(path, size)


# --------------------------------------------------------------------------------------- memory


def padded_first(picture: Image.Image, size: int, eyes) -> Tensor:
    """How it was done before: a broad edge around all of the file, then everything at once."""
    seen = [complex(*eye) for eye in eyes]
    wanted = [complex(*eye) * size for eye in EYES_AT]
    turn = (seen[1] - seen[0]) / (wanted[1] - wanted[0])
    fine = max(1, round(abs(turn)))
    turn, side = turn / fine, size * fine
    shift = seen[0] - turn * wanted[0] * fine
    edge = int(max(picture.size)) + side
    padded = np.pad(np.array(picture), ((edge, edge), (edge, edge), (0, 0)), mode="edge")
    matrix = (turn.real, -turn.imag, shift.real + edge, turn.imag, turn.real, shift.imag + edge)
    moved = Image.fromarray(padded).transform(
        (side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    pixels = np.array(moved.resize((size, size), Image.Resampling.BOX), dtype=np.float32)
    return torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1


@pytest.mark.parametrize(
    ("eyes", "size", "width", "tolerance"),
    [
        (((90, 80), (130, 84)), 32, 200, 1),  # the file is finer than the result
        (((90, 80), (93, 82)), 32, 200, 1),  # and coarser
        (((5, 4), (190, 20)), 64, 200, 1),  # much lies outside
        (((100, 140), (104, 10)), 64, 200, 1),  # on its side
        (((30, 70), (670, 75)), 16, 700, 2),  # so fine that it is shrunk first
    ],
)
def test_the_result_is_that_of_padding_first(tmp_path, eyes, size, width, tolerance):
    rough = np.random.default_rng(0).integers(0, 255, (15, 20, 3), dtype=np.uint8)
    picture = Image.fromarray(rough).resize((width, 150), Image.Resampling.BICUBIC)
    picture.save(tmp_path / "a.png")
    old = padded_first(picture, size, eyes)
    difference = read_photo(tmp_path / "a.png", size, eyes=eyes) - old
    assert difference.abs().max() * 127.5 < tolerance + 0.01
    moved = tuple((x, y + 4) for x, y in eyes)
    elsewhere = read_photo(tmp_path / "a.png", size, eyes=moved) - old
    assert elsewhere.abs().max() * 127.5 > 2 * tolerance  # control


PEAK = """
import resource, sys
from hsem.photos import read_photo
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read_photo(sys.argv[1], eyes=eval(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


W, H = 6000, 4000
LARGE = {  # a file, its mode, and the bytes a pixel that reading it may take
    "grey and wide.jpg": ("L", (10 * W, H // 10), 4),
    "colour.jpg": ("RGB", (W, H), 4),
    "of 48 megapixels.jpg": ("RGB", (2 * W, H), 4),
    "palette.png": ("P", (W, H), 5),
    "turned.jpg": ("RGB", (W, H), 8),
    "four inks.jpg": ("CMYK", (W, H), 8),
    "deep.png": ("I;16", (W, H), 8),
    "see-through.png": ("RGBA", (W, H), 9),
    "grey and see-through.png": ("LA", (W, H), 13),
}


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kB on Linux")
@pytest.mark.parametrize("name", LARGE)
def test_large_photos_take_memory_by_their_own_size_only(tmp_path, name):
    """24 megapixels took 5.9 GB and 48 took 10.8; of the picture itself, Pillow makes 4 bytes each.

    The eyes are as far apart as can be: then the result shows more than the file holds.
    """
    mode, (w, h), each = LARGE[name]
    turned = Image.Exif()
    turned[0x112] = 6 if name == "turned.jpg" else 1
    picture = Image.new("L" if mode == "P" else mode, (w, h), 128 if len(mode) < 2 else None)
    picture.convert(mode).save(tmp_path / name, exif=turned)
    if name == "turned.jpg":
        w, h = h, w
    eyes = f"((10, 10), ({w - 10}, {h - 10}))"
    command = [sys.executable, "-c", PEAK, str(tmp_path / name), eyes]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < each * w * h + 100e6


def test_a_result_beyond_all_models_is_refused_before_it_takes_memory(tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    for size in (4097, 10**6, 10**30):
        with pytest.raises(ValueError, match=r"size must be .* at most 4096, got .* Pillow"):
            read_photo(tmp_path / "a.png", size)
    assert read_photo(tmp_path / "a.png", 512).shape == (3, 512, 512)  # control
