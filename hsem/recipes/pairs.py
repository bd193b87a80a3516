"""Results for "Directions with names": the open mouth, from pictures of the same person twice.

About 30,000 runs of the network.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

import hsem
from hsem.directions.direction import Direction, provenance_of
from hsem.evaluation.effects import FIRST_SEED, edited_scores

from . import command
from .parts import FLOAT, WHOLE, Parts
from .reference import judges_of

EXPRESSION = "surprise"
COUNTS = (1, 2, 5, 10, 20, 50)
SCALES = (0.0, 0.5, 1.0, 1.5, 2.0)
STEPS, ETA, SEED = 20, 1.0, 7
SMALL = {"pairs": 12, "people": 4, "draws": 3}
EXACT = True  # it inverts


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, pairs=(100, "people, neutral and surprised"),
        rounds=(1, "of refinement in the inversion"), draws=(8, "of n pairs, for the cosines"),
        people=(64, "new samples behind each curve"), steps=(STEPS, "of the sampler"),
    )  # fmt: skip


def runs(args: argparse.Namespace) -> int:
    """How often the network runs."""
    curves = 4 * (len(SCALES) - 1) + 1
    return int(args.steps * (2 * args.pairs * (1 + args.rounds) + args.people * curves))


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """The direction from pairs, where it lies in h, and what its parts do."""
    judge = judges_of(model)[1]  # chose no example
    pictures = hsem.datasets.expressions(size=model.image_shape[1])
    sides = [rows[: args.pairs] for rows in hsem.expression_pairs(pictures, EXPRESSION)]
    images = pictures.images[torch.cat(sides)]
    parts = Parts(args.output, model, **vars(args))

    def inverted(which: Sequence[int]) -> dict[str, Tensor]:
        some = images[list(which)]
        run = hsem.invert(model, some, steps=args.steps, fixed_point=args.rounds)
        return {"h_seq": run.h_seq}

    h_seq = parts.over("inverted", range(len(images)), inverted, 50)["h_seq"]
    grid = model.schedule(args.steps).timesteps
    differences = h_seq[: args.pairs] - h_seq[args.pairs :]  # (pairs, T, C, H, W)

    def direction(difference: Tensor, what: str) -> Direction:
        facts = provenance_of(model, attribute=what, latent="h", n=args.pairs, eta=0.0)
        return Direction(difference, grid, "inverted pairs", facts)

    whole = direction(differences.mean(0), "mouth_open")
    draw = torch.Generator().manual_seed(SEED)
    # Control: half of the pairs turned round, so that the surprise cancels; equal length.
    sign = torch.ones(args.pairs, **FLOAT)
    sign[torch.randperm(args.pairs, generator=draw, **WHOLE)[: args.pairs // 2]] = -1
    sign = sign.view(-1, 1, 1, 1, 1)
    turned = direction(
        (differences * sign).mean(0), "half of the pairs turned round"
    ).rescaled_like(whole)
    lower = lower_rows(model.h_shape)
    edits = {
        "whole": lambda g: hsem.add(whole, g),
        "lower": lambda g: hsem.masked(hsem.add(whole, g), lower),
        "upper": lambda g: hsem.masked(hsem.add(whole, g), 1 - lower),
        "turned": lambda g: hsem.masked(hsem.add(turned, g), lower),
    }
    people = range(FIRST_SEED, FIRST_SEED + args.people)

    scores = partial(edited_scores, model, judge, people, grid, eta=ETA)
    plain = scores(None)

    def curve(edit: Callable[[float], hsem.Edit]) -> Tensor:
        return torch.stack([scores(edit(g)) if g else plain for g in SCALES])

    tensors = {
        "scales": torch.tensor(SCALES, **FLOAT),
        "counts": torch.tensor([n for n in COUNTS if 2 * n <= args.pairs], **WHOLE),
        "energy": whole.delta_h.pow(2).sum(dim=(0, 1)) / whole.delta_h.pow(2).sum(),
    }
    for name, edit in edits.items():
        tensors[f"curve/{name}"] = parts(f"curve/{name}", curve, edit)
    tensors["cosine"] = cosines(differences, tensors["counts"].tolist(), args.draws, draw)
    return parts.finish(
        "pairs", args, tensors, directions={"mouth_open": whole},
        steps=args.steps, eta=ETA, pairs=args.pairs, rounds=args.rounds, expression=EXPRESSION,
        first_seed=FIRST_SEED, people=args.people, columns=list(judge.names),
        measured_by="the second judge",
    )  # fmt: skip


def lower_rows(shape: tuple[int, ...]) -> Tensor:
    """A mask over h (H, W): the lower three eighths, where a mouth is."""
    mask = torch.zeros(shape[1:], **FLOAT)
    mask[5 * shape[1] // 8 :] = 1
    return mask


def cosines(differences: Tensor, counts: list[int], draws: int, draw: torch.Generator) -> Tensor:
    """Cosine (draws, counts) of the mean of n pairs to the mean of half of all, none in both."""
    half, flat = len(differences) // 2, differences.flatten(1)
    out = torch.empty(draws, len(counts), **FLOAT)
    for d in range(draws):
        order = torch.randperm(len(flat), generator=draw, **WHOLE)
        reference = flat[order[half:]].mean(0)
        for c, n in enumerate(counts):
            out[d, c] = torch.cosine_similarity(flat[order[:n]].mean(0), reference, dim=0)
    return out


if __name__ == "__main__":
    command.run(__name__)
