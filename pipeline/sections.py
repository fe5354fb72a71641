"""What sections of params.yaml are made of: frozen, typed, without defaults; and how their errors read.

This module may reject a value and never alters one, so no stage depends on it.
"""

import difflib
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from pipeline import registry

Count = Annotated[int, Field(ge=1)]
Width = Annotated[int, Field(ge=3)]  # channels: a start as interpolation carries three colours
Positive = Annotated[float, Field(gt=0)]


def reject(reason: str) -> PydanticCustomError:
    """The error of a section's own check; `reason` begins with the key inside the section: "patch: 97 is no ..."."""
    return PydanticCustomError("section", "{reason}", {"reason": reason})


def check_rest(config: type[BaseModel], rest: dict[str, Any]) -> None:
    """Check the keys that belong to the named file's own Config."""
    try:
        config(**rest)
    except ValidationError as error:
        raise reject("; ".join(explain(error))) from None


def known(kind: str) -> AfterValidator:
    """A validator for a name that must be a file in pipeline/<kind>/."""

    def check(name: str) -> str:
        if name not in registry.names(kind):
            allowed = ", ".join(registry.names(kind))
            raise PydanticCustomError("name", f"no file pipeline/{kind}/{{name}}.py; allowed: {allowed}", {"name": name})
        return name

    return AfterValidator(check)


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OpenSection(BaseModel):
    """A section whose further keys belong to the file that it names."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @property
    def rest(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


def explain(error: ValidationError, prefix: str = "") -> list[str]:
    """One line for each wrong value: key, value, what is allowed."""
    lines = []
    for item in error.errors():
        key = ".".join([prefix, *map(str, item["loc"])]).strip(".")
        if item["type"] == "extra_forbidden":
            lines.append(f"{key}: unknown key{_near(error.title, str(item['loc'][-1]))}")
        elif item["type"] == "missing":
            lines.append(f"{key}: missing; every value must stand in params.yaml")
        elif item["type"] == "section":
            lines.append(f"{key}.{item['msg']}".strip("."))
        else:
            lines.append(f"{key}: found {item['input']!r}: {item['msg']}")
    return lines


def _near(section: str, key: str) -> str:
    keys = [name for cls in Section.__subclasses__() for name in cls.model_fields]
    close = difflib.get_close_matches(key, keys, n=1)
    return f"; did you mean {close[0]}?" if close else ""
