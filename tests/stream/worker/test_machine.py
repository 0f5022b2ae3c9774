"""What the machine has, as the metrics tell it: disk, memory, the ends of certificates."""

from __future__ import annotations

import calendar
import subprocess
from pathlib import Path

import pytest

from stream.metrics import Metrics
from stream.settings import load_settings
from stream.worker.machine import expiry_s, explore_share_max, tell_of_machine

END_S = calendar.timegm((2031, 5, 6, 7, 8, 9))


def certificate(folder: Path, name: str, end: str) -> Path:
    """Self-signed, no authority; `end` as `openssl ca` takes it."""
    new = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"]
    subprocess.run([*new, "-keyout", f"{name}.key", "-out", f"{name}.csr"], cwd=folder, check=True, capture_output=True)
    (folder / "index.txt").write_text("")
    (folder / "ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n"
        "[p]\ncommonName=supplied\n"
    )
    sign = [
        "openssl",
        "ca",
        "-batch",
        "-config",
        "ca.cnf",
        "-selfsign",
        "-keyfile",
        f"{name}.key",
        "-in",
        f"{name}.csr",
    ]
    dates = ["-startdate", "20200101000000Z", "-enddate", end]
    subprocess.run([*sign, *dates, "-out", f"{name}.pem"], cwd=folder, check=True, capture_output=True)
    return folder / f"{name}.pem"


@pytest.mark.parametrize(
    ("end", "seconds"),
    [("20310506070809Z", END_S), ("20640506070809Z", calendar.timegm((2064, 5, 6, 7, 8, 9)))],
    ids=["UTCTime", "GeneralizedTime"],
)
def test_the_end_of_a_certificate_is_read_to_the_second(tmp_path: Path, end: str, seconds: int) -> None:
    assert expiry_s(certificate(tmp_path, "leaf", end)) == seconds


def test_of_several_certificates_in_a_file_the_first_to_end_counts(tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    ends = ("20640506070809Z", "20310506070809Z")
    both.write_text("".join(certificate(tmp_path, f"c{i}", end).read_text() for i, end in enumerate(ends)))
    assert expiry_s(both) == END_S


def test_what_cannot_be_read_has_ended_long_ago(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    for text in ("", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        broken.write_text(text)
        assert expiry_s(broken) == 0
    assert expiry_s(tmp_path / "missing.pem") == 0


def test_the_metrics_tell_what_the_machine_has_as_it_is_when_they_are_asked(tmp_path: Path) -> None:
    pem = certificate(tmp_path, "leaf", "20310506070809Z")
    settings = load_settings(ssl_certificate_location=pem, security_protocol="SSL")
    metrics, why_not = Metrics(), ["starting"]
    tell_of_machine(metrics, settings, "worker", tmp_path / "not" / "yet", lambda: why_not[0] if why_not else None)

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"penchant_{name}", labels)

    end = "certificate_expiry_timestamp_seconds"
    assert value(end, certificate="ssl_certificate_location") == END_S
    assert value(end, certificate="ssl_ca_location") is None
    assert 0 < value("disk_free_bytes") <= value("disk_size_bytes")
    assert value("memory_limit_bytes") > 1 << 26
    assert value("ready", role="worker") == 0
    why_not.clear()
    pem.unlink()
    assert value("ready", role="worker") == 1
    assert value(end, certificate="ssl_certificate_location") == 0


def test_how_much_may_explore_is_what_the_settings_give_to_anybody() -> None:
    assert explore_share_max(load_settings()) == 0
    placements = {"home": {"explore": {"slots": 2, "from_place": 5, "rate": 0.5}}, "mail": {"slots": 4}}
    assert explore_share_max(load_settings(top_k=10, placements=placements)) == pytest.approx(0.1)
