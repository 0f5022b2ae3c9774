"""Secrets from files, as Docker and Kubernetes mount them: `PENCHANT_SASL_PASSWORD_FILE=/run/secrets/kafka`.

Such a file is not in `docker inspect`, nor in what child processes inherit, nor in a crash report that lists the environment.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from stream.errors import SettingsError

SUFFIX: Final = "_FILE"
SECRET_MAX_BYTES: Final = 64 << 10
"""A private key or a token is much smaller; a file beyond it is another one than was meant."""


def is_secret(field: FieldInfo) -> bool:
    """Whether a field's value may never be shown."""
    return "SecretStr" in str(field.annotation)


class SecretFiles(PydanticBaseSettingsSource):
    """Reads each secret whose variable has `_FILE` behind its name. An empty variable names no file."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """See the base class."""
        del field
        variable = f"{self.config['env_prefix']}{field_name.upper()}"
        named = {name.upper(): value for name, value in os.environ.items()}  # pydantic-settings takes any case, too
        path = named.get(f"{variable}{SUFFIX}")
        if not path:
            return None, field_name, False
        if named.get(variable):
            raise SettingsError(f"{variable} and {variable}{SUFFIX} are both set.", "unset one of them")
        return read_secret(Path(path), f"{variable}{SUFFIX}"), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Those that are in files."""
        secrets = [(name, field) for name, field in self.settings_cls.model_fields.items() if is_secret(field)]
        found = {name: self.get_field_value(field, name)[0] for name, field in secrets}
        return {name: value for name, value in found.items() if value is not None}


def read_secret(path: Path, variable: str) -> str:
    """What is in the file, without the line's end that an editor puts there.

    Raises:
        SettingsError: it cannot be read, is no text, is empty or too large; its content is not quoted.
    """
    try:
        with path.open("rb") as file:
            text = file.read(SECRET_MAX_BYTES + 1)
    except OSError as error:
        raise SettingsError(
            f"{variable} names {path}, which cannot be read: {error.strerror}.", "give this user the right to read it"
        ) from None
    try:
        secret = text.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise SettingsError(
            f"{variable} names {path}, which is not UTF-8 text.", "name the file of the secret"
        ) from None
    if not secret or len(text) > SECRET_MAX_BYTES:
        what = "empty" if not secret else f"larger than {SECRET_MAX_BYTES} bytes"
        raise SettingsError(f"{variable} names {path}, which is {what}.", "name the file of the secret")
    return secret
