"""The table of all settings in deploy/docs/settings.md. Write it anew with `python tests/support/settings_table.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from places import DOCS
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from stream.settings import ENV_PREFIX, Settings

DOCUMENT = DOCS / "settings.md"
BEGIN = "<!-- settings: begin, made by python tests/support/settings_table.py -->"
END = "<!-- settings: end -->"
SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
TYPES = {
    dict: "tables",
    tuple: "list",
    int: "integer",
    float: "number",
    bool: "`true` or `false`",
    str: "text",
    Path: "path",
    SecretStr: "secret",
}


def table() -> str:
    """One row per field of `Settings`, in their order."""
    rows = [
        f"| `{name}` | `{ENV_PREFIX}{name.upper()}` | {_kind(field)} | {_default(field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    head = ["| Setting | Environment variable | Values | Default | Meaning |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def documented(text: str) -> str:
    """What stands between the markers."""
    return text.partition(BEGIN)[2].partition(END)[0].strip()


def renewed(text: str) -> str:
    """`text` with the table of today between the markers."""
    return f"{text.partition(BEGIN)[0]}{BEGIN}\n{table()}\n{END}{text.partition(END)[2]}"


def _kind(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return " ".join(f"`{choice}`" for choice in get_args(field.annotation))
    bounds = [f"{SIGNS[key]} {value:g}" for key, value in _bounds(field.metadata) if key in SIGNS]
    plain = _plain(field.annotation)
    return " ".join([TYPES[get_origin(plain) or plain], ", ".join(bounds)]).strip()


def _plain(annotation: Any) -> Any:
    """The type without `| None`."""
    if get_origin(annotation) in {Union, UnionType}:
        return next(each for each in get_args(annotation) if each is not NoneType)
    return annotation


def _bounds(metadata: Any) -> Iterator[tuple[str, float]]:
    """`gt=0` and the like; pydantic keeps those of an `Annotated` alias inside a nested FieldInfo."""
    for each in metadata:
        if isinstance(each, FieldInfo):
            yield from _bounds(each.metadata)
        for key in SIGNS:
            if hasattr(each, key):
                yield key, getattr(each, key)


def _default(field: FieldInfo) -> str:
    if field.default is None:
        return "none"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


if __name__ == "__main__":
    DOCUMENT.write_text(renewed(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
