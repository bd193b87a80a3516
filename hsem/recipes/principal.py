"""Principal components of h, what they do to pictures, and how far they can be trusted.

    python -m hsem.recipes.principal             # half an hour on two cores
    python -m hsem.recipes.principal --n 5000    # closer to the paper, with a GPU

Writes what the chapter "Principal directions" shows: six directions, the scores and attributes
from which they get their names, the stability of their span, and their effect on new samples
beside that of random directions of equal norm (figures 3 and 4).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

import hsem
from hsem.directions.direction import provenance_of
from hsem.evaluation.manifold import off_manifold

from . import command
from .parts import FLOAT, WHOLE, Parts, drawn, pieces
from .reference import Judge, judges_of, pictures_of

ETA, K, TRACKS = 1.0, 6, 4
SCALES = (-16.0, -8.0, -4.0, -2.0, 2.0, 4.0, 8.0, 16.0)  # standard deviations
TWO = [SCALES.index(-2.0), SCALES.index(2.0)]
FIRST_NEW = 1_000_000  # seed of the first sample that no PCA has seen
SMALL = {"n": 64, "m": 4, "batch_size": 8}


class Several(hsem.HSpacePCA):
    """A PCA for each step that shows every batch to a joint one, and to one of two halves, too."""

    def __init__(self, k: int) -> None:
        super().__init__(k)
        self.joint_one = hsem.HSpacePCA(k, joint=True)
        self.halves = [hsem.HSpacePCA(k), hsem.HSpacePCA(k)]
        self.batches = 0

    def partial_fit(self, h_seqs: Tensor, y: None = None) -> Several:
        self.joint_one.partial_fit(h_seqs)
        self.halves[self.batches % 2].partial_fit(h_seqs)
        self.batches += 1
        super().partial_fit(h_seqs)
        return self


def fitted(
    parts: Parts, model: hsem.HSpaceUNet, judge: Judge, options: argparse.Namespace
) -> Several:
    """`hsem.harvest` for several estimators at once."""
    pca, attributes = Several(K), []
    pca.timesteps_ = model.schedule(options.steps).timesteps
    pca.provenance_ = provenance_of(model, eta=ETA, batch_size=options.batch_size)
    for piece in pieces(parts, options.n, steps=options.steps, eta=ETA):
        assert piece.h_seq is not None
        for batch in piece.h_seq.split(options.batch_size):
            pca.partial_fit(batch)
        attributes.append(judge(piece.images.clamp(-1, 1)).cpu())
    pca.seeds_ = torch.arange(options.n, **WHOLE)
    pca.attributes_ = torch.cat(attributes)
    return pca


class Measure:
    """Attributes, off-manifold score, and change of the pictures, for edits of the same samples."""

    def __init__(
        self, model: hsem.HSpaceUNet, judges: tuple[Judge, Judge], m: int, steps: int
    ) -> None:
        self.model, self.steps = model, steps
        self.judge, self.second = judges
        self.seeds = range(FIRST_NEW, FIRST_NEW + m)
        self.real = self.judge.statistics(pictures_of(model).images)
        self.plain = self.images(None)

    def images(self, edit: hsem.Edit | None) -> Tensor:
        return drawn(self.model, self.seeds, steps=self.steps, eta=ETA, edit=edit).clamp(-1, 1)

    def __call__(self, images: Tensor) -> Tensor:
        """(m, attributes + 2): the last two are the off-manifold score and the RMS change."""
        off = off_manifold(self.judge.statistics(images), self.real)
        rms = (images - self.plain).square().mean(dim=(1, 2, 3)).sqrt()
        return torch.cat([self.second(images), off.float()[:, None], rms[:, None]], dim=1)

    def table(
        self, parts: Parts, name: str, directions: Sequence[hsem.Direction],
        scales: Sequence[float],
    ) -> Tensor:  # fmt: skip
        """(directions, scales, m, attributes + 2)"""
        pairs = [(d, s) for d in range(len(directions)) for s in scales]

        def row(d: int, s: float) -> Tensor:
            return self(self.images(hsem.add(directions[d], s)))

        rows = [parts(f"{name}/{d}/{s:g}", row, d, s) for d, s in tqdm(pairs, unit="edit")]
        return torch.stack(rows).reshape(len(directions), len(scales), *rows[0].shape)


def stability(pca: Several, n: int) -> dict[str, Tensor]:
    """Bootstrap and split halves: by how much would another crowd turn the leading subspace?"""
    counts = sorted({c for c in (50, 100, 200, 400, 800, 1600, 3200) if c < n} | {n})
    ks = (1, 2, 3, 5)
    angles = torch.stack([
        torch.stack([hsem.bootstrap_angles(pca.scores_, k, n=c, repeats=40) for c in counts])
        for k in ks
    ])  # (ks, counts, repeats, T)  # fmt: skip
    a, b = (half.components_ for half in pca.halves)
    between = [
        [hsem.largest_principal_angle(a[:k, t], b[:k, t]) for t in range(a.shape[1])] for k in ks
    ]
    return {
        "bootstrap/k": torch.tensor(ks, **WHOLE),
        "bootstrap/n": torch.tensor(counts, **WHOLE),
        "bootstrap/angles": angles,
        "halves/angles": torch.tensor(between, **FLOAT),
    }


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, n=(1000, "samples to learn from"), m=(64, "samples to measure edits on"),
        steps=(20, ""), batch_size=(25, "samples to learn from at a time"),
    )  # fmt: skip


def runs(args: argparse.Namespace) -> int:
    """How often the network runs."""
    edits = TRACKS * (2 * len(SCALES) + 4) + 1
    return int(args.steps * (args.n + args.m * edits))


def fill(options: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """Components, their names, their stability and their effects."""
    judges = judges_of(model)
    judge = judges[0]
    parts = Parts(options.output, model, **vars(options))
    pca = fitted(parts, model, judge, options)
    tracks = pca.alignment()
    aligned = [pca.direction(j) for j in range(K)]
    # The letter of the paper, for comparison: the j-th of each step, whatever it is there.
    unaligned = [pca.direction(j, aligned=False) for j in range(TRACKS)]
    joint = [
        pca.joint_one.direction(j, pca.timesteps_) for j in range(TRACKS)
    ]  # one vector over all steps
    noise = [hsem.random_like(aligned[j], torch.Generator().manual_seed(j)) for j in range(TRACKS)]

    measure = Measure(model, judges, options.m, options.steps)
    few = [SCALES[i] for i in TWO]
    by_pca = measure.table(parts, "pca", aligned[:TRACKS], SCALES)
    by_noise = measure.table(parts, "random", noise, SCALES)
    by_joint = measure.table(parts, "joint", joint, few)
    by_unaligned = measure.table(parts, "unaligned", unaligned, few)

    plain, spread = measure(measure.plain), judges[1].spread

    def moved(effect: Tensor) -> Tensor:
        """(tracks,): RMS change of the attributes in sd, mean over scales and people."""
        shift = (effect - plain.to(effect))[..., : len(spread)] / spread.to(effect)
        return shift.square().mean(dim=-1).sqrt().mean(dim=(1, 2))

    steps = torch.arange(options.steps, **WHOLE)
    scores = pca.scores_[:, tracks.order, steps[:, None]] * tracks.sign  # (n, T, k')
    scores = scores[:, :, :K]
    assert pca.attributes_ is not None
    explained = pca.explained_variance_ratio_
    total = pca.explained_variance_[0] / explained[0]  # (T,), variance of h in all directions
    tensors = {
        "scores": scores.transpose(1, 2),  # (n, K, T), of the tracks
        "joint_scores": pca.joint_one.scores_[:, :K, 0],
        "attributes": pca.attributes_,
        "explained": explained,
        "track_explained": scores.double().var(dim=0).T / total,
        "joint_explained": pca.joint_one.explained_variance_ratio_[:, 0],
        "order": tracks.order[:, :K],
        "sign": tracks.sign[:, :K],
        "similarity": tracks.similarity[:, :K],
        "scales": torch.tensor(SCALES, **FLOAT),
        "plain": plain,
        "effect/pca": by_pca,
        "effect/random": by_noise,
        "effect/joint": by_joint,
        "effect/unaligned": by_unaligned,
        **stability(pca, options.n),
    }
    worst = int((moved(by_pca[:, TWO]) - moved(by_unaligned)).argmax())  # gluing gains most
    directions = {f"pca/{j}": d for j, d in enumerate(aligned)}
    directions |= {f"random/{j}": d for j, d in enumerate(noise[:2])}
    directions[f"unaligned/{worst}"] = unaligned[worst]
    return parts.finish(
        "principal", options, tensors, directions=directions,
        n=options.n, m=options.m, steps=options.steps, eta=ETA, first_new_seed=FIRST_NEW,
        columns=[*judge.names, "off-manifold", "rms"], measured_by="the second judge",
    )  # fmt: skip


if __name__ == "__main__":
    command.run(__name__)
