"""Scores by protocol, tiles, ensembles, costs, test sets, and how sure a difference is."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from pipeline import (
    checkpoint,
    cost,
    evaluation,
    frechet,
    inference,
    pairs,
    perceptual,
    pictures,
    receptive,
    registry,
    resize,
    shards,
    testsets,
    trained,
)
from pipeline.config import Evaluate
from pipeline.errors import InputError
from pipeline.features import Features
from pipeline.files import write_json
from pipeline.protocols import PROTOCOLS
from pipeline.reference import Reference
from tests.repository import tiny_params
from tests.test_models import EDSR, RCAN, SMALL

CPU = torch.device("cpu")
FINITE = [arch for arch in registry.names("models") if arch != "rcan"]
Picture = NDArray[np.uint8]


def model_of(arch: str) -> torch.nn.Module:
    torch.manual_seed(1)
    return registry.build(arch, SMALL[arch], 4).eval()


@pytest.mark.parametrize(
    "set_name, protocol, psnr, ssim",
    [
        ("Set5", "benchmark_y", 28.430, 0.8111),
        ("Set5", "matlab_y", 28.418, 0.8101),
        ("Set14", "benchmark_y", 26.091, 0.7048),
        ("Set14", "matlab_y", 26.087, 0.7041),
    ],
)
def test_published_bicubic(set_name: str, protocol: str, psnr: float, ssim: float, benchmark: Path) -> None:
    """As published, rounded: 28.42 / 0.8104 on Set5, 26.00 to 26.10 / 0.7027 on Set14."""
    if benchmark.name != set_name:
        pytest.skip("the other set's figure")
    for metric, expected, within in (("psnr", psnr, 0.005), ("ssim", ssim, 0.0005)):
        found = []
        for path in sorted((benchmark / "HR").glob("*.png")):
            hr = resize.crop_to_multiple(pictures.read(path), 4)
            sr = resize.upscale(pictures.read(benchmark / "LR_bicubic_X4" / f"{path.stem}x4.png"), 4)
            found.append(evaluation.score(metric, PROTOCOLS[protocol], sr[None], hr[None], 4)[0])
        assert np.mean(found) == pytest.approx(expected, abs=within)


def test_protocols_by_hand(photo: Callable[[str], Picture]) -> None:
    """PSNR by each protocol, from its definition, in numpy."""
    hr = photo("rocket")[:200, :240]
    sr = np.clip(hr.astype(int) + np.random.default_rng(0).integers(-9, 10, hr.shape), 0, 255).astype(np.uint8)

    def psnr(a: NDArray[np.float64], b: NDArray[np.float64], border: int) -> float:
        return float(
            10 * np.log10(255**2 / np.mean(((a - b)[border or None : -border or None, border or None : -border or None]) ** 2))
        )

    y_sr, y_hr = (one @ [65.481, 128.553, 24.966] / 255 + 16 for one in (sr, hr))
    expected = {
        "benchmark_y": psnr(y_sr, y_hr, 4),
        "matlab_y": psnr(np.floor(y_sr + 0.5), np.floor(y_hr + 0.5), 4),
        "ntire_rgb": psnr(sr.astype(float), hr.astype(float), 4),
        "study": psnr(sr.astype(float), hr.astype(float), 0),
    }
    found = {name: evaluation.score("psnr", protocol, sr[None], hr[None], 4)[0] for name, protocol in PROTOCOLS.items()}
    assert found == pytest.approx(expected, abs=1e-4)
    assert len({round(value, 3) for value in found.values()}) == 4


@pytest.mark.parametrize("arch", FINITE)
def test_receptive_field_is_what_a_pixel_sees(arch: str) -> None:
    """One LR pixel changed: nothing further away than the radius moves, and something at the radius does."""
    radius = receptive.radius(arch, SMALL[arch], 4)
    assert radius is not None
    model = registry.build(arch, SMALL[arch], 4).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 4:
                parameter.copy_(torch.rand(parameter.shape, generator=generator, dtype=torch.float64) / parameter[0].numel())
        side = 2 * radius + 5
        lr = torch.rand(1, 3, side, side, generator=generator, dtype=torch.float64)
        moved = lr.clone()
        moved[..., side // 2, side // 2] += 0.5
        changed = (model(lr) != model(moved)).any(dim=1)[0]
    rows = torch.nonzero(changed.any(dim=1)).flatten() // 4
    assert int(rows.min()) == side // 2 - radius
    assert int(rows.max()) == side // 2 + radius


def test_receptive_fields_of_published_sizes() -> None:
    """EDSR 16x64: 1 + 32 + 1 + 1 at LR, then half and a quarter: 36 LR pixels. RCAN pools over the whole picture."""
    assert receptive.radius("edsr", {"blocks": 16, "width": 64, **EDSR}, 4) == 36
    assert receptive.radius("rcan", SMALL["rcan"], 4) is None


class Channelwise(nn.Module):
    """Two convolutions behind a normalisation over the channels of each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 48, 3, padding=1)])

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        first = nn.functional.layer_norm(self.convs[0](lr).permute(0, 2, 3, 1), (16,)).permute(0, 3, 1, 2)
        sr: torch.Tensor = nn.functional.pixel_shuffle(self.convs[1](first), 4)
        return sr


def test_receptive_field_through_a_normalisation_over_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "build", lambda arch, config, scale: Channelwise())
    assert receptive.radius("channelwise", {}, 4) == 2


def test_receptive_field_of_what_refuses_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Padding by reflection needs a second row: such a model works on whole pictures."""
    model = nn.Sequential(nn.Conv2d(3, 48, 3, padding=1, padding_mode="reflect"), nn.PixelShuffle(4))
    monkeypatch.setattr(registry, "build", lambda arch, config, scale: model)
    assert receptive.radius("reflecting", {}, 4) is None


@pytest.mark.parametrize("arch", FINITE)
@settings(max_examples=8, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), side=st.integers(3, 17))
def test_tiled_equals_whole(arch: str, height: int, width: int, side: int) -> None:
    model, radius = model_of(arch), receptive.radius(arch, SMALL[arch], 4)
    lr = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height * 41 + width))
    with torch.no_grad():
        difference = inference.tiled(model, 4, radius, side)(lr) - model(lr)
    assert float(difference.abs().max()) < 1e-5


def test_a_model_that_sees_everything_runs_whole() -> None:
    model = model_of("rcan")
    assert inference.tiled(model, 4, receptive.radius("rcan", SMALL["rcan"], 4), 8) is model


def test_ensemble_commutes_with_every_turn() -> None:
    run = inference.self_ensemble(model_of("edsr"))
    lr = torch.rand(1, 3, 9, 12)
    with torch.no_grad():
        sr = run(lr)
        assert torch.allclose(run(lr.flip(2)).flip(2), sr, atol=1e-6)
        assert torch.allclose(run(lr.transpose(2, 3)).transpose(2, 3), sr, atol=1e-6)
        assert not torch.allclose(model_of("edsr")(lr.flip(2)).flip(2), model_of("edsr")(lr), atol=1e-6)


def test_costs_layer_by_layer() -> None:
    """EDSR 16x64 x4: parameters and multiply-adds of each convolution at 320x180, 640x360 and 1280x720."""
    low, wide = 64 * 64 * 9, 64 * 256 * 9
    at_low = 3 * 64 * 9 + 33 * low + wide
    expected = (at_low * 320 * 180 + wide * 640 * 360 + 64 * 3 * 9 * 1280 * 720) / 1e9
    found = cost.of("edsr", {"blocks": 16, "width": 64, **EDSR}, 4)
    assert found["parameters"] == 1_517_571
    assert found["multiply_adds"] == pytest.approx(expected, rel=1e-9)
    assert found["receptive_field"] == 73
    assert "receptive_field" not in cost.of("rcan", SMALL["rcan"] | RCAN, 4)


def test_six_thousand_by_four_thousand_within_two_gib() -> None:
    """A 6000x4000 output by tiles, in a process whose memory is watched."""
    import subprocess
    import sys

    from tests.repository import ROOT

    code = (
        "import torch, resource; from pipeline import inference, registry, receptive; from tests.test_models import EDSR\n"
        "config = {'blocks': 2, 'width': 16, **EDSR}\n"
        "model = registry.build('edsr', config, 4).eval()\n"
        "run = inference.tiled(model, 4, receptive.radius('edsr', config, 4), 128)\n"
        "with torch.inference_mode(): assert run(torch.rand(1, 3, 1000, 1500)).shape == (1, 3, 4000, 6000)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 2


def test_paired_by_hand() -> None:
    a, b = np.array([30.0, 31.0, 32.0, 33.0, 34.0, 35.0]), np.array([29.5, 30.4, 31.7, 33.1, 33.2, 34.6])
    found = pairs.compare(a, b)
    assert found.difference == pytest.approx(2.5 / 6)
    assert (found.wins, found.losses) == (5, 1)
    assert found.p_value == pytest.approx(2 * 7 / 64)
    assert found.low < found.difference < found.high
    assert found.shown
    assert pairs.compare(b, a)[:3] == pytest.approx((-found.difference, -found.high, -found.low), abs=0.02)


def test_no_difference_is_no_difference() -> None:
    rng = np.random.default_rng(3)
    a = rng.normal(30, 3, 40)
    assert not pairs.compare(a, a).shown
    assert not pairs.compare(a + rng.normal(0, 0.1, 40), a).shown
    assert pairs.compare(a + rng.normal(0.2, 0.1, 40), a).shown
    assert not pairs.compare(a[:1] + 1, a[:1]).shown
    infinite = pairs.compare(np.array([math.inf, 31.0]), np.array([math.inf, 30.0]))
    assert infinite.difference == 0.5


def test_interval_covers_as_often_as_it_says() -> None:
    """Of 200 samples of 60 differences with a true mean of 0.3, some 95 % of the intervals hold it."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        a = rng.normal(0.3, 1, 60)
        found = pairs.compare(a, np.zeros(60))
        held += found.low <= 0.3 <= found.high
    assert 0.89 <= held / 200 <= 0.99


@pytest.mark.parametrize("count", [1500, 60, 12])
def test_kid_of_equal_and_of_shifted_sets(count: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, count, 8))
    mean, deviation = frechet.kernel_distance(x, y)
    far, _ = frechet.kernel_distance(x, y + 3)
    assert abs(mean) < 4 * deviation + 0.05
    assert far > 100 * abs(mean) + 1
    with pytest.raises(InputError, match="KID: expected four samples or more on each side, found 3 and 60"):
        frechet.kernel_distance(x[:3], rng.normal(size=(60, 8)))


def test_kid_by_hand() -> None:
    """Unbiased: two samples a side out of four, all subsets of which average to the whole's estimate."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 4, 5))

    def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return float((a @ b / 5 + 1) ** 3)

    within = sum(kernel(z[i], z[j]) for z in (x, y) for i in range(4) for j in range(4) if i != j) / 12
    expected = within - 2 * np.mean([kernel(a, b) for a in x for b in y])
    found, deviation = frechet.kernel_distance(x, y)
    assert found == pytest.approx(expected, abs=4 * deviation / math.sqrt(frechet.SUBSETS))


def pixels(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(2).mean(dim=2)


def how(lpips: perceptual.Score | None = None, **changes: Any) -> evaluation.How:
    rng = np.random.default_rng(0)
    hr = rng.integers(0, 256, (6, 32, 32, 3), np.uint8)
    network = Features("fd_test", pixels)
    lr = np.stack([resize.downscale(one, 4) for one in hr])
    reference = Reference(hr, lr, pixels(torch.from_numpy(hr.transpose(0, 3, 1, 2) / np.float32(255))).numpy())
    return evaluation.How(Evaluate(**(tiny_params()["evaluate"] | changes)), reference, network, lpips)


def scored(
    sets: evaluation.Sets, enlarge: evaluation.Enlarge, lpips: perceptual.Score | None = None, **changes: Any
) -> evaluation.Result:
    return evaluation.evaluate(enlarge, sets, 4, how(lpips, **changes))


def members(photo: Callable[[str], Picture], *names: str) -> list[shards.Picture]:
    found = [(name, resize.crop_to_multiple(photo(name)[:120, :160], 4)) for name in names]
    return [shards.Picture(name, hr, resize.downscale(hr, 4)) for name, hr in found]


def test_order_of_the_pictures_does_not_matter(photo: Callable[[str], Picture]) -> None:
    every = members(photo, "chelsea", "coffee", "rocket")
    one, two = (scored({"valid": order}, lambda lr: resize.upscale(lr, 4)) for order in (every, every[::-1]))
    assert one.means == two.means
    assert one.table.to_csv(index=False) == two.table.to_csv(index=False)
    assert scored({"valid": every}, lambda lr: resize.upscale(lr, 4)).means == one.means


def test_checkpoints_in_the_order_of_their_epochs(photo: Callable[[str], Picture], tmp_path: Path) -> None:
    about: dict[str, Any] = dict.fromkeys(checkpoint.FIELDS) | {"arch": "edsr", "config": SMALL["edsr"], "scale": 4}
    for name, epoch in (("epoch_990", 990), ("epoch_1000", 1000), ("best", 1000)):
        checkpoint.save(tmp_path / f"{name}.safetensors", model_of("edsr"), about | {"epoch": epoch})
    rows, _, _ = trained.evaluate(tmp_path, {"valid": members(photo, "rocket")}, how(), CPU)
    assert [row["checkpoint"] for row in rows] == ["epoch_990", "epoch_1000", "best"]


def test_perfect_pictures_score_infinity_in_valid_json(photo: Callable[[str], Picture], tmp_path: Path) -> None:
    every = members(photo, "chelsea", "rocket")
    whole = {picture.lr.tobytes(): picture.hr for picture in every}
    result = scored({"valid": every}, lambda lr: whole[lr.tobytes()][None] if lr.tobytes() in whole else resize.upscale(lr, 4))
    write_json(tmp_path / "scores.json", result.means)
    text = (tmp_path / "scores.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name))["psnr_benchmark_y"] == "inf"
    assert result.means["ssim_benchmark_y"] == pytest.approx(1)


def test_pictures_that_cannot_be_scored(photo: Callable[[str], Picture]) -> None:
    small = [shards.Picture("tiny", photo("rocket")[:16, :16], photo("rocket")[:4, :4])]
    with pytest.raises(InputError, match="tiny: SSIM needs 11x11 pixels inside a border of 4, found 16x16; leave the picture out"):
        scored({"valid": small}, lambda lr: resize.upscale(lr, 4))
    less = [shards.Picture("tiny", photo("rocket")[:8, :8], photo("rocket")[:2, :2])]
    with pytest.raises(InputError, match="tiny: PSNR needs pixels inside a border of 4, found 8x8; leave the picture out"):
        scored({"valid": less}, lambda lr: resize.upscale(lr, 4), metrics=["psnr"])
    broken = torch.nn.Conv2d(3, 3, 1).requires_grad_(requires_grad=False)
    broken.weight.fill_(math.nan)
    with pytest.raises(FloatingPointError, match="found NaN or infinity"):
        inference.enlarge(broken, small[0].lr[None], CPU)


def test_sets_with_and_without_lr(photo: Callable[[str], Picture], tmp_path: Path) -> None:
    for name in ("one", "two"):
        pictures.write(tmp_path / "A" / "HR" / f"{name}.png", photo("chelsea")[:50, :61])
        pictures.write(tmp_path / "B" / "HR" / f"{name}.png", photo("coffee")[:50, :61])
        pictures.write(tmp_path / "B" / "LR_bicubic_X4" / f"{name}x4.png", np.full((12, 15, 3), 9, np.uint8))
    testsets.collect(tmp_path, ["A", "B"], 4, tmp_path / "out")
    found = testsets.load(tmp_path / "out", ["A", "B"])
    assert [picture.name for picture in found["A"]] == ["one", "two"]
    assert np.array_equal(found["A"][0].hr, photo("chelsea")[:48, :60])
    assert np.array_equal(found["A"][0].lr, resize.downscale(photo("chelsea")[:48, :60], 4))
    assert (found["B"][1].lr == 9).all()
    with pytest.raises(InputError, match="C: expected a test set, found none; run: dvc repro sets"):
        testsets.load(tmp_path / "out", ["C"])


def test_sets_that_are_wrong(photo: Callable[[str], Picture], tmp_path: Path) -> None:
    pictures.write(tmp_path / "A" / "HR" / "one.png", photo("chelsea")[:50, :61])
    pictures.write(tmp_path / "A" / "LR_bicubic_X4" / "twox4.png", photo("chelsea")[:12, :15])
    pictures.write(tmp_path / "B" / "HR" / "one.png", photo("chelsea")[:50, :61])
    pictures.write(tmp_path / "B" / "LR_bicubic_X4" / "onex4.png", photo("chelsea")[:12, :14])
    with pytest.raises(InputError) as caught:
        testsets.collect(tmp_path, ["A", "C"], 4, tmp_path / "out")
    assert "2 problems" in str(caught.value)
    assert "A/LR_bicubic_X4: expected a pair for every picture, found 2 without: one, two" in str(caught.value)
    assert "C/HR: expected the PNG pictures of a test set, found none; correct evaluate.sets" in str(caught.value)
    with pytest.raises(InputError, match=r"onex4\.png: expected LR of HR / 4, 12x15, found 12x14"):
        testsets.collect(tmp_path, ["B"], 4, tmp_path / "out")


def test_a_picture_too_large_for_the_memory() -> None:
    """A real allocation that fails."""
    lr = np.zeros((1, 6, 8, 3), np.uint8)
    with pytest.raises(InputError, match=r"evaluate\.tile: 1 of 8x6 LR pixels do not fit into the memory .*; try 256"):
        inference.enlarge(lambda lr: torch.empty(10**15), lr, torch.device("cpu"))
