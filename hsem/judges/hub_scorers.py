"""Scorers from the Hugging Face hub: CLIP as a zero-shot classifier, and any image classifier.

Both need the optional package `transformers` (`pip install "hsem[hub]"`) and take the name of a
model on the hub or a local folder in the same layout. Weights are read from safetensors only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ..callers import tell
from ..network.models import default_device
from .prompts import PAPER_PROMPTS

Output = Literal["probability", "logit"]
PROBLEMS = ("single_label_classification", "multi_label_classification", "regression")


class ClipScorer:
    """CLIP as a zero-shot classifier (Radford et al., 2021; section V-c): one column per prompt.

    Parameters
    ----------
    model : transformers.CLIPModel, put into evaluation mode
    tokenizer, processor : the tokenizer and the image processor that belong to it
    prompts : {name: (positive prompt, negative prompt)}; the paper's five by default, or
        `hsem.judges.prompts.CELEBA_PROMPTS`
    output : "probability" is the softmax over the two prompts, from 0 to 1, as in Table I.
        "logit" is the difference of the two logits: it does not saturate, so use it where effects
        are compared or counted in standard deviations.
    label : for messages and provenance

    Examples
    --------
    >>> scorer = ClipScorer.load("openai/clip-vit-large-patch14")       # doctest: +SKIP
    >>> scorer(samples.images)                                          # doctest: +SKIP
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        processor: Any,
        prompts: Mapping[str, tuple[str, str]] = PAPER_PROMPTS,
        *,
        output: Output = "probability",
        label: str = "clip",
    ) -> None:
        self.model = model.eval()
        self.tokenizer, self.processor = tokenizer, processor
        self.names = tuple(prompts)
        self.output = _checked_output(output)
        self.label = label
        self._texts = self._embed_texts(tokenizer, _checked_prompts(prompts))

    @classmethod
    def load(
        cls,
        source: str | Path,
        prompts: Mapping[str, tuple[str, str]] = PAPER_PROMPTS,
        *,
        output: Output = "probability",
        device: str | torch.device | None = None,
    ) -> ClipScorer:
        """Read CLIP from the hub or from a folder.

        Parameters
        ----------
        source : such as "openai/clip-vit-large-patch14", or a folder. The paper does not say
            which CLIP it used.
        device : where to compute; None takes `default_device()`

        Raises
        ------
        ImportError, OSError
            If `transformers` is missing, or the files are, with what to do about it.
        """
        hf = _transformers()
        model, tokenizer, processor = _read(
            source, device, hf.CLIPModel, hf.AutoTokenizer, hf.AutoImageProcessor
        )
        return cls(model, tokenizer, processor, prompts, output=output, label=f"clip {source}")

    def worded(self, prompts: Mapping[str, tuple[str, str]]) -> ClipScorer:
        """The same network asked with other prompts."""
        parts = (self.model, self.tokenizer, self.processor)
        return ClipScorer(*parts, prompts, output=self.output, label=self.label)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Unit vectors (n, d) of pictures (n, 3, H, W) in [-1, 1], before any prompt."""
        pixels = _pixels(self.processor, images, self.model)
        # The two towers by hand: get_image_features returns other types in other versions.
        pooled = self.model.vision_model(pixel_values=pixels).pooler_output
        return F.normalize(self.model.visual_projection(pooled), dim=-1)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Scores (n, k) of pictures (n, 3, H, W) in [-1, 1]."""
        features = self.features(images)
        logits = self.model.logit_scale.exp() * torch.einsum(
            "nd,kpd->nkp", features, self._texts.to(features)
        )
        difference = logits[..., 0] - logits[..., 1]
        return difference if self.output == "logit" else difference.sigmoid()  # softmax over two

    @torch.no_grad()
    def _embed_texts(self, tokenizer: Any, prompts: list[str]) -> Tensor:
        """Unit vectors of the prompts, (k, 2, d); they are the same for all pictures."""
        tokens = tokenizer(prompts, padding=True, truncation=True, return_tensors="pt")
        tokens = {k: v.to(self.model.device) for k, v in tokens.items() if k != "token_type_ids"}
        pooled = self.model.text_model(**tokens).pooler_output
        vectors = F.normalize(self.model.text_projection(pooled), dim=-1)
        return vectors.view(len(self.names), 2, -1)


class ImageClassifier:
    """Any image classifier of `transformers`: one column per class, named as its config says.

    Parameters
    ----------
    model : such as transformers.ViTForImageClassification, put into evaluation mode
    processor : the image processor that belongs to it
    output : "logit" is what the network returns. "probability" is what the model's configuration
        makes of it, by its `problem_type`: softmax over the classes ("single_label_classification",
        also without an entry), sigmoid of each ("multi_label_classification", and a single class
        that is called single-label), or the values as they are ("regression"). One class without
        an entry is a regression: so `transformers` trains it.
    label : for messages and provenance

    Notes
    -----
    A binary attribute is often a classifier with two classes whose probabilities add up to one;
    `select(classifier, {"smile": "smiling"})` keeps the one that matters.

    Warns
    -----
    UserWarning
        If there is one class without a `problem_type` and probabilities are wanted.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        *,
        output: Output = "probability",
        label: str = "classifier",
    ) -> None:
        self.model = model.eval()
        self.processor = processor
        self.names = _names_of(model, label)
        self.output = _checked_output(output)
        self.label = label
        self._problem = _problem(model.config.problem_type, len(self.names))
        if model.config.problem_type is None and len(self.names) == 1 and output == "probability":
            tell(
                f"{label} has one class ({self.names[0]!r}) and its config no problem_type, so its "
                "values are taken as they are, as of a regression; if it is a classifier, set "
                "model.config.problem_type = 'multi_label_classification' to get probabilities",
            )

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        output: Output = "probability",
        device: str | torch.device | None = None,
    ) -> ImageClassifier:
        """Read a classifier from the hub or from a folder; see `ClipScorer.load`."""
        hf = _transformers()
        model, processor = _read(
            source, device, hf.AutoModelForImageClassification, hf.AutoImageProcessor
        )
        return cls(model, processor, output=output, label=f"classifier {source}")

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Scores (n, k) of pictures (n, 3, H, W) in [-1, 1]."""
        out = self.model(pixel_values=_pixels(self.processor, images, self.model))
        logits = getattr(out, "logits", None)
        if not isinstance(logits, Tensor) or tuple(logits.shape) != (len(images), len(self.names)):
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(
                f"{self.label} must return logits of shape (n, {len(self.names)}), one for each of "
                f"its classes, got {found} from {type(out).__name__}; is it an image classifier? "
                "For several heads or maps use NetworkScorer(network, names, read=...)"
            )
        if self.output == "logit" or self._problem == "regression":
            return logits
        multi = self._problem == "multi_label_classification"
        return logits.sigmoid() if multi else logits.softmax(dim=1)


# ------------------------------------------------------------------------------------- details


def _names_of(model: Any, label: str) -> tuple[str, ...]:
    """The classes in the order of the logits; a config read by hand numbers them with texts."""
    classes: Any = getattr(model.config, "id2label", None)
    try:
        names = {int(number): str(name) for number, name in classes.items()}
    except (AttributeError, TypeError, ValueError):
        names = {}
    if not names or sorted(names) != list(range(len(names))) or len({*names.values()}) < len(names):
        raise ValueError(
            f"{label} must have a config whose id2label names its classes differently, from 0 on, "
            f"got {classes!r}; set model.config.id2label = {{0: 'smile', ...}}"
        )
    return tuple(names[j] for j in range(len(names)))


def _problem(said: str | None, classes: int) -> str:
    """What the scores of a classifier are, by what its configuration says."""
    if said not in (None, *PROBLEMS):
        raise ValueError(
            f"problem_type in the model's config must be one of {', '.join(PROBLEMS)}, got {said!r}"
        )
    if classes == 1:  # the softmax over one is 1, whatever the picture
        one_class = {None: "regression", "single_label_classification": PROBLEMS[1]}
        return one_class.get(said) or str(said)
    return said or PROBLEMS[0]


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            "scorers from the hub need the package transformers: pip install 'hsem[hub]'"
        ) from error
    return transformers


def _read(
    source: str | Path, device: str | torch.device | None, kind: Any, *others: Any
) -> list[Any]:
    """A model of this kind, in float32 on its device, and the others beside it; or one error."""
    name = str(source)
    try:
        model, told = kind.from_pretrained(name, use_safetensors=True, output_loading_info=True)
        _check_weights(model, told["missing_keys"])
        beside = [other.from_pretrained(name) for other in others]
    except Exception as error:  # offline, missing, damaged, wrong kind: a dozen types
        raise OSError(
            f"could not read a model from {name!r} ({type(error).__name__}: {error}). "
            "Give the name of a model on the hub with safetensors weights, or a folder that holds "
            "one (`hf download owner/name --local-dir folder` where there is network)"
        ) from error
    model = model.to(device or default_device(), torch.float32)
    for x in (*model.parameters(), *model.buffers()):
        x.data = x.data.clone()  # what is mapped to a file changes with it
    return [model, *beside]


def _check_weights(model: Any, missing: Collection[str]) -> None:
    """Raise ValueError for holes: transformers draws at random what a file lacks."""
    state = {key: x for key, x in model.state_dict().items() if x.is_floating_point()}
    lacking = [key for key in state if key in missing]
    broken = [key for key, x in state.items() if not bool(torch.isfinite(x).all())]
    for fault, bad in (("lacks", lacking), ("holds NaN or infinite numbers in", broken)):
        if bad:
            raise ValueError(f"it {fault} {len(bad)} of its weights, such as {bad[0]!r}")


def _pixels(processor: Any, images: Tensor, model: Any) -> Tensor:
    """What the model's own processor makes of pictures in [-1, 1], as files would hold them."""
    as_bytes = ((images.detach().clamp(-1, 1) + 1) * 127.5).round().to("cpu", torch.uint8)
    arrays = list(as_bytes.permute(0, 2, 3, 1).numpy())
    pixels: Tensor = processor(
        images=arrays, return_tensors="pt", input_data_format="channels_last"
    )["pixel_values"]
    return pixels.to(model.device, model.dtype)


def _checked_output(output: Output) -> Output:
    if output not in ("probability", "logit"):
        raise ValueError(f"output={output!r} is unknown; choose 'probability' or 'logit'")
    return output


def _checked_prompts(prompts: Mapping[str, Sequence[str]]) -> list[str]:
    flat: list[str] = []
    for name, pair in prompts.items():
        if isinstance(pair, str) or len(pair) != 2 or pair[0] == pair[1]:
            raise ValueError(
                f"the prompts of {name!r} must be a positive and a different negative one, "
                f"got {pair!r}"
            )
        flat += pair
    if not flat:
        raise ValueError("prompts must hold at least one {name: (positive, negative)}")
    return flat
