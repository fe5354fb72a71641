"""What params.yaml can ask of a training: schedule, averages, clipping, skipped spikes, a warm start; and how batches reach it."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from pipeline import batches, checkpoint, images, registry, shards, training
from pipeline.config import Variant, Weights
from pipeline.errors import InputError
from pipeline.files import sha256
from pipeline.optimizers.muon import Muon, orthogonal
from pipeline.run import Job, Run, begin
from pipeline.schedule import rate
from tests.test_training import EDSR, fit, settings, variant

CPU = torch.device("cpu")


def started(data: shards.Shards, **changes: Any) -> tuple[Job, Fabric, Run]:
    fabric = Fabric(accelerator="cpu", devices=1)
    job = Job(Variant(**EDSR), settings(**changes), 0, data)
    return job, fabric, begin(job, fabric, compiled=False)


def step(job: Job, fabric: Fabric, run: Run) -> None:
    places = iter([batches.draw(job.data, run.step, 0, 4, 32, augment=True)])
    hr, lr = next(batches.stream(job.data, places, 32, CPU))
    training.take_step(run, job, fabric, hr, lr, stop=False)


def weights(run: Run) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in run.model.parameters()])


def test_step_schedule_is_the_studys() -> None:
    train = settings(epochs=30, patches_per_epoch=8, batch_size=4, lr_step=10, lr_gamma=0.5)
    assert [rate(train, 1e-4, step) for step in (0, 19, 20, 39, 40)] == pytest.approx([1e-4, 1e-4, 5e-5, 5e-5, 2.5e-5])


def test_cosine_with_warm_up() -> None:
    train = settings(epochs=10, patches_per_epoch=40, batch_size=4, schedule="cosine", warmup_steps=10)
    rates = [rate(train, 1.0, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[4] == pytest.approx(0.5 * (0.5 + 0.5 * math.cos(math.pi * 0.04)))
    assert rates[50] == pytest.approx(0.5)
    assert max(rates) == rates[9]
    assert all(one > two for one, two in pairwise(rates[9:]))
    assert 0 < rates[-1] < 0.001


def test_linear_to_zero() -> None:
    train = settings(epochs=10, patches_per_epoch=40, batch_size=4, schedule="linear", warmup_steps=4)
    assert [rate(train, 2.0, step) for step in (0, 3, 50, 99)] == pytest.approx([0.5, 1.94, 1.0, 0.02])


def test_average_of_the_weights(data: shards.Shards) -> None:
    """Worked out by hand: from the start, a decay of min(0.9, (1 + n) / (10 + n))."""
    job, fabric, run = started(data, ema=0.9)
    assert run.ema is not None
    expected = weights(run)
    for n in range(4):
        step(job, fabric, run)
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * weights(run)
    averaged = torch.cat([parameter.detach().flatten() for parameter in run.scored.parameters()])
    assert torch.allclose(averaged, expected, atol=1e-7)
    assert not torch.allclose(averaged, weights(run), atol=1e-5)


def test_averaged_weights_are_what_is_saved_and_scored(tmp_path: Path, data: shards.Shards) -> None:
    plain, averaged = (fit(tmp_path / name, data, settings(ema=ema)) for name, ema in (("plain", 0.0), ("averaged", 0.9)))
    assert [row["train_loss"] for row in plain] == [row["train_loss"] for row in averaged]
    assert plain[-1]["valid_psnr"] != averaged[-1]["valid_psnr"]
    model = checkpoint.load(tmp_path / "averaged" / "last.safetensors").model
    hr, lr = (images.to_tensor(crops) for crops in shards.crops(data, 32, 1, 0))
    with torch.no_grad():
        assert averaged[-1]["valid_l1"] == pytest.approx((model(lr) - hr).abs().mean().item(), rel=1e-5)


def test_clipping_bounds_the_gradient(data: shards.Shards) -> None:
    norms = []
    for clip in (None, 1e-3):
        job, fabric, run = started(data, clip_norm=clip)
        step(job, fabric, run)
        norms.append(math.sqrt(sum(float(one.grad.square().sum()) for one in run.model.parameters() if one.grad is not None)))
    assert norms[0] > 1e-2
    assert norms[1] == pytest.approx(1e-3, rel=1e-3)


def test_orthogonal_keeps_directions_and_levels_sizes() -> None:
    torch.manual_seed(0)
    for shape in ((3, 8, 40), (3, 40, 8)):
        matrices = torch.randn(shape)
        found = orthogonal(matrices)
        left, _, right = torch.linalg.svd(matrices, full_matrices=False)
        levels = left.mT @ found @ right.mT
        diagonal = levels.diagonal(dim1=1, dim2=2)
        assert 0.6 < float(diagonal.min()) < float(diagonal.max()) < 1.3
        assert float((levels - torch.diag_embed(diagonal)).abs().max()) < 1e-4


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_muon_by_hand(decay: float) -> None:
    """Two steps of one 4x2x1x1 kernel: Nesterov's momentum, orthogonalised, at Adam's usual size, and the kernel's decay."""
    kernel = torch.nn.Parameter(torch.ones(4, 2, 1, 1))
    optimizer = Muon([kernel], lr=0.1, momentum=0.9, weight_decay=decay)
    gradients = [torch.randn(4, 2, 1, 1, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    expected, momentum = torch.ones(4, 2), torch.zeros(4, 2)
    for gradient in gradients:
        kernel.grad = gradient.clone()
        optimizer.step()
        flat = gradient.view(4, 2)
        momentum = 0.9 * momentum + flat
        expected = (1 - 0.1 * decay) * expected - 0.1 * 0.2 * 2 * orthogonal((flat + 0.9 * momentum)[None])[0]
    assert torch.allclose(kernel.detach().view(4, 2), expected, atol=1e-6)


def test_muon_leaves_head_tail_and_biases_to_adam() -> None:
    model = registry.build("direct", {"blocks": 2, "width": 12}, 4)
    muon, adam = registry.load("optimizers", "muon").make(model, 1e-3, settings())
    chosen = {id(one) for one in muon.param_groups[0]["params"]}
    names = {name for name, one in model.named_parameters() if id(one) in chosen}
    assert names == {"body_end.weight", *(f"blocks.{block}.body.{layer}.weight" for block in (0, 1) for layer in (0, 2))}
    assert len(adam.param_groups[0]["params"]) + len(names) == len(list(model.parameters()))


def test_a_spike_is_counted_and_not_made(data: shards.Shards) -> None:
    job, fabric, run = started(data, skip_spikes=2.0)
    step(job, fabric, run)
    assert run.losses[-1][3] == 0
    before, usual = weights(run), float(run.losses[-1][0])
    run.history = [{"train_loss": usual / 10, "train_l1": usual / 10, "train_mse": 0.0}]
    step(job, fabric, run)
    assert run.losses[-1].tolist() == pytest.approx([usual / 10, usual / 10, 0.0, 1.0, 0.0, 0.0])
    assert torch.equal(before, weights(run))
    run.history[-1]["train_loss"] = usual
    step(job, fabric, run)
    assert not torch.equal(before, weights(run))


def test_a_spike_leaves_batchnorm_as_it_was(data: shards.Shards) -> None:
    job = Job(variant("srresnet"), settings(skip_spikes=2.0), 0, data)
    fabric = Fabric(accelerator="cpu", devices=1)
    run = begin(job, fabric, compiled=False)
    run.history = [{"train_loss": 1e-9, "train_l1": 0.0, "train_mse": 0.0}]
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    training.take_step(run, job, fabric, torch.rand(2, 3, 32, 32), torch.rand(2, 3, 8, 8), stop=False)
    assert run.losses[-1][3] == 1
    assert all(torch.equal(value, before[name]) for name, value in run.model.state_dict().items())


class Bend(torch.autograd.Function):
    """x itself, with a gradient of NaN."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0] * float("nan")


@pytest.mark.parametrize("at", [1, 3, 8])
def test_a_gradient_that_is_no_number(tmp_path: Path, data: shards.Shards, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Its own step is named, at the end of an epoch and of the training too, and no checkpoint has seen it."""
    calls = []

    def planted(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        calls.extend([0] * sr.requires_grad)
        return ((Bend.apply(sr) if len(calls) == at and sr.requires_grad else sr) - hr).abs().mean()

    monkeypatch.setattr("pipeline.losses.l1.loss", planted)
    with pytest.raises(FloatingPointError, match=f"^gradient is no finite number at step {at} "):
        fit(tmp_path, data, settings())
    for path in tmp_path.glob("*.safetensors"):
        assert all(value.isfinite().all() for value in checkpoint.load(path).model.state_dict().values())
    assert not (tmp_path / "last.safetensors").exists()


def test_weights_that_leave_all_bounds(tmp_path: Path, data: shards.Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last step's own update, which no loss of a training batch sees."""
    monkeypatch.setattr("pipeline.schedule.rate", lambda train, lr, step: float("inf") if step == 7 else lr)
    with pytest.raises(FloatingPointError, match=r"^validation after epoch 4 gives no finite number"):
        fit(tmp_path, data, settings())
    assert not (tmp_path / "last.safetensors").exists()


def test_nonsense_is_no_spike(tmp_path: Path, data: shards.Shards) -> None:
    """NaN stops the training, whatever the rule for spikes; and so does an epoch of nothing but spikes."""
    with pytest.raises(FloatingPointError, match="no finite number at step"):
        fit(tmp_path / "nan", data, settings(epochs=8, skip_spikes=1.5), lr=0.999, loss="mse", init="torch", residual_scale=1e20)
    job, fabric, run = started(data, skip_spikes=2.0)
    run.history = [{"train_loss": 1e-9, "train_l1": 1e-9, "train_mse": 0.0, "best": False}]
    step(job, fabric, run)
    step(job, fabric, run)
    with pytest.raises(FloatingPointError, match="every step of epoch 1 was skipped"):
        training.end_epoch(run, job, [], None)


def test_warm_start_takes_what_fits(tmp_path: Path, raw: Path, data: shards.Shards) -> None:
    """x4 from x2 as EDSR does: head, body and tail are taken over, the upsampler's second half is new, mean and std are its own."""
    torch.manual_seed(5)
    half = registry.build("edsr", Variant(**EDSR).rest | {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, 2)
    about = {"arch": "edsr", "config": Variant(**EDSR).rest, "scale": 2, "dataset": "photos", "epoch": 1}
    checkpoint.save(tmp_path / "x2.safetensors", half, about)
    start = Weights(path=tmp_path / "x2.safetensors", sha256=sha256(tmp_path / "x2.safetensors"))
    fabric = Fabric(accelerator="cpu", devices=1)
    job = Job(Variant(**(EDSR | {"init": "torch", "warm_start": start})), settings(), 0, data)
    whole = begin(job, fabric, compiled=False).model.state_dict()
    taken = {name for name, value in half.state_dict().items() if torch.equal(whole[name], value)}
    own = {name for name in whole if name.endswith(("mean", "std"))}
    assert len(own) == 4
    assert taken == half.state_dict().keys() - own
    assert whole.keys() - taken - own == {"upsampler.2.weight", "upsampler.2.bias"}


def test_warm_starts_that_are_wrong(tmp_path: Path) -> None:
    model = registry.build("edsr", Variant(**EDSR).rest, 4)
    with pytest.raises(InputError, match="expected the checkpoint of warm_start, found no file"):
        checkpoint.warm_start(model, tmp_path / "none.safetensors", "0" * 64)
    other = registry.build("edsr", Variant(**EDSR).rest | {"width": 8, "mean": (0.0, 0.0, 0.0)}, 4)
    other.normalize, other.restore = torch.nn.Identity(), torch.nn.Identity()
    about = {"arch": "edsr", "config": {}, "scale": 4, "dataset": "photos", "epoch": 1}
    checkpoint.save(tmp_path / "other.safetensors", other, about)
    with pytest.raises(InputError, match=f"expected SHA-256 {'0' * 64}, found [0-9a-f]+; correct warm_start"):
        checkpoint.warm_start(model, tmp_path / "other.safetensors", "0" * 64)
    torch.save({"weights": 1}, tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"other\.pt: expected a safetensors checkpoint: .*; correct warm_start"):
        checkpoint.warm_start(model, tmp_path / "other.pt", sha256(tmp_path / "other.pt"))
    other.tail = torch.nn.Identity()
    checkpoint.save(tmp_path / "other.safetensors", other, about)
    with pytest.raises(InputError, match="found none of equal name and shape"):
        checkpoint.warm_start(model, tmp_path / "other.safetensors", sha256(tmp_path / "other.safetensors"))


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("resident", [False, True])
def test_every_way_to_the_device_gives_the_same_batches(data: shards.Shards, augment: bool, resident: bool) -> None:
    """Tiles in the device's memory, turned by index arithmetic there, and a thread that cuts ahead."""
    places = [batches.draw(data, number, 3, 8, 96, augment) for number in range(12)]
    found = list(batches.stream(data, iter(places), 96, CPU, resident))
    assert len(found) == 12
    for one, pair in zip(places, found, strict=True):
        for half, expected in zip(pair, batches.cut(data, one, 96), strict=True):
            assert torch.equal(half, images.to_tensor(expected))
            assert half.is_contiguous(memory_format=torch.channels_last)


def test_processes_share_a_batch(data: shards.Shards) -> None:
    places = batches.draw(data, 5, 3, 8, 96, augment=True)
    hr, _ = batches.cut(data, places, 96)
    for rank in range(2):
        part, _ = batches.cut(data, places.part(rank, 2), 96)
        assert np.array_equal(part, hr[rank::2])
