"""Shapes against geometry and other programs; measures of place against brute force."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.path import Path as Outline
from PIL import Image

import hsem
from hsem import masks

EYES = {"left_eye": (2, 3), "right_eye": (2, 9), "mouth": (9, 6)}


# -------------------------------------------------------------------------------------- shapes


def test_rectangle_in_fractions():
    mask = masks.rectangle((8, 16), 0.25, 0.5, 0.75, 1.0)
    expected = torch.zeros(8, 16)
    expected[4:8, 4:12] = 1
    assert torch.equal(mask, expected)
    assert masks.rectangle(64, 0.25, 0.5, 0.75, 1.0).mean() == mask.mean()  # any resolution


@pytest.mark.parametrize(
    "size",
    [8, (8, 8), (3, 8, 8), SimpleNamespace(image_shape=(3, 8, 8)), np.int64(8), torch.tensor(8),
     np.array([8, 8])],
)  # fmt: skip
def test_sizes(size):
    assert masks.ellipse(size, 0.5, 0.5, 0.2).shape == (8, 8)
    assert masks.from_array(np.ones((4, 4)), size).shape == (8, 8)


def test_ellipse_area_axes_and_turn():
    flat = masks.ellipse(200, 0.5, 0.4, 0.3, 0.1)
    assert float(flat.mean()) == pytest.approx(math.pi * 0.3 * 0.1, rel=5e-3)
    rows, columns = flat.nonzero().float().mean(dim=0) + 0.5
    assert float(rows) / 200 == pytest.approx(0.4, abs=1e-3)
    assert float(columns) / 200 == pytest.approx(0.5, abs=1e-3)
    upright = masks.ellipse(200, 0.5, 0.4, 0.3, 0.1, angle=90)
    assert torch.equal(upright, masks.ellipse(200, 0.5, 0.4, 0.1, 0.3))
    assert not torch.equal(upright, flat)
    tilted = masks.ellipse(200, 0.5, 0.5, 0.3, 0.1, angle=45)  # clockwise on the screen
    assert tilted[130, 130] == 1 and tilted[70, 130] == 0


def test_polygon_agrees_with_matplotlib():
    g = np.random.default_rng(0)
    angles = np.sort(g.uniform(0, 2 * np.pi, 9))
    radii = g.uniform(0.1, 0.45, 9)
    points = np.stack([0.5 + radii * np.cos(angles), 0.5 + radii * np.sin(angles)], axis=1)
    centres = (np.arange(50) + 0.5) / 50
    grid = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
    expected = Outline(points).contains_points(grid).reshape(50, 50)
    assert np.array_equal(masks.polygon(50, points.tolist()).numpy(), expected)
    assert 0 < expected.sum() < 2500


def test_polygon_of_a_box_is_the_box_and_a_star_has_a_hole():
    box = [(0.2, 0.1), (0.8, 0.1), (0.8, 0.6), (0.2, 0.6)]
    assert torch.equal(masks.polygon(32, box), masks.rectangle(32, 0.2, 0.1, 0.8, 0.6))
    corners = [
        (0.5 + 0.4 * math.sin(a), 0.5 - 0.4 * math.cos(a)) for a in np.arange(5) * 4 * np.pi / 5
    ]
    star = masks.polygon(64, corners)
    assert star[32, 32] == 0 and star[12, 32] == 1


@pytest.mark.parametrize("kind", ["bool", "ones", "bytes", "one channel"])
def test_from_array(kind):
    inside = np.zeros((4, 6), dtype=bool)
    inside[1:3, 2:5] = True
    array = {
        "bool": inside,
        "ones": inside.astype(float),
        "bytes": inside.astype(np.uint8) * 255,
        "one channel": torch.from_numpy(inside)[None],
    }[kind]
    mask = masks.from_array(array)
    assert mask.dtype == torch.float32 and np.array_equal(mask.numpy(), inside)
    twice = masks.from_array(array, (8, 12))
    assert np.array_equal(twice.numpy(), inside.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: masks.rectangle(8, 30, 20, 50, 40), "fractions of the image"),
        (lambda: masks.ellipse(8, 0.5, 0.5, 0.001), "holds no pixel"),
        (lambda: masks.ellipse(8, 0.5, 0.5, -1), "must be positive"),
        (lambda: masks.polygon(8, [(0, 0), (1, 1)]), "at least three points"),
        (lambda: masks.from_array(np.zeros((4, 4))), "holds no pixel"),
        (lambda: masks.from_array(np.zeros(4)), r"array must be \(H, W\)"),
        (lambda: masks.from_array(-np.ones((4, 4))), "not negative"),
    ],
)
def test_errors_of_shapes(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ------------------------------------------------------------------------------------- regions


@pytest.fixture(params=[np.uint8, np.float16])
def table(request, tmp_path, monkeypatch):
    """A small table of regions in the format of the package's own."""
    shares = np.zeros((3, 12, 12))
    for share, (row, column) in zip(shares, EYES.values(), strict=True):
        share[row, column], share[row, column + 1] = 0.9, 0.3
    stored = (shares * 255).round() if request.param == np.uint8 else shares
    path = tmp_path / "regions.npz"
    np.savez(path, names=np.array(list(EYES)), shares=stored.astype(request.param))
    monkeypatch.setattr(masks, "REGIONS", path)


def test_named_regions(table):
    assert masks.region_names() == tuple(EYES)
    mouth = masks.region("mouth")
    assert mouth.sum() == 1 and mouth[9, 6] == 1
    assert masks.region("mouth", threshold=0.2).sum() == 2
    assert masks.region("mouth", 24).sum() == 4
    assert not torch.equal(mouth, masks.region("left_eye"))


def test_errors_of_regions(table, monkeypatch, tmp_path):
    with pytest.raises(ValueError, match=r"no region is called 'nose'.*left_eye, right_eye, mouth"):
        masks.region("nose")
    with pytest.raises(ValueError, match=r"more than 95%.*the most is 90%.*smaller threshold"):
        masks.region("mouth", threshold=0.95)
    with pytest.raises(ValueError, match="threshold must be"):
        masks.region("mouth", threshold=1.5)
    monkeypatch.setattr(masks, "REGIONS", tmp_path / "absent.npz")
    with pytest.raises(FileNotFoundError, match=r"table of face regions.*ellipse or polygon"):
        masks.region("mouth")


# ------------------------------------------------------------------------------------ measures


def test_share_inside():
    change = torch.zeros(2, 3, 4, 4)
    change[0, 0, 1, 1], change[0, 2, 3, 3] = 3.0, -4.0  # 9 inside, 16 outside
    change[1] = 1.0
    mask = torch.zeros(4, 4)
    mask[:2, :2] = 1
    torch.testing.assert_close(
        masks.share_inside(change, mask), torch.tensor([9 / 25, 0.25], dtype=torch.float64)
    )
    both = masks.share_inside(change, mask) + masks.share_inside(change, 1 - mask)
    torch.testing.assert_close(both, torch.ones(2, dtype=torch.float64))


def brute_force(energy: torch.Tensor, share: float) -> int:
    """Area in pixels of the smallest box, by looking at every box."""
    height, width = energy.shape
    return min(
        (bottom - top) * (right - left)
        for top in range(height)
        for bottom in range(top + 1, height + 1)
        for left in range(width)
        for right in range(left + 1, width + 1)
        if energy[top:bottom, left:right].sum() >= share * energy.sum() * (1 - 1e-12)
    )


@pytest.mark.parametrize("share", [0.3, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_smallest_box_against_all_boxes(seed, share):
    g = torch.Generator().manual_seed(seed)
    change = torch.randn(3, 7, 9, generator=g) * torch.rand(7, 9, generator=g) ** 4
    energy = change.double().square().sum(0)
    box = masks.smallest_box(change, share)
    inside = energy[box.top : box.bottom, box.left : box.right]
    assert inside.numel() == brute_force(energy, share) == round(box.area * 63)
    assert inside.sum() >= share * energy.sum() * (1 - 1e-9)


def test_smallest_box_finds_a_planted_one_and_tells_local_from_global():
    change = torch.zeros(3, 64, 64)
    change[:, 40:46, 20:30] = 1.0
    box = masks.smallest_box(change, 1.0)
    assert (box.top, box.bottom, box.left, box.right) == (40, 46, 20, 30)
    assert box.area == pytest.approx(60 / 4096)
    even = masks.smallest_box(torch.ones(3, 64, 64))
    assert even.area == pytest.approx(0.9, abs=0.01)


def test_errors_of_measures():
    change, mask = torch.ones(3, 4, 4), torch.ones(4, 4)
    for wrong, message in [
        (torch.ones(5, 5), r"\(H, W\) = \(4, 4\).*from_array"),
        (mask * 0.5, "only zeros and ones"),
        (mask * 0, "empty"),
    ]:
        with pytest.raises(ValueError, match=message):
            masks.share_inside(change, wrong)
    with pytest.raises(ValueError, match="zero everywhere"):
        masks.share_inside(change * 0, mask)
    with pytest.raises(ValueError, match=r"change must be \(\.\.\., 3, H, W\)"):
        masks.share_inside(change[0], mask)
    with pytest.raises(ValueError, match="share must be"):
        masks.smallest_box(change, 0)
    with pytest.raises(ValueError, match="one image"):
        masks.smallest_box(change[None])


def test_masks_of_images_are_accepted_with_leading_ones():
    assert masks.checked_mask(torch.ones(1, 1, 4, 4, dtype=torch.bool), (4, 4)).shape == (4, 4)


def upside_down(mask):
    """A picture whose table of colours holds white (here 1) before black."""
    picture = Image.new("P", tuple(mask.shape[::-1]))
    picture.putdata((1 - mask.flatten()).int().tolist())
    picture.putpalette([1, 1, 1, 0, 0, 0])
    return picture


GIVEN = {
    "tensor": lambda m: m,
    "booleans": lambda m: m.bool(),
    "numpy": lambda m: m.numpy(),
    "whole numbers": lambda m: m.to(torch.uint8).numpy(),
    "list": lambda m: m.tolist(),
    "picture": lambda m: Image.fromarray(m.to(torch.uint8).numpy()),
    "palette": lambda m: upside_down(m),
    "palette with alpha": lambda m: upside_down(m).convert("PA"),
    "channel last": lambda m: m[..., None],
    "channel first": lambda m: m[None].numpy(),
}


@pytest.fixture(scope="module")
def made():
    model = hsem.tiny_unet(0)
    return model, hsem.sample(model, [1], steps=3, progress=False)


def ways(made, mask, small):
    """What takes a mask: over the image three times, over h once."""
    model, samples = made
    direction = hsem.Direction(samples.h_seq[0], samples.schedule.timesteps)
    return {
        "array": lambda: masks.from_array(mask),
        "share": lambda: masks.share_inside(samples.images[0], mask),
        "jacobian": lambda: (
            hsem.image_directions(model, samples, step=1, k=1, tol=0.3, mask=mask).share
        ),
        "edit": lambda: (
            hsem.sample(
                model,
                [1],
                steps=3,
                edit=hsem.masked(hsem.add(direction, 0.3), small),
                progress=False,
            ).images
        ),
    }


@pytest.mark.parametrize("kind", GIVEN)
def test_any_array_is_a_mask(made, kind):
    mask, small = masks.rectangle(16, 0, 0, 0.5, 1), masks.rectangle(4, 0, 0, 0.5, 1)
    given = ways(made, GIVEN[kind](mask), GIVEN["tensor" if "last" in kind else kind](small))
    for name, expected in ways(made, mask, small).items():
        assert torch.equal(given[name](), expected()), name
    assert float(ways(made, 1 - mask, small)["share"]()) != float(given["share"]())  # control


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda side: torch.full((side, side), float("nan")), "finite and not negative"),
        (lambda side: torch.full((side, side), -1.0), "finite and not negative"),
        (lambda side: np.zeros((0, side)), "must hold pixels"),
        (lambda side: "mask.png", "must be an array of numbers, got 'mask.png'"),
        (lambda side: None, "must be an array of numbers|finite"),
    ],
)
def test_what_is_no_mask_anywhere(made, bad, message):
    for name, way in ways(made, bad(16), bad(4)).items():
        if bad(16) is None and name == "jacobian":
            continue  # None is no mask there, which is allowed
        with pytest.raises(ValueError, match=message):
            way()


def test_masks_of_255_and_in_colour_say_what_helps(made):
    whole = torch.full((16, 16), 255, dtype=torch.uint8)
    for name, way in ways(made, whole, whole[:4, :4]).items():
        if name == "array":
            assert torch.equal(way(), torch.ones(16, 16))  # control: the remedy
            continue
        with pytest.raises(ValueError, match=r"masks.from_array\(mask\) makes"):
            way()
    colour = np.ones((16, 16, 3))
    for name, way in ways(made, colour, whole[:4, :4]).items():
        if name != "edit":
            with pytest.raises(ValueError, match=r"colour picture.*convert\(\"L\"\)"):
                way()
    soft = torch.full((4, 4), 0.5)
    ways(made, whole / 255, soft)["edit"]()  # control: h may be mixed by half


@pytest.mark.parametrize("shape", [(8, 8, 3), (3, 8, 8), (8, 8, 4), (8, 8, 2)])
def test_a_colour_picture_is_no_mask_and_the_remedy_is_told(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"colour picture.*convert\(\"L\"\)"):
        masks.from_array(np.ones(shape))
