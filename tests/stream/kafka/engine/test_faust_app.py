"""What the settings say of a connection reaches aiokafka as it reaches librdkafka."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from stream.kafka.engine.faust_app import make_faust_app
from stream.kafka.engine.tokens import KeptTokens
from stream.settings import load_settings


def auth_of(**given: Any) -> dict[str, Any]:
    """What Faust tells aiokafka."""
    return dict(credentials_to_aiokafka_auth(make_faust_app(load_settings(**given)).conf.broker_credentials))


@pytest.mark.parametrize(("asked", "is_checked"), [("https", True), ("none", False)])
def test_a_certificate_is_checked_and_its_name_unless_that_is_not_asked_for(asked: str, is_checked: bool) -> None:
    auth = auth_of(security_protocol="SSL", ssl_endpoint_identification=asked)

    assert auth["security_protocol"] == "SSL"
    assert auth["ssl_context"].check_hostname is is_checked
    assert auth["ssl_context"].verify_mode is ssl.CERT_REQUIRED


def test_kerberos_names_the_brokers_service() -> None:
    auth = auth_of(security_protocol="SASL_SSL", sasl_mechanism="GSSAPI", sasl_kerberos_service_name="broker")

    assert (auth["security_protocol"], auth["sasl_mechanism"]) == ("SASL_SSL", "GSSAPI")
    assert auth["sasl_kerberos_service_name"] == "broker"
    assert auth["ssl_context"].check_hostname


@pytest.mark.parametrize(
    "given",
    [
        {"sasl_mechanism": "AWS_MSK_IAM", "sasl_aws_region": "eu-central-1"},
        {
            "sasl_mechanism": "OAUTHBEARER",
            "sasl_oauth_url": "https://id.example/token",
            "sasl_oauth_client_id": "shop",
            "sasl_oauth_client_secret": "s",
        },
    ],
)
def test_tokens_come_from_a_provider_that_keeps_them(given: dict[str, Any]) -> None:
    auth = auth_of(security_protocol="SASL_SSL", **given)

    assert (auth["security_protocol"], auth["sasl_mechanism"]) == ("SASL_SSL", "OAUTHBEARER")
    assert isinstance(auth["sasl_oauth_token_provider"], KeptTokens)


def test_the_consumer_names_itself_and_its_rack() -> None:
    app = make_faust_app(load_settings(client_id_prefix="shop", group_instance_id="pod-3", client_rack="a"))

    assert app.conf.broker_client_id == "shop-pod-3-reader"
    assert app.transport.client_rack == "a"
