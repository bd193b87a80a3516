"""Judges, pictures and regions go by the model: packaged for portraits, CLIP for photographs."""

from __future__ import annotations

import pytest
import torch

import hsem
from hsem import masks, results
from hsem.judges import classifier, photographs
from hsem.recipes import command, reference
from hsem.recipes.parts import Parts
from tests import random_models

pytest.importorskip("transformers", reason="the optional package of hsem[hub]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def photos(folder) -> hsem.HSpaceUNet:
    return hsem.load(random_models.celebahq(folder / "random-celebahq", size=32), device="cpu")


@pytest.fixture
def clip(folder, monkeypatch, tmp_path):
    path = folder / "clip"
    if not path.is_dir():
        random_models.clip(path)
    monkeypatch.setenv("HSEM_CLIP", str(path))
    monkeypatch.setenv("HSEM_CACHE", str(folder / "cache"))
    return path


def test_portraits_have_the_packaged_judges_and_renders() -> None:
    model = hsem.load()
    first, second = hsem.judges_of(model)
    assert isinstance(first, classifier.PortraitClassifier) and first.kind == "plain"
    assert second.kind == "residual"
    assert hsem.pictures_of(model).names == hsem.datasets.portraits().names
    assert torch.equal(hsem.region_of(model, "mouth"), masks.region("mouth"))
    assert hsem.judges_of(hsem.load("portraits-64-obeys"))[1].kind == "residual"


def test_photographs_are_read_by_clip_in_two_wordings(photos, clip) -> None:
    first, second = hsem.judges_of(photos)
    assert isinstance(first, photographs.PhotographJudge)
    packaged = classifier.load().names
    assert first.names == second.names and set(first.names) == set(packaged)
    images = hsem.pictures_of(photos).images
    assert images.shape == (64, 3, 32, 32)
    a, b = first(images), second(images)
    assert a.shape == (64, len(packaged)) and bool(torch.isfinite(a).all())
    assert not torch.allclose(a[:, 3:], b[:, 3:])  # another wording, another score
    # the unit is the deviation over these pictures, computed here by hand
    torch.testing.assert_close(first.spread, a.double().std(0).float(), rtol=1e-3, atol=1e-5)
    assert torch.equal(first.raw(images[:2]), first(images[:2]))
    unit = first.statistics(images[:3]).norm(dim=1)
    torch.testing.assert_close(unit.cpu(), torch.ones(3), rtol=1e-4, atol=1e-4)


def test_own_samples_are_drawn_once(photos, clip, monkeypatch) -> None:
    once = reference.own_samples(photos)
    monkeypatch.setattr(reference, "sample", None)  # a second draw would fail
    assert torch.equal(reference.own_samples(photos), once)
    ours = hsem.sample(photos, reference.SEEDS[:1], steps=20, eta=0.0, progress=False).images
    torch.testing.assert_close(once[:1], ours.clamp(-1, 1), atol=2e-3, rtol=0)


def test_without_clip_the_error_says_where_to_put_it(photos, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HSEM_CLIP", str(tmp_path / "nothing"))
    monkeypatch.setenv("HSEM_CACHE", str(tmp_path))
    with pytest.raises(OSError, match="nothing"):
        photographs.load()


def test_parts_of_the_face_for_photographs(photos) -> None:
    middle = {}
    for name in masks.region_names():
        mask = hsem.region_of(photos, name)
        assert mask.shape == (32, 32) and 0 < float(mask.mean()) < 0.9
        middle[name] = mask.nonzero().float().mean(0)
    assert middle["brows"][0] < middle["eyes"][0] < middle["nose"][0] < middle["mouth"][0]
    assert middle["left_eye"][1] < middle["right_eye"][1]
    both = torch.maximum(hsem.region_of(photos, "face"), hsem.region_of(photos, "hair"))
    assert float((both * hsem.region_of(photos, "background")).sum()) == 0
    with pytest.raises(ValueError, match="no region is called 'ear'"):
        hsem.region_of(photos, "ear")


# ------------------------------------------------------------------------- results of any model


def test_packaged_results_are_loaded() -> None:
    model = hsem.load()
    assert results.load_or_make("named", model).provenance["n"] == 1600
    half = results.load_or_make("table_one-half", model)
    assert half.provenance["scale"] == 0.5


def test_results_of_another_model_are_computed_once(photos, clip, monkeypatch) -> None:
    before = {k: v.clone() for k, v in photos.unet.state_dict().items()}
    found = results.load_or_make("swap", photos, n=2)
    assert found["ordinary"].shape[:2] == (6, 2)
    assert found.provenance["fingerprint"] == photos.fingerprint
    assert photos.dtype == torch.float32  # as it was given, whatever the recipe computes in
    for key, value in photos.unet.state_dict().items():
        assert torch.equal(value, before[key])
    stored = results.cache() / "results" / photos.fingerprint / "swap.safetensors"
    assert stored.is_file() and not results.path_of("swap").samefile(stored)
    recipe, _ = command.find("swap")
    monkeypatch.setattr(recipe, "fill", None)  # computing again would fail
    assert torch.equal(results.load_or_make("swap", photos)["ordinary"], found["ordinary"])
    assert torch.equal(results.load_or_make("swap", photos, n=2)["ordinary"], found["ordinary"])
    with pytest.raises(TypeError):  # other sizes are computed
        results.load_or_make("swap", photos, n=3)


def test_a_bar_that_draws_itself_leaves_h_alone(photos, monkeypatch) -> None:
    """Then tqdm's `update` returns True, and what a forward hook returns replaces the output."""
    bars = []

    class Drawing(results.tqdm):
        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, **kwargs)
            bars.append(self)
            self.seen = 0

        def update(self, n=1):
            self.seen += n
            return True

    monkeypatch.setattr(results, "tqdm", Drawing)
    x = torch.zeros(3, *photos.image_shape)
    expected = photos.eps(x, 500)
    with results._counted(photos, "some", 3):
        assert torch.equal(photos.eps(x, 500), expected)
    assert bars[0].seen == 3


def test_unknown_recipes_and_sizes(photos, clip) -> None:
    with pytest.raises(ValueError, match="no recipe for 'nothing'"):
        results.load_or_make("nothing", photos)
    with pytest.raises(ValueError, match="no recipe for 'parts'"):
        results.load_or_make("parts", photos)
    with pytest.raises(ValueError, match="not \\['sizes'\\]"):
        results.load_or_make("swap", photos, sizes=3)


def test_every_recipe_estimates_its_runs(photos, clip, monkeypatch) -> None:
    """The estimate is what the progress bar ends at: within a third for sizes of a first look."""
    recipe, args = command.find("swap")
    vars(args).update(recipe.SMALL | {"n": 2, "output": str(results.cache() / "x.safetensors")})
    count = 0

    def watch(_, given, __):
        nonlocal count
        count += len(given[0])

    hsem.judges_of(photos)
    hook = photos.unet.mid_block.register_forward_hook(watch)
    recipe.fill(args, photos)
    hook.remove()
    assert 0.75 < count / recipe.runs(args) < 1.33


def test_the_command_of_a_result_makes_it_again() -> None:
    recipe, args = command.find("named-obeys")
    said = command.said("named", args)
    assert "-m hsem.recipes.named --model portraits-64-obeys" in said and "--n 800" in said
    words = said.split()[3:]
    assert vars(recipe.parser().parse_args(words)) == vars(args)
    recipe, plain = command.find("named")
    assert command.said("named", plain) == "python -m hsem.recipes.named"


def test_parts_follow_the_cache(photos, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HSEM_CACHE", str(tmp_path))
    parts = Parts("x", photos)
    parts("one", lambda: torch.ones(1))
    assert list((tmp_path / "parts").glob("x-*/one.safetensors"))
