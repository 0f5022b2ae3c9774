"""The images: what they copy is there, and the steps that need no Docker run. deploy/docs/deploy.md says which did not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from stream import __version__

IMAGES = ROOT / "deploy" / "images"
FILES = sorted(IMAGES.glob("*.Dockerfile"))
STEPS = sorted((IMAGES / "steps").glob("*.sh"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_an_image_copies_or_runs_of_ours_is_in_the_repository(file: Path) -> None:
    text = file.read_text()
    copied = [word for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.M) for word in line.split()[:-1]]
    run = re.findall(r"(deploy/(?:images/steps|lock)/[\w.-]+)", text)
    assert [path for path in copied + run if not (ROOT / path).exists()] == []
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert [p for p in copied if not any(p.strip("/").startswith(kept[1:]) for kept in ignored if kept[0] == "!")] == []


@pytest.mark.parametrize("file", [f for f in FILES if f.stem != "serve"], ids=lambda file: file.stem)
def test_a_container_is_nobody_and_has_somebody_to_reap_its_children(file: Path) -> None:
    text = file.read_text()
    assert "USER 10001:10001" in text
    assert 'ENTRYPOINT ["tini", "--"' in text


def test_what_serves_has_no_torch_and_no_compiler_and_only_what_is_locked() -> None:
    steps = re.sub(r"^#.*", "", (IMAGES / "worker.Dockerfile").read_text(), flags=re.M)
    assert not re.search(r"torch|gcc|build-essential", steps)
    assert "--require-hashes" in (IMAGES / "steps" / "install.sh").read_text()
    locked = "".join((ROOT / "deploy" / "lock" / f"{name}.txt").read_text() for name in ("serve", "encoder", "model"))
    assert not re.search(r"^(torch|transformers)==", locked, re.M)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.stem)
def test_a_step_is_a_shell_script_that_can_be_run(step: Path) -> None:
    subprocess.run(["sh", "-n", str(step)], check=True, timeout=30)
    assert os.access(step, os.X_OK)


def test_the_entry_point_brings_the_machine_code_to_where_numba_loads_it_and_becomes_the_command(
    tmp_path: Path,
) -> None:
    baked = tmp_path / "baked"
    baked.mkdir()
    (baked / "loop.code").write_bytes(b"code")
    command = tmp_path / "penchant"
    command.write_text('#!/bin/sh\nls "$NUMBA_CACHE_DIR"; echo "$NUMBA_CACHE_DIR" "$@"\n')
    command.chmod(0o755)
    env = os.environ | {"IMAGE_BAKED": str(baked), "IMAGE_COMMAND": str(command), "TMPDIR": str(tmp_path)}
    for _ in range(2):  # a container that is started again finds its /tmp as it was
        done = subprocess.run(
            [str(IMAGES / "steps" / "entrypoint.sh"), "worker", "--log-level", "info"],
            env=env, capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        assert done.stdout.split() == ["loop.code", f"{tmp_path}/compiled", "worker", "--log-level", "info"]
    assert (tmp_path / "compiled").stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in tmp_path.iterdir()) == ["baked", "compiled", "penchant"]


def test_everything_is_compiled_without_a_broker() -> None:
    done = subprocess.run(
        [sys.executable, str(IMAGES / "steps" / "compile.py")],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("compiled in ")


def test_chart_compose_and_images_are_of_this_release() -> None:
    for path in ("helm/penchant/Chart.yaml", "compose/compose.yaml", "images/serve.Dockerfile"):
        found = re.findall(r"(?:penchant:|[vV]ersion: \"?)(\d+\.\d+\.\d+)", (ROOT / "deploy" / path).read_text())
        assert set(found) == {__version__}, path
