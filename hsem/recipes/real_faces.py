"""Results for "Real faces": inversion errors, and directions of six expressions (SM F).

Also how far the noise that inversion finds for generated pictures is from the noise they were made
of. About 90,000 runs of the network: most steps are undone in five of twelve rounds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

import hsem
from hsem.diffusion.inversion import rms
from hsem.diffusion.sampling import draw_noise
from hsem.directions.direction import Direction, provenance_of

from . import command
from .parts import WHOLE, Parts, drawn
from .reference import pictures_of

EXPRESSIONS = ("happiness", "sadness", "anger", "fear", "disgust", "surprise")
SETTINGS = ((10, 0), (10, 3), (10, 10), (20, 0), (20, 3), (20, 10), (50, 0), (50, 3))
STEPS, ROUNDS = 20, 10  # of what is compared with its own noise
FIRST = 4_000_000  # seed of the first generated picture that is inverted
SMALL = {"faces": 2, "people": 6, "rounds": 1}
EXACT = True  # it inverts


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, faces=(16, "held-out portraits to invert"),
        people=(100, "of the hundred who make faces"),
        rounds=(10, "of refinement, for the expressions"), steps=(STEPS, "of the sampler"),
    )  # fmt: skip


def runs(args: argparse.Namespace) -> int:
    """How often the network runs."""
    errors = sum(steps * (2 + rounds) for steps, rounds in SETTINGS)
    noise = args.steps * (2 + ROUNDS)  # of generated pictures
    return int(args.faces * (errors + noise) + 7 * args.people * args.steps * (1 + args.rounds))


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """Errors of inversion, and a direction for each expression."""
    faces = pictures_of(model).images[: args.faces]
    parts = Parts(args.output, model, **vars(args))
    errors = [
        parts(f"errors/{steps}-{rounds}", error_of, model, faces, steps, rounds)
        for steps, rounds in tqdm(SETTINGS, unit="setting")
    ]
    tensors = {"settings": torch.tensor(SETTINGS, **WHOLE), "errors": torch.stack(errors)}
    tensors |= parts.tensors("noise", lambda: noises(model, args.faces, args.steps))
    directions = expression_directions(parts, model, args.people, args.rounds, args.steps)
    return parts.finish(
        "real_faces", args, tensors,
        directions=directions, steps=args.steps, eta=0.0, faces=args.faces, people=args.people,
        rounds=args.rounds, first_seed=FIRST,
    )  # fmt: skip


def error_of(model: hsem.HSpaceUNet, faces: Tensor, steps: int, rounds: int) -> Tensor:
    """RMS distance (n,) of portraits to what their inversions lead back to."""
    found = hsem.invert(model, faces, steps=steps, fixed_point=rounds, progress=False)
    return rms(drawn(model, x_T=found.x_T, schedule=found.schedule, eta=0.0) - faces)


def noises(model: hsem.HSpaceUNet, n: int, steps: int) -> dict[str, Tensor]:
    """RMS distance of the noise found for generated pictures to the noise of each, and of pictures.

    "noise" is (n, n): entry (i, j) from the noise found for picture i to that which picture j was
    made of. "noise/pictures" is the same from what the found noise leads to, to the pictures.
    """
    x_T = draw_noise(model, range(FIRST, FIRST + n), 0)[0]
    images = drawn(model, x_T=x_T, steps=steps, eta=0.0).clamp(-1, 1)
    found = hsem.invert(model, images, steps=steps, fixed_point=ROUNDS).x_T
    back = drawn(model, x_T=found, steps=steps, eta=0.0)
    return {
        "noise": torch.stack([rms(x - x_T.to(x)) for x in found]),
        "noise/pictures": torch.stack([rms(x - images.to(x)) for x in back]),
    }


def expression_directions(
    parts: Parts, model: hsem.HSpaceUNet, people: int, rounds: int, steps: int
) -> dict[str, Direction]:
    """Equation 11 with the h of inverted pictures, and a control without any expression."""
    pictures = hsem.datasets.expressions(size=model.image_shape[1])
    first = torch.tensor(
        [subject < people for subject in pictures.subject], dtype=torch.bool, device="cpu"
    )
    index = torch.full((len(pictures),), -1, **WHOLE)
    index[first] = torch.arange(int(first.sum()), **WHOLE)
    images, grid = pictures.images[first], model.schedule(steps).timesteps

    def inverted(which: Sequence[int]) -> dict[str, Tensor]:
        run = hsem.invert(model, images[list(which)], steps=steps, fixed_point=rounds)
        return {"h_seq": run.h_seq}

    h_seq = parts.over("inverted", range(len(images)), inverted, 50)["h_seq"]

    def direction(positive: Tensor, negative: Tensor, name: str) -> Direction:
        delta_h = hsem.mean_difference(h_seq[index[positive]], h_seq[index[negative]])
        about = provenance_of(model, attribute=name, latent="h", n=len(positive), eta=0.0)
        return Direction(delta_h, grid, "inverted pairs", about)

    out = {}
    for name in EXPRESSIONS:
        positive, negative = hsem.expression_pairs(pictures, name)
        out[name] = direction(positive[first[positive]], negative[first[negative]], name)
    neutral = negative[first[negative]]
    half = len(neutral) // 2
    out["two groups"] = direction(neutral[:half], neutral[half : 2 * half], "two groups")
    return out


if __name__ == "__main__":
    command.run(__name__)
