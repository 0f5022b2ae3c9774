"""One `docker compose up`: compose takes the file, whatever it mounts is there, and nothing is open to other machines."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import yaml
from places import ROOT
from prometheus_process import RULE_FILES
from tools import built, debian

from stream.settings import load_settings

COMPOSE = ROOT / "deploy" / "compose"
FILE = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]


def test_docker_compose_takes_it() -> None:
    command = [built("docker-compose"), "-f", str(COMPOSE / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_everything_that_is_mounted_or_built_from_is_in_the_repository() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            if volume.startswith("."):
                assert (COMPOSE / volume.split(":")[0]).exists(), volume
    build = FILE["x-penchant"]["build"]
    assert (ROOT / build["dockerfile"]).exists()


def test_each_process_is_asked_at_its_own_port_whether_it_is_well() -> None:
    """The image's HEALTHCHECK asks a worker; whoever runs something else of it would never be well, and `--wait` fail."""
    of_image = re.search(r"HEALTHCHECK .*:(\d+)/", (ROOT / FILE["x-penchant"]["build"]["dockerfile"]).read_text())
    assert of_image is not None
    assert of_image[1] == str(load_settings().metrics_port)
    for service in SERVICES.values():
        if service.get("image", "").startswith("penchant:") and service["command"] != ["worker"]:
            check = service["healthcheck"]
            assert check.get("disable") or f":{load_settings().serve_port}/health/" in check["test"][-1]


def test_images_are_pinned_and_ports_are_this_machines_own() -> None:
    for service in SERVICES.values():
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), service["image"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_every_variable_it_gives_is_a_setting() -> None:
    known = {f"PENCHANT_{name.upper()}" for name in type(load_settings()).model_fields}
    given = {
        name for service in SERVICES.values() for name in service.get("environment", ()) if name.startswith("PENCHANT")
    }
    assert given <= known


def test_prometheus_takes_its_configuration_with_the_rules_where_compose_mounts_them(tmp_path: Any) -> None:
    mounted = {v.split(":")[1]: v.split(":")[0] for v in SERVICES["prometheus"]["volumes"] if v.startswith(".")}
    for inside, outside in mounted.items():
        link = tmp_path / inside.removeprefix("/etc/prometheus/")
        link.symlink_to((COMPOSE / outside).resolve())
    (tmp_path / "read-token").write_text("t")
    text = (tmp_path / "prometheus.yml").read_text().replace("/run/secrets", str(tmp_path))
    (tmp_path / "there.yml").write_text(text)
    command = [debian("promtool", "prometheus"), "check", "config", "there.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("rules found") == len(RULE_FILES)
