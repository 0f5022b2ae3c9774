"""What is locked, as a security review asks for it: its licences, a bill of materials, and its known holes.

    make audit                     all three, into .audit
    make audit ARGS=--licences     the licences alone; needs no network

Exit codes: 0 nothing to object to; 1 a licence that is not allowed, or a known hole; 3 nobody could be asked for holes.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / ".audit"
SERVED = ROOT / "deploy" / "lock" / "serve.txt"
"""What runs where Penchant runs; `encoder.txt` adds what makes text vectors."""
LOCKS = (SERVED, ROOT / "deploy" / "lock" / "encoder.txt")

ALLOWED = re.compile(
    r"(0BSD|3-Clause BSD License|[\w-]*BSD[\w -]*|MIT[\w -]*|Apache[\w .-]*|ISC[\w ()]*|PSF[\w.-]*|Zlib|CC0-1\.0"
    r"|Python Software Foundation License|MPL[\w .-]*|Mozilla Public License 2\.0 \(MPL 2\.0|Repoze Public License"
    r"|DFSG approved|LLVM-exception|Unicode[\w.-]*)"
)
"""Permissive ones, and MPL 2.0, whose terms are about its own files. Nothing that runs may have another."""


def locked(lock: Path) -> list[str]:
    """Names in a lock file."""
    return re.findall(r"^([\w.-]+)==", lock.read_text(), re.MULTILINE)


def not_allowed(licence: str) -> bool:
    """Whether some part of an expression such as `MIT AND Zlib` may not be used; of alternatives one is enough."""
    return not any(
        all(ALLOWED.fullmatch(part.strip(" ()")) for part in re.split(r"\bAND\b|\bWITH\b|;", alternative))
        for alternative in re.split(r"\bOR\b", licence)
    )


def licences() -> list[dict[str, str]]:
    """Name, version and licence of everything locked that is installed here."""
    names = sorted({name for lock in LOCKS for name in locked(lock)})
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("pip-licenses")),
            "--format",
            "json",
            "--from",
            "mixed",
            "--packages",
            *names,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def main(arguments: Sequence[str]) -> int:
    """Run it; the exit code."""
    OUT.mkdir(exist_ok=True)
    found = licences()
    (OUT / "licences.json").write_text(json.dumps(found, indent=2) + "\n")
    bad = [f"{each['Name']} {each['Version']}: {each['License']}" for each in found if not_allowed(each["License"])]
    print(f"{len(found)} packages, licences in .audit/licences.json; not allowed: {', '.join(bad) or 'none'}")
    if "--licences" in arguments:
        return bool(bad)
    for lock in LOCKS:
        bill = OUT / f"{lock.stem}.cdx.json"
        subprocess.run(
            [str(Path(sys.executable).with_name("cyclonedx-py")), "requirements", "--pyproject", str(ROOT / "pyproject.toml"),
             "--output-reproducible", "--of", "JSON", "-o", str(bill), str(lock)], check=True,
        )  # fmt: skip
        print(f"{len(locked(lock))} components in .audit/{bill.name}")
    return _holes() or bool(bad)


def _holes() -> int:
    audit = [str(Path(sys.executable).with_name("pip-audit")), "--require-hashes", "--disable-pip", "--format", "json"]
    done = subprocess.run(
        [*audit, *(part for lock in LOCKS for part in ("-r", str(lock)))],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    try:
        answers = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        answers = []
    unknown = [each["name"] for each in answers if "skip_reason" in each]
    if not answers or len(unknown) == len(answers):
        print("known holes: nobody could be asked. Fix: run it where the vulnerability service of PyPI answers")
        return 3
    (OUT / "holes.json").write_text(json.dumps(answers, indent=2) + "\n")
    holes = [f"{each['name']} {each['version']}: {hole['id']}" for each in answers for hole in each.get("vulns", ())]
    print(f"known holes: {', '.join(holes) or 'none'}; not asked: {', '.join(unknown) or 'none'}")
    return bool(holes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
