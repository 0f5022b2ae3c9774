"""A TOML file that a person wrote, whole."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from stream.errors import InputFileError


def read_toml(path: Path) -> dict[str, Any]:
    """Its tables.

    Raises:
        InputFileError: it cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror}.", "name an existing file") from None
    except UnicodeDecodeError:
        raise InputFileError(f"{path} is not UTF-8.", "save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise InputFileError(f"{path} is not valid TOML: {error}.", "correct the line it names") from None
    except RecursionError:
        raise InputFileError(f"{path} is nested too deeply.", "write fewer tables inside each other") from None
