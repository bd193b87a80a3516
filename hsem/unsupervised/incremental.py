"""The arithmetic of incremental PCA for T groups of vectors at once. Needs torch only.

What is kept of all samples so far are the mean and k' scaled components B = S V, (k', d). A batch
of m samples adds m centred rows to B, and one more row says how far the mean has moved (Ross et
al., 2008). The inner products of these k' + m + 1 rows, a small matrix, hold what is needed to
find the new B. scikit-learn's IncrementalPCA gets the same from the singular value decomposition
of the rows themselves, at many times the cost.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass
class IncrementalPCA:
    """All that has been learned from n samples of shape (T, d).

    n : samples seen
    mean : (T, d), float64 where the device has it
    basis : (T, k', d), principal components; the norm of each is the root of its sum of squares
    squares : (G, k') float64, sums of squares of the samples along the components, descending;
        G is T, or 1 for a joint PCA, whose components are vectors of length T d
    total : (G,) float64, sum of squares in all directions
    scores : (first samples, k', G), coordinates of the samples along the components
    """

    n: int
    mean: Tensor
    basis: Tensor
    squares: Tensor
    total: Tensor
    scores: Tensor

    @classmethod
    def empty(cls, like: Tensor, joint: bool) -> IncrementalPCA:
        """Before any sample; on the device of `like`, (m, T, d), and at least in float32."""
        _, steps, d = like.shape
        groups = 1 if joint else steps
        store = torch.float64 if like.dtype == torch.float64 else torch.float32
        wide = torch.float32 if like.device.type == "mps" else torch.float64
        return cls(
            n=0,
            mean=torch.zeros(steps, d, dtype=wide, device=like.device),
            basis=torch.empty(steps, 0, d, dtype=store, device=like.device),
            squares=torch.empty(groups, 0, dtype=torch.float64, device="cpu"),
            total=torch.zeros(groups, dtype=torch.float64, device="cpu"),
            scores=torch.empty(0, 0, groups, dtype=store, device="cpu"),
        )

    @property
    def joint(self) -> bool:
        return len(self.squares) == 1 and len(self.mean) > 1

    def tensors(self) -> dict[str, Tensor]:
        return {f.name: getattr(self, f.name).contiguous() for f in fields(self) if f.name != "n"}

    def updated(self, x: Tensor, rank: int, keep_scores: int) -> IncrementalPCA:
        """Learn from m more samples, (m, T, d), keeping at most `rank` components."""
        n, m, total = self.n, len(x), self.total.clone()
        steps, old_rank, d = self.basis.shape
        rank = min(rank, n + m - 1)  # centred samples span no more
        basis = self.basis.new_empty(steps, rank, d)
        squares = self.squares.new_empty(len(total), rank)
        room = max(0, keep_scores - len(self.scores))
        scores = self.scores.new_empty(len(self.scores) + min(m, room), rank, len(total))
        for g, members in enumerate([range(steps)] if self.joint else [[i] for i in range(steps)]):
            # Inner products have twice the digits of the rows, hence float64; what follows is
            # small, and the CPU is sure to have float64.
            size = old_rank + m + (n > 0)
            gram = self.total.new_zeros(size, size)
            for i in members:
                rows = self._rows(x, i)
                gram += (rows @ rows.T).to(gram)
            values, q = torch.linalg.eigh(gram)
            values, q = values.flip(0)[:rank].clamp(min=0), q.flip(1)[:, :rank]
            for i in members:
                if self.joint:  # made again, so as not to hold those of all T steps
                    rows = self._rows(x, i)
                basis[i] = q.T.to(rows) @ rows
            squares[g] = values
            total[g] += gram.diagonal()[old_rank:].sum()
            # Row r has the coordinates p[r] along the new components: no need to multiply again.
            p = (q * values.sqrt()).to(scores)
            length = self.squares[g].sqrt().to(scores)
            turn = p[:old_rank] / torch.where(length > 0, length, 1.0)[:, None]
            moved = p[-1] / (n * m / (n + m)) ** 0.5 if n else torch.zeros_like(p[0])
            scores[: len(self.scores), :, g] = self.scores[:, :, g] @ turn + moved * (m / (n + m))
            new = p[old_rank : old_rank + m] - moved * (n / (n + m))
            scores[len(self.scores) :, :, g] = new[:room]
        mean = self.mean + (x.to(self.mean).mean(dim=0) - self.mean) * (m / (n + m))
        return IncrementalPCA(n + m, mean, basis, squares, total, scores)

    def _rows(self, x: Tensor, i: int) -> Tensor:
        """Scaled components, centred samples, and the way the mean has moved, at step i."""
        n, m = self.n, len(x)
        batch = x[:, i].to(self.mean)
        mean = batch.mean(dim=0)
        rows = [self.basis[i].to(batch), batch - mean]
        if n:
            rows.append((n * m / (n + m)) ** 0.5 * (self.mean[i] - mean)[None])
        return torch.cat(rows)
