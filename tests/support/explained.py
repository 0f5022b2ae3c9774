"""`penchant explain --json`: what the answers of `penchant serve` are compared with."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from places import ROOT
from serve_world import World

NUMBERS = ("item_id", "rank", "score", "probability", "strategy", "propensity", "parts")
"""What both say of a place, to the byte."""


def explained(world: World, *arguments: str) -> Any:
    settings = world.topics.settings
    environment = {f"PENCHANT_{name.upper()}": str(getattr(settings, name)) for name in settings.model_fields_set} | {
        "PENCHANT_ENCODER_MODEL": "none",
        "PATH": "",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-m", "stream", "explain", *arguments, "--json", "--top", "20", "--rankings", "0"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(done.stdout)
