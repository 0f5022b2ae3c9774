"""The directory that `flwr run` takes: Flower's description of the app, and the two names that it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from stream.analysis.federated.run import FederationOptions
from stream.errors import UsageError

PACKAGE: Final = "penchant_federation"

_PROJECT: Final = """\
# Written by `penchant train federated --app`. deploy/docs/federated.md says how it is run.
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "penchant-federation"
version = "1.0.0"
license = "Apache-2.0"
dependencies = []  # Penchant with the extra `federated` is installed at every place

[tool.hatch.build.targets.wheel]
packages = ["."]

[tool.flwr.app]
publisher = "penchant"

[tool.flwr.app.components]
serverapp = "{package}.apps:server"
clientapp = "{package}.apps:client"

[tool.flwr.app.config]
out = "{out}"
clients = {clients}
rounds = {rounds}
how = "{how}"
norm-max = {norm_max}
steps = {steps}
"""

_APPS: Final = '''\
"""What Flower starts."""

from stream.analysis.federated.app import client_app, server_app

client = client_app()
server = server_app()
'''


def write_app(directory: Path, out: Path, options: FederationOptions) -> None:
    """Write it; files of these names that are there are replaced.

    Raises:
        UsageError: the directory cannot be written.
    """
    package = directory / PACKAGE
    project = _PROJECT.format(
        package=PACKAGE,
        out=str(out.resolve()).replace("\\", "\\\\").replace('"', '\\"'),
        clients=options.clients_min,
        rounds=options.rounds,
        how=options.how,
        norm_max=float(options.norm_max or 0.0),
        steps=int(options.config.get("steps", 1)),
    )
    try:
        package.mkdir(parents=True, exist_ok=True)
        (directory / "pyproject.toml").write_text(project, encoding="utf-8")
        (package / "__init__.py").write_text("", encoding="utf-8")
        (package / "apps.py").write_text(_APPS, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{directory} cannot be written: {error.strerror}.", "choose another --app") from None
