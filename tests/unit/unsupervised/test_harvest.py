"""Sampling streamed into a PCA: the same as doing it in two steps; a harvest can go on."""

import pytest
import torch

import hsem
from hsem.judges.scorers import from_function
from hsem.unsupervised.harvest import harvest
from hsem.unsupervised.pca import HSpacePCA

SETTINGS = {"steps": 3, "batch_size": 4, "progress": False}
RESULTS = ("components_", "explained_variance_", "mean_", "scores_", "seeds_", "attributes_")


@pytest.fixture(scope="module")
def tiny() -> hsem.HSpaceUNet:
    return hsem.tiny_unet(0)


def brightness(images: torch.Tensor) -> torch.Tensor:
    return images.mean(dim=(2, 3))


class Killed(Exception):
    pass


def dies_in_batch(number: int):
    calls = []

    def scorer(images: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == number:
            raise Killed
        return brightness(images)

    return scorer


def assert_identical(a: HSpacePCA, b: HSpacePCA) -> None:
    for name in RESULTS:
        assert torch.equal(getattr(a, name), getattr(b, name)), name


def test_harvest_is_sampling_and_fitting(tiny):
    got = harvest(tiny, range(10), pca=HSpacePCA(3), scorer=brightness, **SETTINGS)
    samples = hsem.sample(tiny, range(10), steps=3, batch_size=4, progress=False)
    expected = HSpacePCA(3).fit(samples.h_seq, batch_size=4)
    assert torch.equal(got.components_, expected.components_)
    assert torch.equal(got.scores_, expected.scores_)
    torch.testing.assert_close(got.attributes_, brightness(samples.images))
    assert got.seeds_.tolist() == list(range(10))
    assert got.timesteps_ == samples.schedule.timesteps
    direction = got.direction(0)
    direction.check_model(tiny)
    assert direction.timesteps == samples.schedule.timesteps
    assert direction.provenance["eta"] == 1.0 and direction.provenance["model"] == tiny.name
    other = harvest(tiny, range(10, 20), pca=HSpacePCA(3), **SETTINGS)
    assert not torch.equal(got.components_, other.components_) and other.attributes_ is None


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_an_interrupted_harvest_ends_as_if_uninterrupted(tiny, tmp_path, batch):
    straight = harvest(tiny, range(10), pca=HSpacePCA(3), scorer=brightness, **SETTINGS)
    settings = {**SETTINGS, "checkpoint": tmp_path / "checkpoint"}
    with pytest.raises(Killed):
        harvest(tiny, range(10), pca=HSpacePCA(3), scorer=dies_in_batch(batch), **settings)
    assert (tmp_path / "checkpoint").exists() == (batch > 1)
    seen = []
    resumed = harvest(
        tiny,
        range(10),
        pca=HSpacePCA(3),
        scorer=lambda images: [seen.append(len(images)), brightness(images)][1],
        **settings,
    )
    assert_identical(resumed, straight)
    again = batch > 1  # the first sample, to know the scorer
    assert sum(seen) == again + 10 - 4 * (batch - 1)  # and no other work was done twice
    assert_identical(
        harvest(tiny, range(10), pca=HSpacePCA(3), scorer=dies_in_batch(2), **settings), straight
    )  # complete: nothing left to do


def test_more_seeds_can_be_added(tiny, tmp_path):
    settings = {**SETTINGS, "checkpoint": tmp_path / "checkpoint"}
    harvest(tiny, range(8), pca=HSpacePCA(3), scorer=brightness, **settings)
    grown = harvest(tiny, range(10), pca=HSpacePCA(3), scorer=brightness, **settings)
    straight = harvest(tiny, range(10), pca=HSpacePCA(3), scorer=brightness, **SETTINGS)
    assert_identical(grown, straight)
    with pytest.raises(ValueError, match="last batch, which was cut short"):
        harvest(tiny, range(12), pca=HSpacePCA(3), scorer=brightness, **settings)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"pca": HSpacePCA(2)}, "settings of the PCA"),
        ({"eta": 0.0}, "model, eta or batch_size"),
        ({"batch_size": 2}, "model, eta or batch_size"),
        ({"steps": 4}, "timesteps"),
        ({"seeds": range(1, 9)}, "seeds"),
        ({"scorer": brightness}, "scorer"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(tiny, tmp_path, change, name):
    settings = {"pca": HSpacePCA(3), "checkpoint": tmp_path / "checkpoint", **SETTINGS}
    harvest(tiny, range(8), **settings)
    settings |= {"pca": HSpacePCA(3), **change}
    with pytest.raises(ValueError, match=f"does not belong to this harvest.*{name}"):
        harvest(tiny, settings.pop("seeds", range(8)), **settings)
    other = hsem.tiny_unet(1)
    with pytest.raises(ValueError, match="model, eta"):
        harvest(other, range(8), pca=HSpacePCA(3), checkpoint=tmp_path / "checkpoint", **SETTINGS)


@pytest.mark.parametrize("n", [8, 12])
@pytest.mark.parametrize(
    ("other", "name"),
    [
        (lambda images: -100 * images.mean(dim=(2, 3)), "scores of the first seed"),
        (lambda images: images.mean(dim=(1, 2, 3))[:, None], "scores of the first seed"),
        (from_function(brightness, ["r", "g", "b"], "another name"), "differs in scorer;"),
    ],
)
def test_a_checkpoint_of_another_scorer_is_refused(tiny, tmp_path, n, other, name):
    """The scores of two would stand below each other as one table."""
    settings = {"checkpoint": tmp_path / "checkpoint", **SETTINGS}
    first = harvest(tiny, range(8), pca=HSpacePCA(3), scorer=brightness, **settings)
    assert first.provenance_["scorer"] == "function"
    with pytest.raises(ValueError, match=name):
        harvest(tiny, range(n), pca=HSpacePCA(3), scorer=other, **settings)
    same = harvest(tiny, range(n), pca=HSpacePCA(3), scorer=lambda x: brightness(x), **settings)
    assert len(same.attributes_) == n  # control


def test_a_checkpoint_of_an_older_version_names_no_scorer(tiny, tmp_path):
    settings = {"checkpoint": tmp_path / "checkpoint", **SETTINGS}
    old = harvest(tiny, range(8), pca=HSpacePCA(3), scorer=brightness, **settings)
    del old.provenance_["scorer"]
    old.save(settings["checkpoint"])
    assert len(harvest(tiny, range(9), pca=HSpacePCA(3), scorer=brightness, **settings).seeds_) == 9


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.mean((1, 2, 3)), r"\(4, a\), got \(4,\); a single attribute is a column"),
        (lambda x: x.mean(3), r"\(4, a\), got \(4, 3, 16\)"),
        (lambda x: x.mean(), r"\(4, a\), got \(\)"),
        (lambda x: torch.log(brightness(x) * 0), r"infinite scores for \[0, 1, 2\]"),
    ],
)
def test_scores_that_no_checkpoint_could_keep_are_refused_at_once(
    tiny, tmp_path, function, message
):
    settings = {"checkpoint": tmp_path / "checkpoint", **SETTINGS}
    with pytest.raises(ValueError, match=message):
        harvest(tiny, range(8), pca=HSpacePCA(2), scorer=function, **settings)
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.bfloat16, torch.float64])
def test_scores_of_any_kind_go_on(tiny, tmp_path, dtype):
    def scorer(images):
        return (100 * brightness(images)).to(dtype)

    settings = {"checkpoint": tmp_path / "checkpoint", **SETTINGS}
    harvest(tiny, range(4), pca=HSpacePCA(2), scorer=scorer, **settings)
    grown = harvest(tiny, range(8), pca=HSpacePCA(2), scorer=scorer, **settings)
    assert grown.attributes_.dtype == dtype and len(grown.attributes_) == 8
    with pytest.raises(ValueError, match="scores of the first seed"):  # control
        harvest(tiny, range(8), pca=HSpacePCA(2), scorer=lambda x: ~scorer(x).bool(), **settings)


def test_a_fitted_pca_is_refused(tiny):
    pca = harvest(tiny, range(4), pca=HSpacePCA(2), **SETTINGS)
    with pytest.raises(ValueError, match="already seen 4 samples"):
        harvest(tiny, range(4), pca=pca, **SETTINGS)
