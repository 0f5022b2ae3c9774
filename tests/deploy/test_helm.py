"""The chart: helm takes it, Kubernetes' own schemas take what it makes, and what it promises is in what it makes."""

from __future__ import annotations

import subprocess
from functools import cache
from typing import Any

import pytest
import yaml
from places import ROOT
from tools import BUILT, built

from stream.settings import load_settings

CHART = ROOT / "deploy" / "helm" / "penchant"
SKIPPED = "ScaledObject,ServiceMonitor,PrometheusRule"
"""Kinds that operators bring; their schemas are in no registry that we know."""

EVERYTHING = (
    "worker.gpu.count=1,worker.autoscaling.enabled=true,monitoring.serviceMonitor=true,monitoring.prometheusRule=true,"
    "monitoring.dashboard=true,kafka.secretName=k,kafka.tlsSecretName=t,worker.antiAffinity=required,"
    "worker.storage.className=fast,image.pullSecrets[0].name=x"
)
TIMEOUT_S = 120


def helm(*arguments: str, refused: bool = False) -> str:
    done = subprocess.run([built("helm"), *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (done.returncode != 0) == refused, done.stdout + done.stderr
    return done.stderr if refused else done.stdout


@cache
def rendered(values: str = "") -> str:
    more = ("--set", values) if values else ()
    return helm("template", "shop", str(CHART), "--kube-version", "1.34.0", *more)


def objects(values: str = "") -> dict[tuple[str, str], dict[str, Any]]:
    return {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(rendered(values)) if o}


def container(values: str = "", name: str = "shop-worker") -> dict[str, Any]:
    found: dict[str, Any] = objects(values)["StatefulSet", name]["spec"]["template"]["spec"]["containers"][0]
    return found


def test_helm_finds_nothing_wrong() -> None:
    helm("lint", "--strict", str(CHART))


@pytest.mark.parametrize("values", ["", EVERYTHING], ids=["defaults", "everything"])
def test_kubernetes_own_schemas_take_what_the_chart_makes(values: str) -> None:
    location = f"{BUILT}/schemas/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    command = [built("kubeconform"), "-strict", "-summary", "-skip", SKIPPED, "-schema-location", location]
    if not (BUILT / "schemas").is_dir():
        pytest.skip("the schemas of Kubernetes are not there (make tools)")
    done = subprocess.run(
        command, input=rendered(values), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("wrong", ["worker.replcas=2", "worker.gpu.count=-1", "settings=sasl_password = 'x'"])
def test_a_value_that_is_misspelt_or_out_of_bounds_or_a_secret_is_refused(wrong: str) -> None:
    assert "don't meet the specifications of the schema" in helm(
        "template", "p", str(CHART), "--set", wrong, refused=True
    )


def test_a_worker_has_longer_to_end_than_it_has_to_drain() -> None:
    pod = objects("worker.shutdownTimeoutSeconds=60")["StatefulSet", "shop-worker"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 80
    assert {"name": "PENCHANT_SHUTDOWN_TIMEOUT_S", "value": "60"} in pod["containers"][0]["env"]


def test_probes_ask_what_they_mean() -> None:
    worker, serve = container(), container(name="shop-serve")
    paths = {kind: worker[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/started", "readiness": "/ready", "liveness": "/healthz"}
    assert serve["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert serve["livenessProbe"]["httpGet"]["path"] == "/health/live"


def test_one_worker_is_away_at_a_time_and_comes_back_under_its_name() -> None:
    made = objects()
    assert made["PodDisruptionBudget", "shop-worker"]["spec"]["maxUnavailable"] == 1
    assert made["StatefulSet", "shop-worker"]["spec"]["updateStrategy"] == {"type": "RollingUpdate"}
    names = {each["name"]: each for each in container()["env"]}
    assert names["PENCHANT_GROUP_INSTANCE_ID"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert "podAntiAffinity" in made["StatefulSet", "shop-worker"]["spec"]["template"]["spec"]["affinity"]


def test_every_variable_it_gives_is_a_setting() -> None:
    known = {f"PENCHANT_{name.upper()}" for name in type(load_settings()).model_fields} | {"PENCHANT_CONFIG"}
    for name in ("shop-worker", "shop-serve"):
        assert {each["name"] for each in container(EVERYTHING, name)["env"]} <= known


@pytest.mark.parametrize("name", ["shop-worker", "shop-serve"])
def test_a_container_may_nothing_that_it_need_not(name: str) -> None:
    assert container(name=name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    pod = objects()["StatefulSet", name]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False


def test_secrets_come_from_secrets() -> None:
    token = next(e for e in container(name="shop-serve")["env"] if e["name"] == "PENCHANT_SERVE_READ_TOKEN")
    assert token["valueFrom"]["secretKeyRef"]["key"] == "read-token"
    assert container(EVERYTHING)["envFrom"] == [{"secretRef": {"name": "k"}}]


def test_the_rules_and_the_dashboard_of_the_chart_are_those_of_the_repository() -> None:
    made = objects(EVERYTHING)
    groups = made["PrometheusRule", "shop"]["spec"]["groups"]
    files = [yaml.safe_load((ROOT / f"deploy/prometheus/{n}.yaml").read_text()) for n in ("recording", "slo", "alerts")]
    assert groups == [group for file in files for group in file["groups"]]
    dashboard = made["ConfigMap", "shop-dashboard"]["data"]["penchant.json"]
    assert dashboard.strip() == (ROOT / "deploy/grafana/penchant.json").read_text().strip()


def test_a_gpu_is_asked_for_and_then_nothing_falls_back_to_the_cpu() -> None:
    worker = container(EVERYTHING)
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert worker["image"].endswith("-gpu")
    assert {"name": "PENCHANT_ENCODER_PROVIDER", "value": "cuda"} in worker["env"]
