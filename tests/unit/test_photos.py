"""Pictures from files: cropping, alignment at the eyes, and folders of expressions."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hsem.photos import EYES_AT, ExpressionPictures, read_expressions, read_photo
from hsem.supervised.examples import expression_pairs


def draw(path: Path, size=(90, 60), dots=(), ground=(0, 0, 255)) -> Path:
    """A picture with red dots of 7 x 7 pixels, at (x, y)."""
    pixels = np.full((size[1], size[0], 3), ground, dtype=np.uint8)
    for x, y in dots:
        pixels[y - 3 : y + 4, x - 3 : x + 4] = (255, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def dots_of(image: torch.Tensor) -> list[tuple[float, float]]:
    """Centres of red in the left and in the right half, as fractions of the side."""
    weight = (image[0] + 1) / 2
    ys, xs = torch.meshgrid(*(torch.arange(s) + 0.5 for s in weight.shape), indexing="ij")
    side, out = weight.shape[1], []
    for half in (xs < side / 2, xs >= side / 2):
        w = weight * half
        out.append((float((w * xs).sum() / w.sum() / side), float((w * ys).sum() / w.sum() / side)))
    return out


def test_the_square_in_the_middle(tmp_path):
    image = read_photo(draw(tmp_path / "a.png", dots=[(45, 30)]), 30)
    assert image.shape == (3, 30, 30) and image.min() >= -1 and image.max() <= 1
    assert image[0, 15, 15] > 0.9 and image[2, 15, 15] < -0.9  # the dot was in the middle
    assert image[2, 0, 0] > 0.9  # the ground
    at_the_edge = read_photo(draw(tmp_path / "b.png", dots=[(5, 30)]), 30)
    assert at_the_edge[0].max() < -0.9  # outside the square: cropped away


@pytest.mark.parametrize("eyes", [((30, 30), (60, 30)), ((35, 40), (50, 20)), ((20, 15), (27, 22))])
def test_eyes_come_to_lie_where_they_should(tmp_path, eyes):
    path = draw(tmp_path / "a.png", dots=eyes)
    seen = dots_of(read_photo(path, 64, eyes=tuple((x + 0.5, y + 0.5) for x, y in eyes)))
    for (x, y), (at_x, at_y) in zip(seen, EYES_AT, strict=True):
        assert abs(x - at_x) < 0.02 and abs(y - at_y) < 0.02
    unaligned = dots_of(read_photo(path, 64))
    assert max(abs(y - 0.45) for _, y in unaligned) > 0.04  # control


def test_large_photos_are_shrunk_without_dots(tmp_path):
    """A fine checkerboard must become grey, not a pattern."""
    board = np.indices((600, 600)).sum(0)[..., None].repeat(3, 2) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "board.png")
    for eyes in (None, ((250.5, 280.3), (350.1, 276.9))):
        image = read_photo(tmp_path / "board.png", 32, eyes=eyes)
        assert image.abs().max() < 0.15


def test_outside_the_file_its_edge_goes_on(tmp_path):
    image = read_photo(draw(tmp_path / "a.png"), 32, eyes=((10.0, 5.0), (80.0, 5.0)))
    assert image[2].min() > 0.99 and image[0].max() < -0.99  # blue up to the corners, no black


def test_transparency_and_orientation(tmp_path):
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert read_photo(tmp_path / "clear.png", 8).min() > 0.99
    picture = Image.new("RGB", (40, 40), "black")
    picture.paste("white", (0, 0, 40, 20))  # bright above
    exif = picture.getexif()
    exif[0x0112] = 3  # "upside down": shown turned by half a turn
    picture.save(tmp_path / "turned.png", exif=exif)
    image = read_photo(tmp_path / "turned.png", 8)
    assert image[:, 0].max() < -0.9 and image[:, -1].min() > 0.9


# ---------------------------------------------------------------------------------- expressions


def test_a_folder_named_like_bu3dfe(tmp_path):
    for name in ("F0001_NE00WH", "F0001_HA01WH", "F0001_HA04WH", "M0007_SU02BL", "M0007_NE00BL"):
        draw(tmp_path / name[:5] / f"{name}_F2D.bmp")
    draw(tmp_path / "F0001" / "F0001_HA04WH_F3D.bmp")  # the texture, not the frontal view
    (tmp_path / "readme.txt").write_text("x")
    data = read_expressions(tmp_path, size=16)
    assert data.images.shape == (5, 3, 16, 16)
    assert data.subject == ("F0001",) * 3 + ("M0007",) * 2
    assert data.expression == ("happy", "happy", "neutral", "neutral", "surprised")
    assert data.intensity == (1.0, 4.0, 0.0, 0.0, 2.0)
    positive, negative = expression_pairs(data, "happy")
    assert positive.tolist() == [1] and negative.tolist() == [2]  # the most intense one


def test_plain_folders_and_a_reader_of_ones_own(tmp_path):
    for name in ("anna/happy/0.5.png", "anna/neutral/0.png", "ben/happy/1.png"):
        draw(tmp_path / name)
    data = read_expressions(tmp_path, layout="folders", read=lambda path: torch.ones(3, 4, 4))
    assert data.subject == ("anna", "anna", "ben") and data.intensity == (0.5, 0.0, 1.0)
    assert data.images.shape == (3, 3, 4, 4)
    own = read_expressions(
        tmp_path, layout=r"(?P<subject>\w)\w*/(?P<expression>\w+)/(?P<intensity>\d)"
    )
    assert own.subject == ("a", "a", "b")


def test_folders_that_do_not_fit(tmp_path):
    draw(tmp_path / "anna" / "smiling.png")
    with pytest.raises(ValueError, match=r"none of the 1 files.*such as anna/smiling.png.*bu3dfe"):
        read_expressions(tmp_path)
    with pytest.raises(ValueError, match=r"x\)' lacks \['expression', 'intensity'\]"):
        read_expressions(tmp_path, layout="(?P<subject>x)")


def test_pairs_are_the_same_person_at_full_intensity():
    data = ExpressionPictures(
        torch.zeros(7, 3, 2, 2),
        ("a", "b", "a", "a", "c", "b", "d"),
        ("sad", "sad", "neutral", "sad", "sad", "neutral", "neutral"),
        (0.2, 0.9, 0.0, 0.7, 1.0, 0.0, 0.0),
    )
    positive, negative = expression_pairs(data, "sad")
    assert positive.tolist() == [3, 1] and negative.tolist() == [2, 5]  # c and d have no partner
    arrays = data._replace(subject=np.array(data.subject), intensity=torch.tensor(data.intensity))
    assert expression_pairs(arrays, "sad")[0].tolist() == [3, 1]
    with pytest.raises(ValueError, match="no expression 'happy'; there are neutral, sad"):
        expression_pairs(data, "happy")
    lonely = data._replace(subject=tuple("abcdefg"))
    with pytest.raises(ValueError, match="nobody shows both 'sad' and 'neutral'"):
        expression_pairs(lonely, "sad")


# -------------------------------------------------------------------------- folders as they are


PERSON = ("anna/happy/1.png", "anna/neutral/0.png")


@pytest.fixture
def folder(tmp_path):
    for name in PERSON:
        draw(tmp_path / name)
    return tmp_path


def names_read(folder, **options) -> list[str]:
    seen = []

    def read(path):
        seen.append(path.relative_to(folder).as_posix())
        return read_photo(path, 8)

    read_expressions(folder, layout="folders", read=read, **options)
    return seen


@pytest.mark.parametrize(
    "name",
    ["anna/happy/._1.png", "._anna/happy/1.png", "__MACOSX/anna/happy/1.png",
     ".trash/anna/sad/1.png", "@eaDir/anna/sad/1.png", "$RECYCLE.BIN/S-1/anna/sad/1.png",
     "lost+found/anna/sad/1.png", "#recycle/anna/sad/1.png",
     "anna/happy/.DS_Store", "anna/happy/Thumbs.db", "anna/happy/desktop.ini", "anna/notes.txt"],
)  # fmt: skip
def test_what_systems_put_beside_pictures_is_passed_over(folder, name, recwarn):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"\0\5\x16\7 not a picture")
    (folder / "ben" / "sad").mkdir(parents=True)  # an empty folder
    assert sorted(names_read(folder)) == sorted(PERSON)
    assert not recwarn.list


def test_folders_that_may_not_be_read(folder, monkeypatch):
    """Those of systems are passed over unseen, others are named; here root may read them all."""
    for name in ("lost+found", ".Trashes", "ben"):
        (folder / name).mkdir()
    listed = Path.iterdir

    def iterdir(path):
        if path.name in ("lost+found", ".Trashes", "ben"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.warns(UserWarning, match=r"left out 1 of 3 .*ben \(Permission denied\)$"):
        assert sorted(names_read(folder)) == sorted(PERSON)
    with pytest.raises(PermissionError):
        read_expressions(folder / "ben")


def test_companions_of_macos_beside_bu3dfe(tmp_path, recwarn):
    draw(tmp_path / "F0001_HA01WH_F2D.bmp")
    (tmp_path / "._F0001_HA01WH_F2D.bmp").write_bytes(b"\0\5\x16\7")
    draw(tmp_path / "__MACOSX" / "F0001_SA01WH_F2D.bmp")  # even if it is a picture
    assert read_expressions(tmp_path).expression == ("happy",)
    assert not recwarn.list


def test_what_cannot_be_read_is_left_out_with_one_warning(folder):
    (folder / "anna/happy/2.png").write_bytes(b"damaged")
    (folder / "anna/happy/3.txt").write_text("how happy she is")
    (folder / "anna/happy/4.png").write_bytes(b"")
    with pytest.warns(UserWarning) as caught:
        data = read_expressions(folder, layout="folders", size=8)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith(f"left out 3 of 5 files in {str(folder)!r}: anna/happy/2.png (cannot")
    assert all(f"anna/happy/{name} (" in message for name in ("3.txt", "4.png"))
    assert data.subject == ("anna", "anna") and len(data.images) == 2
    draw(folder / "anna/happy/2.png")  # control: what is no longer damaged is read
    with pytest.warns(UserWarning, match="left out 2 of 5"):
        assert len(read_expressions(folder, layout="folders", size=8).images) == 3


@pytest.mark.parametrize(
    "copy",
    ["Copy of F0001_HA01WH_F2D.bmp", "Copy of Copy of F0001_HA01WH_F2D.bmp",
     "Copy of folder/F0001_HA01WH_F2D.bmp", "folder (1)/F0001_HA01WH_F2D.bmp"],
)  # fmt: skip
def test_copies_are_not_counted(tmp_path, copy):
    original = "folder/F0001_HA01WH_F2D.bmp" if "/" in copy else "F0001_HA01WH_F2D.bmp"
    draw(tmp_path / copy)
    assert len(read_expressions(tmp_path, size=8).images) == 1  # alone it is the picture there is
    draw(tmp_path / original)
    with pytest.warns(UserWarning, match=r"left out 1 of 2.*\(a copy\)"):
        assert len(read_expressions(tmp_path, size=8).images) == 1


@pytest.mark.parametrize(
    "copy",
    ["Kopie von F0001_HA01WH_F2D.bmp", "Copie de F0001_HA01WH_F2D.bmp",
     "Copy (2) of F0001_HA01WH_F2D.bmp", "backup/F0001_HA01WH_F2D.bmp"],
)  # fmt: skip
def test_copies_in_other_languages_and_places_are_told_by_what_they_hold(tmp_path, copy, recwarn):
    draw(tmp_path / "F0001_HA01WH_F2D.bmp")
    draw(tmp_path / copy, dots=[(45, 30)])
    assert len(read_expressions(tmp_path, size=8).images) == 2 and not recwarn.list  # control
    draw(tmp_path / copy)
    with pytest.warns(UserWarning, match=r"left out 1 of 2.*\(a copy of .*F0001_HA01WH_F2D.bmp\)"):
        assert len(read_expressions(tmp_path, size=8).images) == 1


def test_two_people_in_equal_pictures_are_two_people(tmp_path, recwarn):
    for name in ("F0001_HA01WH_F2D.bmp", "F0002_HA01WH_F2D.bmp"):
        draw(tmp_path / name)
    assert len(read_expressions(tmp_path, size=8).images) == 2 and not recwarn.list


@pytest.mark.parametrize(
    "found", [None, np.zeros((3, 4, 4)), torch.zeros(4, 4), torch.zeros(1, 4, 4)]
)
def test_what_ones_own_reader_must_return(folder, found):
    with pytest.raises(
        TypeError, match=r"read must return a torch tensor \(3, size, size\), got .*png"
    ):
        read_expressions(folder, layout="folders", read=lambda path: found)


LOOSE = r"(?P<subject>\w+)-(?P<expression>[a-z]+)-(?P<intensity>\d)"


@pytest.mark.parametrize("mark", [" (1)", " copy", " copy 2", " - Copy", " - Copy (2)"])
def test_copies_under_a_layout_of_ones_own(tmp_path, mark):
    draw(tmp_path / "anna-happy-1.png")
    draw(tmp_path / f"anna-happy-1{mark}.png")
    with pytest.warns(UserWarning, match=r"left out 1 of 2.*\(a copy\)"):
        assert read_expressions(tmp_path, layout=LOOSE, size=8).subject == ("anna",)


def test_numbers_in_brackets_alone_are_no_copies(tmp_path, recwarn):
    """Windows numbers a series like that: there is no picture without a number."""
    for k in (1, 2):
        draw(tmp_path / f"anna-happy-1 ({k}).png", dots=[(20 * k, 30)])
    assert len(read_expressions(tmp_path, layout=LOOSE, size=8).images) == 2
    assert not recwarn.list


def test_upper_case_suffixes_count(tmp_path, recwarn):
    draw(tmp_path / "F0001_HA01WH_F2D.BMP")
    draw(tmp_path / "ANNA" / "HAPPY" / "1.PNG")
    assert read_expressions(tmp_path, size=8).subject == ("F0001",)
    assert read_expressions(tmp_path, layout="folders", size=8).subject == ("ANNA",)
    assert not recwarn.list


def test_links_to_folders_are_followed_and_loops_are_not(tmp_path, recwarn):
    """People on another disk; and a link from a folder to the one above, or to each other."""
    disk, data = tmp_path / "disk" / "anna" / "happy", tmp_path / "data"
    disk.mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(disk / "1.png")
    data.mkdir()
    (data / "anna").symlink_to(tmp_path / "disk" / "anna")
    (data / "gone").symlink_to(tmp_path / "nowhere")
    (disk / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (disk / "back").symlink_to(data)
    (data / "again").symlink_to(data)
    found = read_expressions(data, layout="folders", size=4)
    assert (found.subject, found.expression, found.intensity) == (("anna",), ("happy",), (1.0,))
    assert not recwarn.list
    os.mkfifo(disk / "2.png")  # nothing to wait for
    assert len(read_expressions(data, layout="folders", size=4).subject) == 1
    (disk / "3.png").write_bytes(b"")  # control: an empty file is named
    with pytest.warns(UserWarning, match=r"left out 1 of 2 files .*anna/happy/3\.png"):
        read_expressions(data, layout="folders", size=4)


def test_folders_and_layouts_that_cannot_be(folder):
    for path in (folder / "nowhere", folder / PERSON[0]):
        with pytest.raises(OSError, match=f"folder must be one that exists, got '{path}'"):
            read_expressions(path)
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="none of the 0 files"):
        read_expressions(folder / "empty")
    with pytest.raises(ValueError, match="is no regular expression"):
        read_expressions(folder, layout="(?P<subject>x")
    words = r"(?P<subject>\w+)/(?P<expression>\w+)/(?P<intensity>.+)"
    with pytest.raises(ValueError, match=r"intensity must be a number.*'1.png' in 'anna/happy/1"):
        read_expressions(folder, layout=words)
    optional, seen = r"(?P<subject>\w+)/(?P<expression>\w+)/(?P<intensity>\d+x)?", []
    with pytest.raises(ValueError, match=r"must be a number.* finds None in 'anna/happy/1"):
        read_expressions(
            folder, layout=optional, read=lambda path: seen.append(path) or read_photo(path, 4)
        )
    assert len(seen) == 1  # at the first of two pictures
    sizes = iter((4, 5))
    with pytest.raises(ValueError, match=r"one shape, got \(3, 4, 4\) and then \(3, 5, 5\)"):
        read_expressions(folder, layout="folders", read=lambda path: read_photo(path, next(sizes)))
    for name in PERSON:
        (folder / name).write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"none of the 2 pictures in .* can be read: anna/happy"):
        read_expressions(folder, layout="folders")


def test_other_errors_of_ones_own_reader_are_passed_on(folder):
    def read(path):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read_expressions(folder, layout="folders", read=read)
