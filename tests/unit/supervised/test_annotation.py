"""Annotating samples: the table, its file, and going on after an interruption."""

import json
import warnings

import numpy as np
import pytest
import torch

import hsem
from hsem.judges.scorers import from_function
from hsem.supervised.annotation import Annotation, annotate, check_model, score_samples

SEEDS = range(10)
SETTINGS = {"steps": 3, "batch_size": 4, "progress": False}


def boxes(images: torch.Tensor) -> torch.Tensor:
    """Brightness of the upper and of the lower half."""
    return torch.stack([images[:, :, :8].mean((1, 2, 3)), images[:, :, 8:].mean((1, 2, 3))], dim=1)


SCORER = from_function(boxes, ["upper", "lower"], "boxes")


@pytest.fixture(scope="module")
def model():
    return hsem.tiny_unet(0)


@pytest.fixture(scope="module")
def table(model):
    return annotate(model, SCORER, SEEDS, **SETTINGS)


def test_the_scores_are_those_of_the_samples(model, table):
    images = hsem.sample(model, SEEDS, steps=3, progress=False).images.clamp(-1, 1)
    torch.testing.assert_close(table.scores, boxes(images).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(table.column("lower"), table.scores[:, 1])
    assert table.scores.std(dim=0).min() > 1e-3  # control: the scores do vary
    assert table.seeds == tuple(SEEDS) and table.eta == (1.0,) * 3
    assert table.timesteps == model.schedule(3).timesteps
    assert table.provenance["scorer"] == "boxes"
    assert table.provenance["fingerprint"] == model.fingerprint


def test_other_seeds_give_other_scores(model, table):
    other = annotate(model, SCORER, range(100, 110), **SETTINGS)
    assert (other.scores - table.scores).abs().min() > 0


def test_a_table_survives_the_file(table, tmp_path):
    table.save(tmp_path / "table.npz")
    back = Annotation.load(tmp_path / "table.npz")
    assert torch.equal(back.scores, table.scores)
    for name in ("seeds", "names", "timesteps", "eta"):
        assert getattr(back, name) == getattr(table, name)
    assert dict(back.provenance) == dict(table.provenance)
    assert [p.name for p in tmp_path.iterdir()] == ["table.npz"]  # no half-written neighbour


class Killed(Exception):
    pass


def killed_after(calls: int):
    """The scorer above, which ends the run at a later call as a lost connection would."""
    count = iter(range(1000))

    def function(images):
        if next(count) >= calls:
            raise Killed
        return boxes(images)

    return from_function(function, ["upper", "lower"], "boxes")


@pytest.mark.parametrize("calls", [1, 2])
def test_a_killed_run_goes_on_to_the_identical_table(model, table, tmp_path, calls):
    path = tmp_path / "table.npz"
    with pytest.raises(Killed):
        annotate(model, killed_after(calls), SEEDS, path=path, **SETTINGS)
    assert len(Annotation.load(path)) == 4 * calls
    resumed = annotate(model, SCORER, SEEDS, path=path, **SETTINGS)
    assert torch.equal(resumed.scores, table.scores) and resumed.seeds == table.seeds
    assert torch.equal(Annotation.load(path).scores, table.scores)


def test_a_finished_table_is_read_and_not_made_again(model, table, tmp_path):
    path = tmp_path / "table.npz"
    table.save(path)
    assert torch.equal(
        annotate(model, killed_after(1), SEEDS, path=path, **SETTINGS).scores, table.scores
    )
    fewer = annotate(model, killed_after(1), range(6), path=path, **SETTINGS)
    assert torch.equal(fewer.scores, table.scores[:6])
    assert len(Annotation.load(path)) == 10  # the rest is not thrown away


def test_more_seeds_may_be_added(model, table, tmp_path):
    path = tmp_path / "table.npz"
    table.save(path)
    more = annotate(model, SCORER, range(13), path=path, **SETTINGS)
    assert torch.equal(more.scores[:10], table.scores) and len(more) == 13
    whole = annotate(model, SCORER, range(13), **SETTINGS)
    torch.testing.assert_close(more.scores, whole.scores, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"seeds": range(1, 11)}, "different seeds"),
        ({"eta": 0.0}, "different eta"),
        ({"steps": 4}, "different timesteps"),
        ({"scorer": from_function(boxes, ["upper", "lower"], "others")}, "different scorer"),
        ({"scorer": from_function(boxes, ["a", "b"], "boxes")}, "different attributes"),
        ({"model": hsem.tiny_unet(1)}, "different model"),
        (
            {"scorer": from_function(lambda x: boxes(x).flip(1), ["upper", "lower"], "boxes")},
            "different scores of the first seed",
        ),
    ],
)
def test_a_table_of_another_run_is_refused(model, table, tmp_path, change, difference):
    path = tmp_path / "table.npz"
    table.save(path)
    run = {"model": model, "scorer": SCORER, "seeds": SEEDS, **SETTINGS, "path": path, **change}
    with pytest.raises(ValueError, match=difference):
        annotate(**run)
    assert torch.equal(Annotation.load(path).scores, table.scores)  # and left as it was


def test_missing_scores_are_kept_and_announced(model):
    def sometimes(images):
        scores = boxes(images)
        scores[0, 1] = float("nan")  # the first of each batch
        return scores

    with pytest.warns(UserWarning, match=r"\{'lower': 3\}"):
        table = annotate(model, from_function(sometimes, ["upper", "lower"]), SEEDS, **SETTINGS)
    assert table.column("lower").isnan().sum() == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        annotate(model, SCORER, range(2), **SETTINGS)  # control: no warning without NaN


def test_damaged_and_foreign_files_are_refused(table, tmp_path):
    path = tmp_path / "table.npz"
    table.save(path)
    whole = path.read_bytes()
    for broken in (b"", whole[: len(whole) // 2], b"not a zip file at all"):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="damaged"):
            Annotation.load(path)
    np.savez(path, format=np.array("something else"))
    with pytest.raises(ValueError, match="expected 'hsem-annotation/1'"):
        Annotation.load(path)
    np.savez(path, format=np.array([{"a": 1}], dtype=object))  # would need pickle
    with pytest.raises(ValueError, match="damaged"):
        Annotation.load(path)
    with pytest.raises(FileNotFoundError, match="no annotation"):
        Annotation.load(tmp_path / "nothing.npz")


def test_eta_out_of_range_is_refused(table, tmp_path):
    path = tmp_path / "table.npz"
    Annotation(table.seeds, table.scores, table.names, table.timesteps, (0.0, 1.0, 0.5)).save(path)
    assert Annotation.load(path).eta == (0.0, 1.0, 0.5)  # control
    with np.load(path) as file:
        arrays = dict(file)
    for eta, message in (([7.0, -3.0, 0.0], "eta must lie between 0"), ([1.0], "one per step")):
        about = {**json.loads(str(arrays["about"])), "eta": eta}
        np.savez(path, **{**arrays, "about": np.array(json.dumps(about))})
        with pytest.raises(ValueError, match=message):
            Annotation.load(path)
        with pytest.raises(ValueError, match=message):
            Annotation(table.seeds, table.scores, table.names, table.timesteps, eta)


def test_infinite_scores_are_refused(table):
    with pytest.raises(ValueError, match=r"infinite scores for \['lower'\]"):
        scores = table.scores.index_fill(1, torch.tensor(1), float("inf"))
        Annotation(table.seeds, scores, table.names, table.timesteps, table.eta)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.bfloat16, torch.float32])
def test_scores_of_any_kind_survive_the_file(table, tmp_path, dtype):
    scores = (100 * table.scores).to(dtype)
    scores.requires_grad_(scores.is_floating_point())
    made = Annotation(table.seeds, scores, table.names, table.timesteps, table.eta)
    made.save(tmp_path / "table.npz")
    back = Annotation.load(tmp_path / "table.npz")
    assert back.scores.dtype == torch.float64 and torch.equal(back.scores, scores.double())


def test_a_table_knows_its_model(model, table, tmp_path):
    table.save(tmp_path / "table.npz")
    Annotation.load(tmp_path / "table.npz", model)
    with pytest.raises(ValueError, match="other pictures"):
        Annotation.load(tmp_path / "table.npz", hsem.tiny_unet(1))
    check_model({}, model, "hand-picked seeds")  # nothing known, nothing to refuse


def test_bad_arguments(model, table):
    with pytest.raises(TypeError, match=r"range\(5\)"):
        annotate(model, SCORER, 5, **SETTINGS)
    with pytest.raises(ValueError, match="batch_size"):
        annotate(model, SCORER, SEEDS, steps=3, batch_size=0, progress=False)
    with pytest.raises(ValueError, match="all be different"):
        annotate(model, SCORER, [1, 1], **SETTINGS)
    with pytest.raises(ValueError, match=r"\(n, k\) = \(10, 1\)"):
        Annotation(table.seeds, table.scores, ("upper",), table.timesteps, table.eta)
    with pytest.raises(ValueError, match="no attribute 'left'; there are upper, lower"):
        table.column("left")


def test_samples_in_memory_give_the_same_table(model, table):
    crowd = hsem.sample(model, SEEDS, steps=3, progress=False)
    scored = score_samples(model, crowd, SCORER)
    torch.testing.assert_close(scored.scores, table.scores, atol=1e-5, rtol=0)
    for name in ("seeds", "names", "timesteps", "eta"):
        assert getattr(scored, name) == getattr(table, name)
    assert scored.provenance["fingerprint"] == model.fingerprint


@pytest.mark.parametrize(
    "made", [{"x_T": torch.zeros(10, 3, 16, 16), "seeds": None, "eta": 0.0},
             {"edit": lambda i, h: h}, {"z": torch.zeros(10, 3, 3, 16, 16)}]
)  # fmt: skip
def test_samples_that_a_seed_cannot_give_again_are_refused(model, made):
    run = {"seeds": SEEDS, "steps": 3, "record": (), "progress": False, **made}
    with pytest.raises(ValueError, match="from seeds alone"):
        score_samples(model, hsem.sample(model, **run), SCORER)
