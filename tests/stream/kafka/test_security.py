"""What a client cannot be made of is told in one line, before anything is connected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream.errors import SettingsError
from stream.kafka.security import check_security
from stream.settings import load_settings

SECRET = "hunter2-do-not-print"
OAUTH = {
    "sasl_mechanism": "OAUTHBEARER",
    "sasl_oauth_url": "http://127.0.0.1:9/token",
    "sasl_oauth_client_id": "shop",
    "sasl_oauth_client_secret": SECRET,
}
SCRAM = {"sasl_mechanism": "SCRAM-SHA-256", "sasl_username": "u", "sasl_password": SECRET}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"security_protocol": "SSL"},
        {"security_protocol": "SASL_SSL", **SCRAM},
        {"security_protocol": "SASL_PLAINTEXT", **OAUTH},
        {"ssl_ca_location": "missing.pem"},  # of no interest without TLS
    ],
)
def test_what_a_client_can_be_made_of_is_fine(given: dict[str, Any]) -> None:
    check_security(load_settings(**given))


@pytest.mark.parametrize(
    ("given", "named", "fix"),
    [
        ({"security_protocol": "SSL", "ssl_ca_location": "missing.pem"}, "ssl_ca_location missing.pem", "name a file"),
        (
            {"security_protocol": "SASL_PLAINTEXT", "sasl_oauth_ca_location": "missing.pem", **OAUTH},
            "sasl_oauth_ca_location missing.pem",
            "name a file",
        ),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "AWS_MSK_IAM", "sasl_aws_region": "eu-central-1"},
            "sasl_mechanism AWS_MSK_IAM",
            "pip install aws-msk-iam-sasl-signer-python",
        ),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "GSSAPI"}, "sasl_mechanism GSSAPI", "gssapi"),
    ],
)
def test_what_is_missing_is_named_with_the_fix(
    given: dict[str, Any], named: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.kafka.security.find_spec", lambda name: None)

    with pytest.raises(SettingsError) as raised:
        check_security(load_settings(**given))

    assert named in raised.value.message
    assert fix in raised.value.fix
    assert SECRET not in str(raised.value)


def test_a_librdkafka_without_kerberos_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.kafka.security.find_spec", lambda name: object())

    with pytest.raises(SettingsError, match=r"^sasl_mechanism GSSAPI: the installed librdkafka was built without it"):
        check_security(load_settings(security_protocol="SASL_PLAINTEXT", sasl_mechanism="GSSAPI"))


def test_a_file_that_holds_no_certificate_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "ca.pem"
    broken.write_text("not a certificate")

    with pytest.raises(SettingsError, match="settings are refused: ") as raised:
        check_security(load_settings(security_protocol="SSL", ssl_ca_location=broken))

    assert "\n" not in str(raised.value)
