"""params.yaml as frozen, typed sections. No defaults: a default in code would be a hyperparameter that DVC cannot see.

This module may reject a value and never alters one, so no stage depends on it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from pipeline import registry
from pipeline.errors import InputError
from pipeline.sections import OpenSection, Section, check_rest, explain, known, reject

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Rate = Annotated[float, Field(gt=0, lt=1)]


class Dataset(OpenSection):
    source: Annotated[str, known("sources")]

    @model_validator(mode="after")
    def check_source(self) -> Self:
        check_rest(registry.load("sources", self.source).Config, self.rest)
        return self


class Prepare(Section):
    tile: Annotated[int, Field(gt=0)]
    lr: Literal["bicubic", "official"]
    small: Literal["refuse", "skip"]


class Train(Section):
    epochs: Annotated[int, Field(gt=0)]
    patches_per_epoch: Annotated[int, Field(gt=0)]
    batch_size: Annotated[int, Field(gt=0)]
    patch: Annotated[int, Field(gt=0)]
    augment: bool
    schedule: Literal["step", "cosine", "linear"]
    lr_step: Annotated[int, Field(gt=0)]
    lr_gamma: Annotated[float, Field(gt=0, le=1)]
    warmup_steps: Annotated[int, Field(ge=0)]
    adam_betas: tuple[Rate, Rate]
    adam_eps: Rate
    weight_decay: Annotated[float, Field(ge=0)]
    clip_norm: Annotated[float, Field(gt=0)] | None
    skip_spikes: Annotated[float, Field(gt=1)] | None
    ema: Annotated[float, Field(ge=0, lt=1)]
    valid_crops: Annotated[int, Field(gt=0)]
    checkpoint_every: Annotated[int, Field(gt=0)]
    precision: Precision

    @model_validator(mode="after")
    def whole_batches(self) -> Self:
        if self.patches_per_epoch % self.batch_size:
            raise reject(f"patches_per_epoch: {self.patches_per_epoch} is no multiple of batch_size {self.batch_size}")
        return self


class Weights(Section):
    path: Path
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Variant(OpenSection):
    arch: Annotated[str, known("models")]
    loss: Annotated[str, known("losses")]
    optimizer: Annotated[str, known("optimizers")]
    lr: Rate
    init: Literal["torch", "interpolation"]
    warm_start: Weights | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    group: str | None = None
    train: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def check_arch(self) -> Self:
        module = registry.load("models", self.arch)
        check_rest(module.Config, self.rest)
        if self.init == "interpolation" and not hasattr(module.Model, "start_as_interpolation"):
            raise reject(f"init: {self.arch} cannot start as interpolation; allowed: torch")
        return self


class Frechet(Section):
    features: Literal["efficientnet_lite0", "inception"]
    weights: Path | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None

    @model_validator(mode="after")
    def weights_where_needed(self) -> Self:
        given = self.weights is not None and self.sha256 is not None
        if (self.features == "inception") != given:
            raise reject("features: inception needs weights and sha256, and efficientnet_lite0 takes neither")
        return self


class Evaluate(Section):
    metrics: Annotated[list[Annotated[str, known("metrics")]], Field(min_length=1)]
    protocols: Annotated[list[Literal["benchmark_y", "matlab_y", "ntire_rgb", "study"]], Field(min_length=1)]
    self_ensemble: bool
    tile: Annotated[int, Field(gt=0)] | None
    sets: list[Annotated[str, Field(pattern="^[A-Za-z0-9_-]+$")]]
    sets_path: Path
    crop: Annotated[int, Field(gt=0)]
    crops_per_image: Annotated[int, Field(gt=0)]
    frechet: Frechet
    lpips: Weights | None

    @model_validator(mode="after")
    def sets_apart(self) -> Self:
        if "valid" in self.sets or len(set(self.sets)) < len(self.sets):
            raise reject(f"sets: expected each name once and none called valid (the validation pictures), found {self.sets}")
        return self


class Params(Section):
    dataset: Dataset
    scale: Annotated[int, Field(ge=2, le=8)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    prepare: Prepare
    train: Train
    models: dict[Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")], Variant]
    evaluate: Evaluate

    @model_validator(mode="after")
    def fits_together(self) -> Self:
        if "bicubic" in self.models:
            raise reject("models.bicubic: this name is reserved for plain interpolation; choose another")
        sizes = [("prepare.tile", self.prepare.tile), ("evaluate.crop", self.evaluate.crop)]
        for where, train in self.trainings():
            sizes.append((f"{where}.patch", train.patch))
            if train.patch > self.prepare.tile:
                raise reject(f"{where}.patch: {train.patch} is larger than a tile (prepare.tile: {self.prepare.tile})")
        for name, variant in self.models.items():
            if variant.optimizer == "adam" and variant.train.get("weight_decay", self.train.weight_decay):
                raise reject(f"models.{name}.optimizer: adam makes no weight_decay; choose muon, or train.weight_decay: 0")
        taken: dict[tuple[str | None, int | None], str] = {}
        for name, variant in self.models.items():
            seed = self.seed if variant.seed is None else variant.seed
            if (other := taken.setdefault((variant.group, seed), name)) != name and variant.group:
                raise reject(f"models.{name}.seed: {seed} is that of models.{other}, too; a group's members each have their own")
        for where, size in sizes:
            if size % self.scale:
                raise reject(f"{where}: {size} is no multiple of the scale {self.scale}")
        return self

    def trainings(self) -> Iterable[tuple[str, Train]]:
        yield "train", self.train
        for name, variant in self.models.items():
            if variant.train:
                try:
                    yield f"models.{name}.train", Train(**{**self.train.model_dump(), **variant.train})
                except ValidationError as error:
                    raise reject("; ".join(explain(error, f"models.{name}.train"))) from None


def load(path: Path) -> Params:
    """Read params.yaml. Raises InputError that names every wrong key, its value and what is allowed."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Params.model_validate(values)
    except FileNotFoundError:
        raise InputError(f"{path}: expected the parameters of the study, found no file; run from the project's root") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected YAML in UTF-8: {error}") from None
    except ValidationError as error:
        raise InputError(f"{path}:\n" + "\n".join(f"  {line}" for line in explain(error))) from None
