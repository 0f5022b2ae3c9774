"""How every client proves who it is to Kafka, and how it knows that it speaks with Kafka: SASL and TLS."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator

from stream.settings.msk import msk_token

_NEEDS: Final = {
    "PLAIN": ("sasl_username", "sasl_password"),
    "SCRAM-SHA-256": ("sasl_username", "sasl_password"),
    "SCRAM-SHA-512": ("sasl_username", "sasl_password"),
    "OAUTHBEARER": ("sasl_oauth_url", "sasl_oauth_client_id", "sasl_oauth_client_secret"),
    "GSSAPI": (),
    "AWS_MSK_IAM": ("sasl_aws_region",),
}
"""Without these settings a mechanism says nothing."""


class SecuritySettings(BaseModel):
    """How every client proves who it is to Kafka, and how it knows that it speaks with Kafka: SASL and TLS."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How every client connects to Kafka"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI", "AWS_MSK_IAM"] = Field(
        "PLAIN", description="SASL mechanism, with a `SASL_*` security protocol"
    )
    sasl_username: str | None = Field(None, description="SASL user name")
    sasl_password: SecretStr | None = Field(None, description="SASL password; prefer the environment variable")
    sasl_oauth_url: str | None = Field(
        None, description="OAUTHBEARER: where the OIDC provider gives tokens for client credentials, `https://..`"
    )
    sasl_oauth_client_id: str | None = Field(None, description="OAUTHBEARER: who asks the provider")
    sasl_oauth_client_secret: SecretStr | None = Field(
        None, description="OAUTHBEARER: the client's secret; prefer the environment variable"
    )
    sasl_oauth_scope: str | None = Field(None, description="OAUTHBEARER: scope that the provider is asked for")
    sasl_oauth_ca_location: Path | None = Field(
        None, description="OAUTHBEARER: PEM file of the authorities to trust for the provider; none: the system's"
    )
    sasl_kerberos_service_name: str = Field("kafka", description="GSSAPI: the first part of the brokers' principal")
    sasl_kerberos_principal: str | None = Field(
        None, description="GSSAPI: this client's principal; none: librdkafka's own default, `kafkaclient`"
    )
    sasl_kerberos_keytab: Path | None = Field(None, description="GSSAPI: keytab from which a ticket is fetched")
    sasl_aws_region: str | None = Field(None, description="AWS_MSK_IAM: region of the cluster, `eu-central-1`")
    ssl_ca_location: Path | None = Field(None, description="PEM file of the certificate authorities to trust")
    ssl_certificate_location: Path | None = Field(None, description="PEM file of the client's certificate")
    ssl_key_location: Path | None = Field(None, description="PEM file of the client's key")
    ssl_key_password: SecretStr | None = Field(None, description="Password of the client's key")
    ssl_endpoint_identification: Literal["https", "none"] = Field(
        "https", description="Whether a broker's certificate must name the host connected to; it must be trusted anyhow"
    )

    @field_validator("sasl_oauth_url")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("https://", "http://")):
            raise ValueError("must begin with https:// (or http://)")
        return value

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> Self:
        needs = _NEEDS[self.sasl_mechanism] if self.uses_sasl else ()
        if any(getattr(self, name) is None for name in needs):
            raise ValueError(
                f"security_protocol {self.security_protocol} needs {' and '.join(needs)} "
                f"with sasl_mechanism {self.sasl_mechanism}"
            )
        return self

    @property
    def uses_sasl(self) -> bool:
        """Whether clients say who they are by SASL."""
        return self.security_protocol.startswith("SASL")

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.security_protocol.endswith("SSL")

    def security_config(self) -> dict[str, Any]:
        """Of every librdkafka client."""
        config: dict[str, Any] = {"security.protocol": self.security_protocol.lower()}
        if self.uses_sasl:
            config |= self._sasl_config()
        if self.uses_tls:
            config["ssl.endpoint.identification.algorithm"] = self.ssl_endpoint_identification
            config |= _given(
                ("ssl.ca.location", self.ssl_ca_location),
                ("ssl.certificate.location", self.ssl_certificate_location),
                ("ssl.key.location", self.ssl_key_location),
                ("ssl.key.password", self.ssl_key_password),
            )
        return config

    def _sasl_config(self) -> dict[str, Any]:
        match self.sasl_mechanism:
            case "OAUTHBEARER":
                return {"sasl.mechanism": "OAUTHBEARER", "sasl.oauthbearer.method": "oidc"} | _given(
                    ("sasl.oauthbearer.token.endpoint.url", self.sasl_oauth_url),
                    ("sasl.oauthbearer.client.id", self.sasl_oauth_client_id),
                    ("sasl.oauthbearer.client.secret", self.sasl_oauth_client_secret),
                    ("sasl.oauthbearer.scope", self.sasl_oauth_scope),
                    ("https.ca.location", self.sasl_oauth_ca_location),
                )
            case "GSSAPI":
                return {"sasl.mechanism": "GSSAPI"} | _given(
                    ("sasl.kerberos.service.name", self.sasl_kerberos_service_name),
                    ("sasl.kerberos.principal", self.sasl_kerberos_principal),
                    ("sasl.kerberos.keytab", self.sasl_kerberos_keytab),
                )
            case "AWS_MSK_IAM":  # the brokers take the signed request as a bearer's token
                return {"sasl.mechanism": "OAUTHBEARER", "oauth_cb": partial(msk_token, self.sasl_aws_region or "")}
            case _:
                return {"sasl.mechanism": self.sasl_mechanism} | _given(
                    ("sasl.username", self.sasl_username), ("sasl.password", self.sasl_password)
                )


def _given(*properties: tuple[str, str | Path | SecretStr | None]) -> dict[str, str]:
    """Those that are set, as librdkafka wants them."""
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in properties
        if value is not None
    }
