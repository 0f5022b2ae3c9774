"""A serving worker starts fast and small: it never imports what only training needs, even where that is installed."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from places import ROOT

TRAINING_ONLY = ("torch", "transformers", "tensorflow", "jax")
DEADLINE_S = 60.0

WITH_IMPLICIT = {"scipy", "threadpoolctl"}
"""What the extra `evaluate` brings along, which is not installed here."""


def run(code, *paths):
    """Run code in a fresh interpreter that finds `paths` before everything else."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PENCHANT_")}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, [*paths, ROOT]))
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


@pytest.fixture
def installed(tmp_path):
    """Packages that are found like installed ones and say so when they are imported."""
    for name in TRAINING_ONLY:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise RuntimeError('{name} was imported')\n")
    return tmp_path


@pytest.mark.parametrize(
    "module", ["stream.worker.app", "stream.worker.worker", "stream.worker.tracker", "stream.cli.main"]
)
def test_serving_imports_nothing_that_only_training_needs_even_if_it_is_installed(installed, module):
    done = run(
        f"import sys, {module}\nprint(*(name for name in sys.modules if name.split('.')[0] in {TRAINING_ONLY}))\n",
        installed,
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_the_fixture_would_notice(installed):
    done = run("import torch", installed)
    assert "torch was imported" in done.stderr


def test_importing_a_worker_connects_to_nothing_and_reads_no_setting():
    code = (
        "import os, socket\n"
        "def refuse(*a): raise RuntimeError('connected')\n"
        "socket.socket.connect = refuse\n"
        "os.environ['PENCHANT_NO_SUCH_SETTING'] = '1'\n"
        "os.environ['PENCHANT_CONFIG'] = '/nowhere'\n"
        "import stream.worker.app\n"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr


def _normalised(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _shipped() -> set[str]:
    """Distributions that a user has: those of the locks of `make demo`, and of the extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [each for extra in project["optional-dependencies"].values() for each in extra]
    names = {re.split(r"[\[<>=;! ]", each)[0] for each in asked}
    for lock in ("serve.txt", "encoder.txt"):
        names |= set(re.findall(r"^([A-Za-z0-9_.-]+)==", (ROOT / "deploy/lock" / lock).read_text(), re.MULTILINE))
    return {_normalised(name) for name in names} | WITH_IMPLICIT


def _imported(path: Path) -> Iterator[str]:
    """Packages that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name.partition(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_the_product_imports_nothing_that_only_its_developers_have() -> None:
    """`make test` has everything installed and would not notice; `make demo` has not."""
    shipped, distributions = _shipped(), packages_distributions()
    missing = [
        f"{path.relative_to(ROOT)}: {name}"
        for top in ("stream", "models")
        for path in sorted((ROOT / top).rglob("*.py"))
        for name in sorted(set(_imported(path)) - sys.stdlib_module_names - {"stream", "models"})
        if not shipped & {_normalised(each) for each in distributions.get(name, [name])}
    ]
    assert missing == []
