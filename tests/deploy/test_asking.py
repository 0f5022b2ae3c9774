"""The programs that ask, in three languages: they say the same, and end with the exit codes that they name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from fake_serve import FakeServe, listening
from places import ROOT

EXAMPLES = ROOT / "deploy" / "examples"
NOBODY = "http://127.0.0.1:1"
PROGRAMS = {"ask.py": (sys.executable,), "ask.sh": ("sh",), "ask.js": ("node",)}
NEEDS = {"ask.py": (), "ask.sh": ("curl", "jq"), "ask.js": ("node",)}
TIMEOUT_S = 60


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    for needed in NEEDS[program]:
        if shutil.which(needed) is None:
            pytest.skip(f"needs {needed}")
    return subprocess.run(
        [*PROGRAMS[program], str(EXAMPLES / program), *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_list_after_a_click_reflects_it(program: str, serve_url: str) -> None:
    done = run(program, serve_url, "ann", "lamp")

    assert (done.returncode, done.stderr) == (0, "")
    before, after, *reasons = done.stdout.splitlines()
    assert before.startswith("before: ")
    assert after.startswith("after: ")
    assert "not in it yet" not in done.stdout
    assert [line.partition(". ")[0] for line in reasons] == [str(rank) for rank in range(1, len(reasons) + 1)]
    assert reasons
    assert all(line.partition(": ")[2] for line in reasons), "each has a sentence"


@pytest.mark.parametrize("program", PROGRAMS)
def test_all_of_them_say_the_same(program: str, serve_url: str) -> None:
    assert run(program, serve_url, "ann", "lamp").stdout.splitlines()[:3] == [
        'before: Tea cup, Tea pot, Oak tray, Green tea, 100 g, <b>Brass</b> lamp & "shade"',
        'after: <b>Brass</b> lamp & "shade", 蜂蜡蜡烛 (beeswax), Odd id, Tea cup, Tea pot',
        '1. <b>Brass</b> lamp & "shade": Because of “<b>Brass</b> lamp & "shade"”, just now.',
    ]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_list_that_stays_behind_is_told(program: str, fake: FakeServe, serve_url: str) -> None:
    fake.reflected = 0
    done = run(program, serve_url, "ann", "lamp")

    assert done.returncode == 0, done.stderr
    assert "the click is not in it yet" in done.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_refused_is_said_with_its_detail(program: str) -> None:
    with listening(FakeServe(token="secret").app) as url:
        done = run(program, url, "ann", "lamp")

    assert done.returncode != 0
    assert "A token is needed" in done.stderr


@pytest.mark.parametrize("program", ["ask.js", "ask.sh"])
def test_nobody_at_the_address_is_an_error(program: str) -> None:
    done = run(program, NOBODY, "ann", "lamp")

    assert (done.returncode != 0, done.stdout) == (True, "")
    assert done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_arguments_it_says_what_it_needs(program: str) -> None:
    done = run(program)

    assert done.returncode != 0
    assert "URL USER_ID ITEM_ID" in done.stderr
