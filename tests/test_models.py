"""Every architecture: the contract, the counts, the gradients, the start."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from pipeline import registry

EDSR = {"residual_scale": 0.1, "mean": (0.4488, 0.4371, 0.4040), "std": (1.0, 1.0, 1.0)}
RCAN = {"mean": EDSR["mean"], "std": EDSR["std"]}
SMALL: dict[str, dict[str, Any]] = {
    "direct": {"blocks": 2, "width": 12},
    "edsr": {"blocks": 2, "width": 12, **EDSR},
    "msrresnet": {"blocks": 2, "width": 12},
    "rcan": {"groups": 2, "blocks": 2, "width": 12, "reduction": 4, **RCAN},
    "rdn": {"blocks": 2, "layers": 3, "growth": 6, "width": 12},
    "srresnet": {"blocks": 2, "width": 12, "batch_norm": True},
}
PLAIN = {"batch_norm": False}
every = pytest.mark.parametrize("arch", registry.names("models"))


def trainable(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def test_small_configurations_cover_every_architecture() -> None:
    assert sorted(SMALL) == registry.names("models")


@every
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_shape(arch: str, scale: int) -> None:
    model = registry.build(arch, SMALL[arch], scale).eval()
    assert model(torch.rand(2, 3, 5, 7)).shape == (2, 3, 5 * scale, 7 * scale)


@pytest.mark.parametrize("arch, changes", [*((arch, {}) for arch in registry.names("models")), ("srresnet", PLAIN)], ids=str)
@pytest.mark.parametrize("init", ["torch", "interpolation"])
def test_every_parameter_has_a_gradient(arch: str, changes: dict[str, Any], init: str) -> None:
    torch.manual_seed(0)
    model = registry.build(arch, SMALL[arch] | changes, 4)
    if init == "interpolation":
        model.start_as_interpolation()  # type: ignore[operator]
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    lr, hr = torch.rand(4, 3, 8, 8), torch.rand(4, 3, 32, 32)
    for _ in range(4):  # a start of zeros lets some weights in only after its first steps
        optimizer.zero_grad()
        (model(lr) - hr).abs().mean().backward()
        optimizer.step()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, f"no gradient for {name}"


@every
def test_same_seed_same_weights(arch: str) -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(registry.build(arch, SMALL[arch], 4).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_edsr_has_the_published_size() -> None:
    """43 M of Lim et al.; the 1x1 mean layers are fixed and count nothing."""
    with torch.device("meta"):
        model = registry.build("edsr", {"blocks": 32, "width": 256, **EDSR}, 4)
    assert trainable(model) == 43_089_923


@pytest.mark.parametrize(
    "arch, config, size",
    [
        ("msrresnet", {"blocks": 16, "width": 64}, 1_517_571),  # BasicSR's x4
        ("rcan", {"groups": 10, "blocks": 20, "width": 64, "reduction": 16, **RCAN}, 15_592_355),  # 24 more with mean layers
        ("rdn", {"blocks": 16, "layers": 8, "growth": 64, "width": 64}, 22_271_107),
    ],
)
def test_published_sizes(arch: str, config: dict[str, Any], size: int) -> None:
    with torch.device("meta"):
        model = registry.build(arch, config, 4)
    assert trainable(model) == size


def test_srresnet_has_the_published_size() -> None:
    """Layer by layer: a k x k convolution has k k in out + out parameters, a BatchNorm 2 out, a PReLU 1."""

    def conv(k: int, inputs: int, outputs: int) -> int:
        return k * k * inputs * outputs + outputs

    head = conv(9, 3, 64) + 1
    block = 2 * (conv(3, 64, 64) + 2 * 64) + 1
    body_end = conv(3, 64, 64) + 2 * 64
    upsampler = 2 * (conv(3, 64, 256) + 1)
    tail = conv(9, 64, 3)
    model = registry.build("srresnet", {"blocks": 16, "width": 64, "batch_norm": True}, 4)
    assert trainable(model) == head + 16 * block + body_end + upsampler + tail == 1_549_462
    plain = registry.build("srresnet", {"blocks": 16, "width": 64, "batch_norm": False}, 4)
    assert trainable(plain) == 1_549_462 - 33 * 2 * 64


def test_edsr_mean_layers_are_fixed_and_undo_each_other() -> None:
    model = registry.build("edsr", SMALL["edsr"] | {"std": (0.5, 0.25, 0.2)}, 4)
    picture = torch.rand(1, 3, 4, 4)
    assert torch.allclose(model.restore(model.normalize(picture)), picture, atol=1e-6)  # type: ignore[operator]
    grey = torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1)
    assert torch.allclose(model.normalize(grey), torch.zeros(1, 3, 1, 1), atol=1e-6)  # type: ignore[operator]
    assert not any("mean" in name or "std" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize(
    "arch, changes, within",
    [
        *((arch, {"width": 8}, 0.01) for arch in ("edsr", "rcan", "rdn")),
        *(("srresnet", {"width": width}, within) for width, within in ((16, 10), (32, 3), (64, 3))),
        ("srresnet", {"width": 32, **PLAIN}, 3),
    ],
    ids=str,
)
def test_interpolation_start_is_nearest_neighbour(arch: str, changes: dict[str, Any], within: float) -> None:
    """Largest difference in grey levels over all tones, black and white included."""
    torch.manual_seed(0)
    model = registry.build(arch, SMALL[arch] | changes, 4)
    model.start_as_interpolation()  # type: ignore[operator]
    lr = torch.rand(1, 3, 16, 16)
    lr[..., :8] = torch.linspace(0, 1, 8)
    difference = model.eval()(lr) - interpolate(lr, scale_factor=4)
    assert difference.abs().max() * 255 < within


def test_msrresnet_starts_as_bilinear() -> None:
    model = registry.build("msrresnet", SMALL["msrresnet"], 4)
    model.start_as_interpolation()  # type: ignore[operator]
    lr = torch.rand(1, 3, 8, 8)
    assert torch.equal(model.eval()(lr), interpolate(lr, scale_factor=4, mode="bilinear", align_corners=False))


def test_srresnet_works_in_minus_one_to_one() -> None:
    """A tail of zeros gives tanh(0), which is mid-grey: [0, 1] outside, [-1, 1] inside."""
    model = registry.build("srresnet", SMALL["srresnet"], 4).eval()
    nn.init.zeros_(model.tail.weight)  # type: ignore[union-attr, arg-type]
    nn.init.zeros_(model.tail.bias)  # type: ignore[union-attr, arg-type]
    assert torch.allclose(model(torch.rand(1, 3, 4, 4)), torch.tensor(0.5))


def test_unknown_architecture() -> None:
    from pipeline.errors import InputError

    with pytest.raises(
        InputError, match="'vdsr' is no file in pipeline/models/; allowed: direct, edsr, msrresnet, rcan, rdn, srresnet"
    ):
        registry.build("vdsr", {}, 4)
