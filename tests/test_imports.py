"""A serving worker starts fast and small: it never imports what only training needs, even where that is installed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from places import ROOT

TRAINING_ONLY = ("torch", "transformers", "tensorflow", "jax")
DEADLINE_S = 60.0


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
