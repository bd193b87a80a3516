"""HSpacePCA against the exact SVD, and its promises about memory, dtype, files and units."""

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from hsem.files import read_tensors, save_tensors
from hsem.unsupervised.incremental import IncrementalPCA
from hsem.unsupervised.pca import HSpacePCA

N, T, SHAPE = 120, 4, (6, 3, 3)
TIMESTEPS = (900, 600, 300, 0)


def data(seed: int = 0, n: int = N, dtype: torch.dtype = torch.float64) -> Tensor:
    """n samples whose factors have decaying strength, with another basis and mean at each step."""
    g = torch.Generator().manual_seed(seed)
    d = int(np.prod(SHAPE))
    basis = torch.linalg.qr(torch.randn(T, d, d, generator=g, dtype=torch.float64))[0][:, :20]
    strength = 0.7 ** torch.arange(20, dtype=torch.float64)
    factors = torch.randn(n, 20, generator=g, dtype=torch.float64) * strength
    h = torch.einsum("nf,tfd->ntd", factors, basis)
    h = h + 3.0 * torch.randn(T, d, generator=g, dtype=torch.float64)
    h = h + 1e-3 * torch.randn(n, T, d, generator=g, dtype=torch.float64)
    return h.reshape(n, T, *SHAPE).to(dtype)


def exact(h: Tensor, k: int, joint: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Components (k, T, ...), variances (k, G), shares (k, G) by the SVD of all samples."""
    centred = (h - h.mean(dim=0)).flatten(2)
    groups = [centred.flatten(1)] if joint else list(centred.transpose(0, 1))
    parts = [torch.linalg.svd(x, full_matrices=False) for x in groups]
    variance = torch.stack([s**2 / (len(h) - 1) for _, s, _ in parts], dim=1)
    rows = torch.stack([v[:k] for _, _, v in parts], dim=1).reshape(k, T, *SHAPE)
    return rows, variance[:k], variance[:k] / variance.sum(dim=0)


def up_to_sign(a: Tensor, b: Tensor, joint: bool, atol: float) -> None:
    axis = 1 if joint else 2
    sign = (a.flatten(axis) * b.flatten(axis)).sum(-1).sign()
    torch.testing.assert_close(
        a.flatten(axis) * sign[..., None], b.flatten(axis), rtol=0, atol=atol
    )


@pytest.mark.parametrize("joint", [False, True])
def test_one_batch_is_the_exact_pca(joint):
    h = data()
    pca = HSpacePCA(5, joint=joint).fit(h, batch_size=N)
    rows, variance, share = exact(h, 5, joint)
    up_to_sign(pca.components_, rows, joint, 1e-9)
    torch.testing.assert_close(pca.explained_variance_, variance, rtol=1e-10, atol=0)
    torch.testing.assert_close(pca.explained_variance_ratio_, share, rtol=1e-10, atol=0)
    torch.testing.assert_close(pca.mean_, h.mean(dim=0))
    assert pca.n_samples_seen_ == N


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("sizes", [(7, 13, 60, 40), (30, 30, 30, 30), (1, 1, 1, 117), (119, 1)])
def test_batches_come_close_to_the_exact_pca(joint, sizes):
    h = data()
    pca = HSpacePCA(3, joint=joint, extra=12)
    for part in h.split(sizes):
        pca.partial_fit(part)
    rows, variance, share = exact(h, 3, joint)
    up_to_sign(pca.components_, rows, joint, 0.02)
    torch.testing.assert_close(pca.explained_variance_, variance, rtol=1e-3, atol=0)
    torch.testing.assert_close(pca.explained_variance_ratio_, share, rtol=1e-3, atol=0)
    torch.testing.assert_close(pca.mean_, h.mean(dim=0))


def test_all_of_it_kept_is_exact_in_any_batches():
    h = data(n=40)
    pca = HSpacePCA(3, extra=40).fit(h, batch_size=9)
    up_to_sign(pca.components_, exact(h, 3, False)[0], False, 1e-9)


def test_extra_components_lose_less():
    h = data()
    variance = [
        float(HSpacePCA(4, extra=extra).fit(h, batch_size=10).explained_variance_.sum())
        for extra in (0, 4, 12)
    ]
    best = float(exact(h, 4, False)[1].sum())
    assert variance[0] < variance[1] < variance[2] <= best * (1 + 1e-12)


def test_a_mean_that_drifts_over_the_batches_is_accounted_for():
    """Negative control: without the row for the moving mean, the drift is lost as variance."""
    h = data() + torch.linspace(0, 30, N, dtype=torch.float64).view(N, 1, 1, 1, 1)
    pca = HSpacePCA(3, extra=12).fit(h, batch_size=20)
    _, variance, _ = exact(h, 3, False)
    torch.testing.assert_close(pca.explained_variance_, variance, rtol=1e-3, atol=0)
    within = torch.stack([exact(part, 1, False)[1] for part in h.split(20)]).mean(dim=0)
    assert bool((variance[0] > 5 * within).all())


@pytest.mark.parametrize("joint", [False, True])
def test_components_are_orthonormal_and_signs_are_settled(joint):
    pca = HSpacePCA(4, joint=joint).fit(data(dtype=torch.float32), batch_size=30)
    rows = pca.components_.double()
    flat = rows.flatten(1)[:, None] if joint else rows.flatten(2)
    gram = torch.einsum("atd,btd->tab", flat, flat)
    eye = torch.eye(4, dtype=torch.float64).expand_as(gram)
    torch.testing.assert_close(gram, eye, rtol=0, atol=1e-5)
    assert bool((flat.gather(2, flat.abs().argmax(2, keepdim=True)) > 0).all())


def test_float32_input_loses_nothing_in_the_squares():
    """Gram matrices in float32 lose half of the digits; a large mean makes that visible."""
    h = data() + 1000.0
    pca = HSpacePCA(6, extra=12).fit(h.float(), batch_size=N)
    variance = exact(h.float().double(), 6, False)[1]
    torch.testing.assert_close(pca.explained_variance_, variance, rtol=1e-6, atol=0)
    x = h.float().flatten(2)[:, 0]
    crude = torch.linalg.eigvalsh(x.T @ x - N * x.mean(0)[:, None] * x.mean(0)).flip(0)[:6] / (
        N - 1
    )
    assert ((crude.double() - variance[:, 0]).abs() / variance[:, 0]).max() > 0.1


@pytest.mark.parametrize("joint", [False, True])
def test_scores_kept_while_learning_agree_with_a_second_pass(joint):
    h = data()
    pca = HSpacePCA(4, joint=joint, extra=16).fit(h, batch_size=25)
    second = pca.transform(h)
    assert second.shape == (N, 4, 1 if joint else T)
    error = (pca.scores_[:, :4] - second).norm(dim=0) / second.norm(dim=0)
    assert error.max() < 0.02
    assert second.mean(dim=0).abs().max() < 1e-8
    torch.testing.assert_close(second.var(dim=0), pca.explained_variance_, rtol=1e-3, atol=0)


def test_only_the_first_scores_are_kept():
    pca = HSpacePCA(2, keep_scores=50).fit(data(), batch_size=40)
    full = HSpacePCA(2).fit(data(), batch_size=40)
    assert pca.scores_.shape == (50, 4, T)
    assert torch.equal(pca.scores_, full.scores_[:50])
    assert torch.equal(pca.components_, full.components_)


def test_memory_does_not_grow_with_the_samples():
    pca = HSpacePCA(3, keep_scores=10)
    sizes = []
    for seed in range(4):
        pca.partial_fit(data(seed))
        sizes.append(sum(x.numel() for x in pca._state.tensors().values()))
    assert len(set(sizes)) == 1


def test_fit_forgets_and_partial_fit_does_not():
    h = data()
    pca = HSpacePCA(3).fit(h, batch_size=60)
    again = pca.components_
    assert torch.equal(pca.fit(h, batch_size=60).components_, again)
    assert pca.partial_fit(h).n_samples_seen_ == 2 * N


def test_fewer_samples_than_components_so_far():
    pca = HSpacePCA(5)
    for part in data(n=6).split(1):
        assert pca.n_samples_seen_ < 6
        with pytest.raises(RuntimeError, match="need more than 5 samples"):
            _ = pca.components_
        pca.partial_fit(part)
    up_to_sign(pca.components_, exact(data(n=6), 5, False)[0], False, 1e-6)


def test_identical_samples_have_no_variance_and_no_nan():
    pca = HSpacePCA(2).fit(data(n=1).repeat(10, 1, 1, 1, 1), batch_size=4)
    assert pca.explained_variance_.max() < 1e-20
    assert bool(torch.isfinite(pca.components_).all())


# ------------------------------------------------------------------------------------ directions


def test_a_scale_of_one_is_one_standard_deviation():
    h = data()
    pca = HSpacePCA(3, extra=12).fit(h, batch_size=40)
    direction = pca.direction(1, TIMESTEPS)
    assert direction.timesteps == TIMESTEPS and direction.method == "pca"
    delta = direction.delta_h.flatten(1)
    for i in range(T):
        along = h[:, i].flatten(1) @ delta[i] / delta[i].norm()
        assert float(delta[i].norm()) == pytest.approx(float(along.std()), rel=1e-2)
    assert direction.provenance["component"] == 1 and direction.provenance["n"] == N
    assert "standard deviation" in direction.provenance["scale_unit"]
    joint = HSpacePCA(3, joint=True).fit(h, batch_size=N).direction(1, TIMESTEPS)
    along = h.flatten(1) @ joint.delta_h.flatten() / joint.norm()
    assert joint.norm() == pytest.approx(float(along.std()), rel=1e-9)


def crossing() -> Tensor:
    """Two factors whose strengths cross between the second and the third step."""
    g = torch.Generator().manual_seed(0)
    d = int(np.prod(SHAPE))
    basis = torch.linalg.qr(torch.randn(T, d, d, generator=g, dtype=torch.float64))[0][:, :2]
    strength = torch.tensor([[3.0, 1.0], [2.5, 1.5], [1.5, 2.5], [1.0, 4.0]]).double()
    factors = torch.randn(N, 2, generator=g, dtype=torch.float64)
    h = torch.einsum("nf,tf,tfd->ntd", factors, strength, basis)
    return (h + 0.05 * torch.randn(N, T, d, generator=g)).reshape(N, T, *SHAPE)


def test_a_direction_follows_its_factor_where_variances_cross():
    h = crossing()
    pca = HSpacePCA(2).fit(h, batch_size=40)

    def neighbours(direction) -> Tensor:
        """Correlation of the samples' coordinates along the direction, from step to step."""
        x = (h.flatten(2) * direction.delta_h.flatten(1)).sum(2)
        return torch.corrcoef(x.T).diagonal(offset=1)

    for j in range(2):
        assert neighbours(pca.direction(j, TIMESTEPS)).min() > 0.95
        assert neighbours(pca.direction(j, TIMESTEPS, aligned=False))[1].abs() < 0.5
    # the factor that gains more is first: 1, 1.5, 2.5, 4 against 3, 2.5, 1.5, 1
    assert pca.alignment().order[:, 0].tolist() == [1, 1, 0, 0]
    assert (
        pca.direction(0, TIMESTEPS).delta_h.abs().max() == pca.direction(0, TIMESTEPS).delta_h.max()
    )


def test_unaligned_is_the_paper_to_the_letter():
    pca = HSpacePCA(3).fit(data(), batch_size=40)
    direction = pca.direction(2, TIMESTEPS, aligned=False)
    unit = direction.delta_h / direction.delta_h.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    sign = (unit * pca.components_[2]).sum(dim=(1, 2, 3))
    torch.testing.assert_close(sign.abs(), torch.ones(T, dtype=torch.float64))


def test_alignment_needs_scores():
    pca = HSpacePCA(3, keep_scores=0).fit(data(), batch_size=40)
    with pytest.raises(RuntimeError, match="keep_scores > 0"):
        pca.direction(0, TIMESTEPS)
    assert pca.direction(0, TIMESTEPS, aligned=False).norm() > 0


# ----------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("joint", [False, True])
def test_a_saved_pca_goes_on_as_if_nothing_had_happened(tmp_path, joint):
    first, second = data().split(60)
    straight = HSpacePCA(3, joint=joint, keep_scores=70).partial_fit(first).partial_fit(second)
    HSpacePCA(3, joint=joint, keep_scores=70).partial_fit(first).save(tmp_path / "pca")
    resumed = HSpacePCA.load(tmp_path / "pca").partial_fit(second)
    for name in ("components_", "explained_variance_", "mean_", "scores_"):
        assert torch.equal(getattr(straight, name), getattr(resumed, name)), name
    assert [p.name for p in tmp_path.iterdir()] == ["pca"]


def test_damaged_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no PCA file"):
        HSpacePCA.load(tmp_path / "none")
    (tmp_path / "bad").write_bytes(b"not a safetensors file")
    with pytest.raises(ValueError, match="damaged"):
        HSpacePCA.load(tmp_path / "bad")
    HSpacePCA(2).fit(data()).direction(0, TIMESTEPS).save(tmp_path / "direction")
    with pytest.raises(ValueError, match="not a PCA"):
        HSpacePCA.load(tmp_path / "direction")
    with pytest.raises(RuntimeError, match="nothing to save"):
        HSpacePCA(2).save(tmp_path / "empty")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: HSpacePCA(0), ValueError, "n_components must be 1 or more"),
        (lambda p: HSpacePCA(2, extra=-1), ValueError, "extra must be 0 or more"),
        (lambda p: p.partial_fit(torch.zeros(3, 4)), ValueError, r"\(n, T, C, h, w\)"),
        (lambda p: p.partial_fit(data().long()), ValueError, "floating point"),
        (lambda p: p.partial_fit(data()[:, :2]), ValueError, "has seen h_seqs of shape"),
        (lambda p: p.partial_fit(data() * torch.nan), ValueError, "NaN or infinite"),
        (lambda p: p.direction(3, TIMESTEPS), IndexError, r"j must be 0\.\.2"),
        (lambda p: p.direction(0), ValueError, "which timesteps"),
        (lambda p: p.direction(0, (1, 2)), ValueError, "descending"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call(HSpacePCA(3).fit(data(), batch_size=40))


@pytest.mark.parametrize("joint", [False, True])
def test_scores_of_a_track_grow_in_the_sense_of_its_direction(joint):
    """Whoever correlates scores with an attribute and then pushes must get what they read."""
    agree, signs = [], []
    for seed in range(4):
        h = data(seed)
        pca = HSpacePCA(4, joint=joint).fit(h)
        tracks = pca.alignment()
        steps = torch.arange(T)
        scores = pca.scores_[:, tracks.order, 0 if joint else steps[:, None]] * tracks.sign
        for j in range(4):
            delta = pca.direction(j, TIMESTEPS).delta_h.to(h)
            assert delta.flatten()[delta.abs().argmax()] > 0
            along = ((h - h.mean(0)) * delta).flatten(2).sum(2)
            along = along.sum(1, keepdim=True).expand(-1, T) if joint else along
            both = torch.stack([along, scores[:, :, j]]) - torch.stack(
                [along.mean(0), scores[:, :, j].mean(0)]
            ).unsqueeze(1)
            signs.append(tracks.sign[:, j])
            agree.append((both[0] * both[1]).sum(0) / both.norm(dim=1).prod(dim=0))
    cosine = torch.stack(agree)
    assert (cosine > 0.999).all()
    if not joint:  # control: the signs of the tracks are needed
        assert not (cosine * torch.stack(signs) > 0.999).all()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("seeds_", torch.arange(5), "seeds_ must have shape"),
        ("seeds_", torch.arange(8) / 2, "kind"),
        ("attributes_", torch.zeros(5, 2), "attributes_ must have shape"),
        ("attributes_", torch.full((8, 2), torch.inf), "infinite"),
        ("timesteps", [9], "1 timesteps for 3 steps"),
    ],
)
def test_files_that_do_not_fit_themselves_are_refused(tmp_path, name, value, message):
    pca = HSpacePCA(2).fit(data(n=8)[:, :3])
    pca.seeds_, pca.timesteps_ = torch.arange(8), (20, 10, 0)
    pca.attributes_ = torch.full((8, 2), torch.nan)  # of a scorer that had no answer
    path = tmp_path / "p.safetensors"
    pca.save(path)
    again = HSpacePCA.load(path)  # control
    assert again.timesteps_ == (20, 10, 0) and torch.equal(again.seeds_, pca.seeds_)
    tensors, meta = read_tensors(path)
    if name == "timesteps":
        about = json.loads(meta["about"]) | {name: value}
        meta = meta | {"about": json.dumps(about)}
    else:
        tensors[name] = value
    save_tensors(path, tensors, meta)
    with pytest.raises(ValueError, match=message):
        HSpacePCA.load(path)


def test_what_was_learned_after_a_harvest_has_no_seeds(tmp_path):
    """Five seeds would stand for eight samples; the PCA itself can be read all the same."""
    pca = HSpacePCA(2).fit(data(n=5)[:, :3])
    pca.seeds_ = torch.arange(5)
    pca.partial_fit(data(1, n=3)[:, :3])
    pca.save(tmp_path / "p.safetensors")
    again = HSpacePCA.load(tmp_path / "p.safetensors")
    assert again.n_samples_seen_ == 8 and again.seeds_ is None


def test_fit_goes_on_in_halves_where_memory_runs_out(monkeypatch):
    h, update = data()[:, :3], IncrementalPCA.updated

    def limited(self, x, *args):
        if len(x) > 8:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return update(self, x, *args)

    expected = HSpacePCA(2).fit(h, batch_size=6).mean_
    monkeypatch.setattr(IncrementalPCA, "updated", limited)
    with pytest.warns(RuntimeWarning, match="no memory for batch_size=12; going on with 6") as told:
        found = HSpacePCA(2).fit(h, batch_size=12)
    assert [w.filename for w in told] == [__file__]
    torch.testing.assert_close(found.mean_, expected)
    monkeypatch.setattr(IncrementalPCA, "updated", lambda self, x, *_: limited(self, h))
    with pytest.raises(torch.cuda.OutOfMemoryError):  # control: what does not fit alone
        HSpacePCA(2).fit(h, batch_size=1)
