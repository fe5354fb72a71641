"""params.yaml: what is accepted, and one clear line for each thing that is wrong."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from pipeline import ablation, comparison, config
from pipeline.errors import InputError
from tests.repository import ROOT, tiny_params


def load(tmp_path: Path, values: Any) -> config.Params:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return config.load(path)


def put(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        values = values[parent]
    values[last] = value


CLAIMS = {
    "mse": "loss",
    "no_mean": "mean",
    "unscaled": "residual_scale",
    "shallow": "blocks",
    "narrow": "width",
    "constant_lr": "train.lr_gamma",
    "no_batch_norm": "batch_norm",
}


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *sorted((ROOT / "profiles").glob("*.yaml"))], ids=lambda path: path.name)
def test_parameters_of_the_repository_are_valid(path: Path) -> None:
    claims = {f"{arm}_{seed}" for arm in (*CLAIMS, "full", "srresnet") for seed in (1, 2, 3)}
    expected = {"fast.yaml": {"direct"}, "claims.yaml": claims}
    assert set(config.load(path).models) == expected.get(path.name, {"srresnet", "edsr", "edsr_mse"})


def test_each_claim_is_one_parameter() -> None:
    """Every arm of profiles/claims.yaml differs from the full model or from the baseline in the parameter that it is about."""
    params, nothing = config.load(ROOT / "profiles" / "claims.yaml"), pd.DataFrame()
    found = {arm.name: arm for arm in ablation.arms(comparison.Study(params, nothing, nothing, nothing, nothing, ROOT))}
    assert {len(arm.members) for arm in found.values()} == {3}
    for name, parameter in CLAIMS.items():
        other = found["srresnet" if name == "no_batch_norm" else "full"].settings
        assert [key for key in other | found[name].settings if other.get(key) != found[name].settings.get(key)] == [parameter]


@pytest.mark.parametrize("text", ["1e-05", "1e-4", "0.0001"])
def test_numbers_that_yaml_reads_as_text(tmp_path: Path, text: str) -> None:
    values = tiny_params()
    values["models"]["edsr"]["lr"] = text
    assert load(tmp_path, values).models["edsr"].lr == float(text)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("trian", {}, "trian: unknown key; did you mean train?"),
        ("train.epoch", 3, "train.epoch: unknown key; did you mean epochs?"),
        ("train.epochs", 0, "train.epochs: found 0: Input should be greater than 0"),
        ("train.epochs", "many", "train.epochs: found 'many': Input should be a valid integer"),
        ("train.batch_size", 3, "train.patches_per_epoch: 4 is no multiple of batch_size 3"),
        ("train.patch", 33, "train.patch: 33 is no multiple of the scale 4"),
        ("train.patch", 128, "train.patch: 128 is larger than a tile (prepare.tile: 64)"),
        ("train.weight_decay", 0.1, "models.edsr.optimizer: adam makes no weight_decay; choose muon, or train.weight_decay: 0"),
        ("train.precision", "half", "train.precision: found 'half': Input should be '32-true'"),
        ("prepare.tile", 66, "prepare.tile: 66 is no multiple of the scale 4"),
        ("evaluate.crop", 50, "evaluate.crop: 50 is no multiple of the scale 4"),
        (
            "evaluate.metrics",
            ["psnrr"],
            "evaluate.metrics.0: found 'psnrr': no file pipeline/metrics/psnrr.py; allowed: psnr, ssim",
        ),
        ("evaluate.sets", ["valid"], "evaluate.sets: expected each name once and none called valid"),
        ("evaluate.sets", ["Set5", "Set5"], "evaluate.sets: expected each name once"),
        ("evaluate.metrics", [], "evaluate.metrics: found []: List should have at least 1 item"),
        ("evaluate.frechet.features", "vgg", "evaluate.frechet.features: found 'vgg': Input should be 'efficientnet_lite0' or"),
        ("evaluate.frechet.features", "inception", "evaluate.frechet.features: inception needs weights and sha256"),
        ("scale", 1, "scale: found 1: Input should be greater than or equal to 2"),
        ("seed", -1, "seed: found -1"),
        (
            "models.edsr.arch",
            "edsrr",
            "models.edsr.arch: found 'edsrr': no file pipeline/models/edsrr.py; allowed: direct, edsr, msrresnet, rcan, rdn,",
        ),
        ("models.edsr.loss", "l2", "models.edsr.loss: found 'l2': no file pipeline/losses/l2.py; allowed: l1, mse"),
        ("models.edsr.lr", 0, "models.edsr.lr: found 0: Input should be greater than 0"),
        ("models.edsr.lr", True, "models.edsr.lr: found True: Input should be less than 1"),
        ("models.edsr.widht", 3, "models.edsr.widht: unknown key; did you mean width?"),
        ("models.edsr.width", "wide", "models.edsr.width: found 'wide': Input should be a valid integer"),
        ("models.edsr.width", 2, "models.edsr.width: found 2: Input should be greater than or equal to 3"),
        ("models.edsr.blocks", -1, "models.edsr.blocks: found -1: Input should be greater than or equal to 1"),
        ("models.edsr.std", [1, 0, 1], "models.edsr.std.1: found 0: Input should be greater than 0"),
        ("models.edsr.init", "zeros", "models.edsr.init: found 'zeros': Input should be 'torch' or 'interpolation'"),
        ("models.edsr.train", {"epocs": 1}, "models.edsr.train.epocs: unknown key; did you mean epochs?"),
        ("models.edsr.train", {"patch": 34}, "models.edsr.train.patch: 34 is no multiple of the scale 4"),
        ("models.bicubic", {"arch": "edsr"}, "models.bicubic"),
        (
            "dataset.source",
            "imagenet",
            "dataset.source: found 'imagenet': no file pipeline/sources/imagenet.py; allowed: div2k, folder, photos",
        ),
        ("dataset.train", ["lena"], "dataset.train: found 'lena'; allowed: astronaut, chelsea"),
        ("dataset.train", ["chelsea"], "dataset.train: chelsea named more than once in train and valid"),
        ("dataset.valid", [], "dataset.valid: found []"),
    ],
)
def test_one_clear_error(tmp_path: Path, key: str, value: Any, message: str) -> None:
    values = tiny_params()
    put(values, key, value)
    with pytest.raises(InputError) as caught:
        load(tmp_path, values)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'params.yaml'}:")


def test_seeds_of_a_group_differ(tmp_path: Path) -> None:
    values = tiny_params()
    values["models"]["again"] = values["models"]["edsr"] | {"group": "edsr", "seed": values["seed"]}
    values["models"]["edsr"] |= {"group": "edsr"}
    with pytest.raises(InputError, match=r"models.edsr.seed: 0 is that of models.again, too; a group's members each have their"):
        load(tmp_path, values)
    values["models"]["again"]["seed"] = 1
    load(tmp_path, values)


def test_attention_needs_a_channel(tmp_path: Path) -> None:
    values = tiny_params()
    edsr = values["models"]["edsr"]
    values["models"]["rcan"] = {**edsr, "arch": "rcan", "groups": 1, "blocks": 1, "width": 6, "reduction": 8}
    del values["models"]["rcan"]["residual_scale"]
    with pytest.raises(InputError, match=r"models.rcan.reduction: 8 leaves none of the width's 6 channels; choose a smaller one"):
        load(tmp_path, values)


def test_bicubic_is_reserved(tmp_path: Path) -> None:
    values = tiny_params()
    values["models"]["bicubic"] = values["models"]["edsr"]
    with pytest.raises(InputError, match=r"models.bicubic: this name is reserved for plain interpolation; choose another"):
        load(tmp_path, values)


def test_missing_values_have_no_default(tmp_path: Path) -> None:
    values = tiny_params()
    del values["train"]["lr_step"], values["models"]["edsr"]["residual_scale"]
    with pytest.raises(InputError) as caught:
        load(tmp_path, values)
    assert "train.lr_step: missing; every value must stand in params.yaml" in str(caught.value)
    assert "models.edsr.residual_scale: missing" in str(caught.value)


@pytest.mark.parametrize("text", ["", "just text", "a: [", "- 1"])
def test_no_parameters_at_all(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"params\.yaml"):
        config.load(tmp_path / "params.yaml")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no file; run from the project's root"):
        config.load(tmp_path / "params.yaml")
