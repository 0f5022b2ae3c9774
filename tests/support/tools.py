"""Programs of others that some tests need. Where one is missing its tests are skipped; with CI=true that is a failure where
`.ci/run` installs it: CI must not turn green because it tested nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

BUILT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "penchant" / "tools"
"""Where `make tools` puts what it builds."""


def debian(name: str, package: str) -> str:
    """The program, of a package of Debian's that `.ci/run` installs."""
    found = shutil.which(name)
    if found is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing(f"{name} is not installed (Debian: apt-get install {package})")
    return found or name


def built(name: str) -> str:
    """The program, of those that `make tools` builds, or another on PATH."""
    found = shutil.which(name, path=f"{BUILT}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        pytest.skip(f"{name} is not built (make tools: minutes, once; needs Go)")
    return found
