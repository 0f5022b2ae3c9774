"""The units of one machine: systemd takes them, and they may little."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from places import ROOT

from stream.errors import BrokerUnreachableError, UsageError

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
NEWER = re.compile(r"Unknown key '(RestartSteps|RestartMaxDelaySec)'")
"""Of systemd 254; older ones go on without."""

EXPOSURE_MAX = 2.0


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian: systemd)")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_takes_the_unit(unit: Path, tmp_path: Path) -> None:
    here = tmp_path / unit.name
    here.write_text(unit.read_text().replace("/opt/penchant/bin/penchant", "/bin/true"))
    done = analyze("verify", str(here))
    complaints = [line for line in done.stderr.splitlines() if unit.name in line and not NEWER.search(line)]
    assert complaints == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_unit_may_little(unit: Path) -> None:
    done = analyze("security", "--offline=true", str(unit))
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) <= EXPOSURE_MAX, done.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_it_is_started_again_whatever_ended_it(unit: Path) -> None:
    """Also by exit code 2: that of wrong settings is that of a broker which is not up yet, and nobody would start it then."""
    assert issubclass(BrokerUnreachableError, UsageError)
    text = unit.read_text()
    assert "Restart=always" in text
    assert "StartLimitIntervalSec=0" in text
    assert "RestartPreventExitStatus" not in text
