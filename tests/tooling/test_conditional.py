"""The lines on "Networks that read prompts" run as they stand, on a tiny Stable Diffusion."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)

import hsem
from tests.pipelines import NOISE, stable_diffusion, stable_diffusion_xl

pytest.importorskip("transformers", reason="the text encoder of Stable Diffusion")

PAGE = Path(__file__).resolve().parents[2] / "book" / "conditional.md"


@pytest.fixture(scope="module")
def scope(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the page's names stand for after all of its lines."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    code = "\n".join(blocks)
    for old, new in {"N, BATCH, STEPS = 200, 4, 25": "N, BATCH, STEPS = 12, 4, 5",
                     "default_device()": "default_device() and 'cpu'"}.items():  # fmt: skip
        assert old in code
        code = code.replace(old, new)
    folder, found, asked = tmp_path_factory.mktemp("page"), {}, []
    tokenizers = (tmp_path_factory.mktemp("tokenizer") for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        for kind, make in (
            (StableDiffusionPipeline, stable_diffusion),
            (StableDiffusionXLPipeline, stable_diffusion_xl),
        ):
            tiny = make(next(tokenizers))
            patch.setattr(
                kind, "from_pretrained", lambda name, tiny=tiny: asked.append(name) or tiny
            )
        patch.chdir(folder)
        exec(code, found)
    assert len(blocks) == 5 and asked == [found["NAME"], found["NAME_XL"]]
    return {**found, "folder": folder}


def test_the_lines_run(scope: dict[str, Any]) -> None:
    record, v, smile = scope["record"], scope["v"], scope["smile"]
    assert record.timesteps == [801, 601, 601, 401, 201, 1]
    assert v.timesteps == smile.timesteps == record.grid == (801, 601, 401, 201, 1)
    assert len(scope["rows"]) == 3 and len(scope["smiling"]) == len(scope["louder"]) == 4
    same = hsem.Direction.load(scope["folder"] / "smile.safetensors")
    assert torch.equal(same.delta_h, smile.delta_h)
    left, middle, right = ([bytes(x.tobytes()) for x in row] for row in scope["rows"])
    assert left != middle != right  # each edit acts


def test_sdxl_is_addressed_by_the_same_lines(scope: dict[str, Any]) -> None:
    """With prompts, through both of its encoders; the edit is the difference of the prompts."""
    xl, draw, one = scope["xl"], scope["draw_xl"], scope["one_xl"]
    assert one.timesteps == scope["plain_xl"].grid and float(one.norm()) > 0.1
    (pushed,), (plain,) = scope["pushed"], draw("a person")
    assert pushed.tobytes() != plain.tobytes() == draw("a person")[0].tobytes()
    with hsem.record_h(xl.unet, half="conditional") as before:
        with hsem.edit_h(xl.unet, hsem.add(one), half="conditional"):
            with hsem.record_h(xl.unet, half="conditional") as after:
                draw("a person")
    moved = after.h_seq[0] - before.h_seq[0]
    torch.testing.assert_close(moved, one.delta_h, rtol=1e-4, atol=1e-4)
    at_first = before.h_seq[0, 0] + one.delta_h[0]  # where x is still the same
    torch.testing.assert_close(at_first, scope["smiling_xl"].h_seq[0, 0], rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="the network was called at timestep"):
        with hsem.edit_h(xl.unet, hsem.add(one)):  # control: a run on another grid
            xl("a person", num_inference_steps=3)


def test_means_of_batches_are_the_mean(scope: dict[str, Any]) -> None:
    sides = []
    for prompt in ("a smiling person", "a person"):
        with hsem.record_h(scope["pipeline"].unet, half="conditional") as record:
            scope["draw"](prompt, range(scope["N"]))
        sides.append(record.h_seq)
    expected = hsem.mean_difference(*sides)
    torch.testing.assert_close(scope["smile"].delta_h, expected, rtol=1e-3, atol=1e-4)
    assert float(expected.abs().max()) > 0.01


def test_what_a_half_does_to_the_result(scope: dict[str, Any]) -> None:
    """w delta, (1 - w) delta, and delta where both change alike, with delta from single calls."""
    unet, w = scope["pipeline"].unet, 7.5

    def noise(*shape: int, seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(*shape, generator=generator, dtype=torch.float32)

    x, push, words = noise(1, 4, 8, 8, seed=0), noise(16, 4, 4, seed=1), noise(2, 3, 8, seed=2)

    def output(words: torch.Tensor, size: float, half: str | None = None) -> torch.Tensor:
        with torch.no_grad(), hsem.edit_h(unet, lambda i, h: h + size * push, [500], half):
            given = x.repeat(len(words), 1, 1, 1)
            return unet(given, 500, encoder_hidden_states=words).sample

    def result(words: torch.Tensor, half: str | None) -> torch.Tensor:
        edited, plain = output(words, 1.0, half), output(words, 0.0, half)
        moved = edited - plain
        return moved[0] + w * (moved[1] - moved[0])

    delta_u, delta_c = ((output(one, 1.0) - output(one, 0.0))[0] for one in words[:, None])
    close = {"rtol": 1e-3, "atol": 1e-4}
    torch.testing.assert_close(result(words, "conditional"), w * delta_c, **close)
    torch.testing.assert_close(result(words, "unconditional"), (1 - w) * delta_u, **close)
    torch.testing.assert_close(result(words[:1].repeat(2, 1, 1), None), delta_u, **close)
    assert float((delta_u - delta_c).abs().max()) > 1e-2  # control


def test_the_timesteps_on_the_page() -> None:
    scheduler = PNDMScheduler(
        **NOISE, skip_prk_steps=True, steps_offset=1
    )  # Stable Diffusion 1.5's
    scheduler.set_timesteps(25)
    first = ", ".join(str(int(t)) for t in scheduler.timesteps[:4])
    assert f"{first}, ..., {int(scheduler.timesteps[-1])}" in PAGE.read_text(encoding="utf-8")


STABLE_DIFFUSION = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 768,
}
SDXL = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D",) + ("CrossAttnDownBlock2D",) * 2,
    "up_block_types": ("CrossAttnUpBlock2D",) * 2 + ("UpBlock2D",),
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "transformer_layers_per_block": (1, 2, 10),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


@pytest.mark.parametrize(
    ("options", "shape", "megabytes", "weights"),
    [(STABLE_DIFFUSION, (1280, 8, 8), 8, 0.86e9), (SDXL, (1280, 32, 32), 131, 2.57e9)],
)
def test_the_sizes_on_the_page(
    options: dict[str, Any], shape: tuple[int, ...], megabytes: int, weights: float
) -> None:
    """The hooks on networks of the real size, without memory for their weights."""
    side, text = options["sample_size"], PAGE.read_text(encoding="utf-8")
    seen: list[tuple[int, ...]] = []

    def look(i: int, h: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(h.shape[1:]))
        return h

    with torch.device("meta"):
        unet = UNet2DConditionModel(**options)
        words = torch.empty(2, 77, options["cross_attention_dim"])
        more = {"text_embeds": torch.empty(2, 1280), "time_ids": torch.empty(2, 6)}
        added = {"added_cond_kwargs": more} if options is SDXL else {}
        with torch.no_grad(), hsem.edit_h(unet, look, [1]):
            unet(torch.empty(2, 4, side, side), 1, words, **added)
    assert abs(sum(p.numel() for p in unet.parameters()) / weights - 1) < 0.01
    assert seen == [shape]
    assert " × ".join(map(str, shape)) in text
    count = 25 * 4 * shape[0] * shape[1] * shape[2]
    assert round(count / 1e6) == megabytes and f"${megabytes}$ MB" in text
