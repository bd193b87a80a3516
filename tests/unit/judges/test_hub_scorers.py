"""CLIP and image classifiers, on tiny random checkpoints in the hub's layout, without network."""

import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

transformers = pytest.importorskip("transformers", reason="the optional package of hsem[hub]")

from hsem.evaluation.effects import effect_matrix  # noqa: E402
from hsem.judges.hub_scorers import ClipScorer, ImageClassifier  # noqa: E402
from hsem.judges.prompts import CELEBA_PROMPTS, PAPER_PROMPTS  # noqa: E402
from hsem.judges.scorers import join, scores_of, select  # noqa: E402
from tests import random_models  # noqa: E402
from tests.painter import HALVES, Painter  # noqa: E402


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    """A CLIP of two tiny towers, saved as the hub would hold it."""
    return random_models.clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def images():
    return torch.rand(5, 3, 24, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_clip_agrees_with_its_own_forward_pass(clip_folder, images):
    """Two towers and a softmax by hand, against CLIPModel.forward on one pair of prompts."""
    scores = scores_of(ClipScorer.load(clip_folder, device="cpu"), images)
    model = transformers.CLIPModel.from_pretrained(clip_folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(clip_folder)
    processor = transformers.AutoImageProcessor.from_pretrained(clip_folder)
    arrays = [((x.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy() for x in images]
    for j, pair in enumerate(PAPER_PROMPTS.values()):
        batch = {**tokenizer(list(pair), padding=True, return_tensors="pt")}
        batch |= processor(images=arrays, return_tensors="pt")
        with torch.no_grad():
            logits = model(**batch).logits_per_image  # (n, 2)
        expected = logits.double().softmax(dim=1)[:, 0]
        torch.testing.assert_close(scores[:, j], expected, atol=1e-5, rtol=1e-5)
    assert scores.std(dim=0).min() > 1e-4  # control: the scores depend on the picture


def test_logits_are_what_the_probabilities_come_from(clip_folder, images):
    probability = scores_of(ClipScorer.load(clip_folder, device="cpu"), images)
    logit = scores_of(ClipScorer.load(clip_folder, output="logit", device="cpu"), images)
    torch.testing.assert_close(logit.sigmoid(), probability, atol=1e-5, rtol=1e-5)


def test_swapping_the_prompts_swaps_the_answer(clip_folder, images):
    prompts = {"man": ("A man", "A woman"), "woman": ("A woman", "A man")}
    scores = scores_of(ClipScorer.load(clip_folder, prompts, device="cpu"), images)
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(5, dtype=torch.float64))


def test_the_forty_attributes_are_forty_columns(clip_folder, images):
    scorer = ClipScorer.load(clip_folder, CELEBA_PROMPTS, device="cpu")
    assert scores_of(scorer, images).shape == (5, 40) and scorer.names == tuple(CELEBA_PROMPTS)


@pytest.mark.parametrize("pair", ["A man", ("A man",), ("A man", "A man")])
def test_prompts_must_be_pairs(clip_folder, pair):
    with pytest.raises(ValueError, match="prompts of 'gender'"):
        ClipScorer.load(clip_folder, {"gender": pair}, device="cpu")


def test_wrong_settings_and_missing_files_are_explained(clip_folder, tmp_path):
    with pytest.raises(ValueError, match="at least one"):
        ClipScorer.load(clip_folder, {}, device="cpu")
    with pytest.raises(ValueError, match="'probability' or 'logit'"):
        ClipScorer.load(clip_folder, output="prob", device="cpu")
    with pytest.raises(OSError, match="could not read a model"):
        ClipScorer.load(tmp_path, device="cpu")


def test_pickled_weights_are_not_read(clip_folder, tmp_path):
    for file in clip_folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    state = transformers.CLIPModel.from_pretrained(clip_folder).state_dict()
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        ClipScorer.load(tmp_path, device="cpu")


def test_without_transformers_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)  # makes the import fail
    with pytest.raises(ImportError, match=r"hsem\[hub\]"):
        ClipScorer.load("some/clip")


# ------------------------------------------------------------------------------- image classifiers


def tiny_classifier(folder, labels, problem_type):
    """A ViT with random weights, as the hub would hold it; the same weights for the same labels."""
    config = transformers.ViTConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        problem_type=problem_type,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.ViTForImageClassification(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps(
            {"image_processor_type": "ViTImageProcessor", **random_models.PROCESSOR, "size": 32}
        )
    )
    return folder


@pytest.fixture(
    scope="module", params=["single_label_classification", "multi_label_classification"]
)
def classifier_folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vit")
    return tiny_classifier(folder, ("young", "middle", "old"), request.param)


def folder_of(kind, clip_folder, tmp_path):
    """A model of that kind, in files of its own."""
    folder = tmp_path / "model"
    if kind is ClipScorer:
        return shutil.copytree(clip_folder, folder)
    folder.mkdir()
    tiny_classifier(folder, ("young", "old"), "multi_label_classification")
    return folder


@pytest.mark.parametrize("kind", [ClipScorer, ImageClassifier])
def test_what_was_read_does_not_change_with_the_file(clip_folder, tmp_path, images, kind):
    folder = folder_of(kind, clip_folder, tmp_path)
    scorer = kind.load(folder, output="logit", device="cpu")
    before = scorer(images)
    path = folder / "model.safetensors"
    with path.open("r+b") as file:  # in place, as `cp` over it does
        file.seek(path.stat().st_size // 2)
        file.write(bytes(path.stat().st_size - file.tell()))
    assert torch.equal(scorer(images), before)
    assert not torch.equal(kind.load(folder, output="logit", device="cpu")(images), before)


@pytest.mark.parametrize(
    ("kind", "key"),
    [(ClipScorer, "visual_projection.weight"), (ImageClassifier, "classifier.bias")],
)
@pytest.mark.parametrize("fault", ["lacks", "holds NaN"])
def test_weights_that_are_not_whole_are_refused(clip_folder, tmp_path, kind, key, fault):
    """transformers fills what is missing with random numbers, and says it in the log alone."""
    folder = folder_of(kind, clip_folder, tmp_path)
    kind.load(folder, device="cpu")  # control
    state = load_file(folder / "model.safetensors")
    value = state.pop(key)
    if fault != "lacks":
        state[key] = value * torch.nan
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(OSError, match=f"from '{folder}'.*it {fault}.* such as '{key}'"):
        kind.load(folder, device="cpu")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


def as_they_are(x):
    return x


@pytest.mark.parametrize(
    ("problem_type", "one", "several"),
    [
        (None, as_they_are, softmax),
        ("single_label_classification", sigmoid, softmax),
        ("multi_label_classification", sigmoid, sigmoid),
        ("regression", as_they_are, as_they_are),
    ],
)
@pytest.mark.filterwarnings("ignore:.*has one class")
def test_scores_follow_the_problem_that_the_config_names(
    tmp_path, images, problem_type, one, several
):
    """The softmax over one class is 1 for every picture; values of a regression do not sum to 1."""
    for labels, expected in ((("smiling",), one), (("yaw", "pitch"), several)):
        folder = tmp_path / str(len(labels))
        tiny_classifier(folder, labels, None)
        network = transformers.ViTForImageClassification.from_pretrained(folder).eval()
        network.config.problem_type = problem_type  # newer versions save no single class of these
        processor = transformers.AutoImageProcessor.from_pretrained(folder)
        arrays = [((x.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy() for x in images]
        with torch.no_grad():
            logits = network(**processor(images=arrays, return_tensors="pt")).logits.double()
        scores = scores_of(ImageClassifier(network, processor), images)
        np.testing.assert_allclose(scores.numpy(), expected(logits.numpy()), atol=1e-5)
        assert scores.std(dim=0).min() > 1e-4  # what fails where all pictures get 1.0
        raw = scores_of(ImageClassifier(network, processor, output="logit"), images)
        torch.testing.assert_close(raw, logits, atol=1e-5, rtol=1e-5)


def test_one_class_of_unknown_kind_is_said(tmp_path, recwarn):
    tiny_classifier(tmp_path / "one", ("smiling",), None)
    with pytest.warns(UserWarning, match=r"one class \('smiling'\).*multi_label_classification"):
        ImageClassifier.load(tmp_path / "one", device="cpu")
    recwarn.clear()
    ImageClassifier.load(tmp_path / "one", output="logit", device="cpu")  # nothing to misread
    tiny_classifier(tmp_path / "said", ("smiling",), "regression")
    ImageClassifier.load(tmp_path / "said", device="cpu")
    tiny_classifier(tmp_path / "two", ("smiling", "not"), None)
    scorer = ImageClassifier.load(tmp_path / "two", device="cpu")
    assert not [w for w in recwarn.list if "one class" in str(w.message)]
    scorer.model.config.problem_type = "ranking"
    with pytest.raises(ValueError, match=r"problem_type.*single_label.*got 'ranking'"):
        ImageClassifier(scorer.model, scorer.processor)


def test_a_classifier_names_its_columns_and_gives_probabilities(classifier_folder, images):
    scorer = ImageClassifier.load(classifier_folder, device="cpu")
    assert scorer.names == ("young", "middle", "old")
    scores = scores_of(scorer, images)
    logits = scores_of(ImageClassifier.load(classifier_folder, output="logit"), images).numpy()
    if scorer.model.config.problem_type.startswith("multi"):
        expected = 1 / (1 + np.exp(-logits))
    else:
        expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(scores.numpy(), expected, atol=1e-6)
    assert scores.std(dim=0).min() > 1e-4
    assert scores_of(select(scorer, {"age": "old"}), images).shape == (5, 1)


def test_classes_are_those_of_the_logits_however_a_config_numbers_them(tmp_path, images):
    """Numbers as texts, as JSON has them, sort "10" before "2"."""
    names = tuple(f"class {k}" for k in range(12))
    tiny_classifier(tmp_path, names, None)
    scorer = ImageClassifier.load(tmp_path, device="cpu")
    scorer.model.config.id2label = {str(k): name for k, name in reversed([*enumerate(names)])}
    assert ImageClassifier(scorer.model, scorer.processor).names == names == scorer.names
    assert sorted(map(str, range(12))) != list(map(str, range(12)))  # control
    shifted, holes, twice = {1: "a", 2: "b"}, {0: "a", 2: "b"}, {0: "a", 1: "a"}
    for classes in (None, {}, list(names), shifted, holes, twice, {"smile": 0}):
        scorer.model.config.id2label = classes
        with pytest.raises(ValueError, match="id2label names its classes differently, from 0 on"):
            ImageClassifier(scorer.model, scorer.processor)


@pytest.mark.parametrize("out", ["too few", "two heads", "map", "one axis", "no logits", "tuple"])
def test_networks_that_give_something_else(tmp_path, images, out):
    tiny_classifier(tmp_path, ("a", "b"), None)
    scorer = ImageClassifier.load(tmp_path, device="cpu")
    n, some = len(images), SimpleNamespace
    scorer(images)  # control
    scorer.model.forward = {
        "too few": lambda **_: some(logits=torch.zeros(n, 1)),
        "two heads": lambda **_: some(logits=(torch.zeros(n, 2), torch.zeros(n, 2))),
        "map": lambda **_: some(logits=torch.zeros(n, 2, 4, 4)),
        "one axis": lambda **_: some(logits=torch.zeros(n)),
        "no logits": lambda **_: some(pooler_output=torch.zeros(n, 2)),
        "tuple": lambda **_: (torch.zeros(n, 2),),
    }[out]
    with pytest.raises(ValueError, match=r"logits of shape \(n, 2\).*NetworkScorer"):
        scorer(images)


def test_a_clip_folder_is_no_classifier_folder(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "no such thing"}')
    with pytest.raises(OSError, match="could not read a model"):
        ImageClassifier.load(tmp_path)


def test_clip_and_another_scorer_judge_the_same_edits(clip_folder):
    """Table I with two judges at once: each column as if its judge had been alone."""
    painter = Painter()
    clip = ClipScorer.load(clip_folder, output="logit", device="cpu")
    edits = {"upper": painter.last_step(2, 0.3, 0.0), "lower": painter.last_step(2, 0.0, 0.3)}
    settings = {"n": 3, "repeats": 2, "progress": False}
    both = effect_matrix(painter, edits, join(HALVES, clip), **settings)
    assert both.columns == ("upper", "lower", *PAPER_PROMPTS)
    for judge in (HALVES, clip):
        alone = effect_matrix(painter, edits, judge, **settings)
        torch.testing.assert_close(both.only(judge.names).effects, alone.effects)
    assert both.only(list(PAPER_PROMPTS)).effects.abs().max() > 1e-3  # control: CLIP does see
    own = both.only(HALVES.names).mean.diag()
    torch.testing.assert_close(own, torch.full_like(own, 0.3), atol=1e-4, rtol=0)
