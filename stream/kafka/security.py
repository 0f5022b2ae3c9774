"""Can a client be made of these settings at all? Asked once, when a command begins, so that the answer is one line."""

from __future__ import annotations

from importlib.util import find_spec

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stream.errors import SettingsError
from stream.settings import Settings


def check_security(settings: Settings) -> None:
    """Nothing is sent to anybody.

    Raises:
        SettingsError: a file cannot be read, or what a mechanism needs is not installed.
    """
    if settings.uses_sasl:
        if settings.sasl_mechanism == "AWS_MSK_IAM" and find_spec("aws_msk_iam_sasl_signer") is None:
            raise SettingsError(
                "sasl_mechanism AWS_MSK_IAM needs a package that is not installed.",
                "pip install aws-msk-iam-sasl-signer-python",
            )
        if settings.sasl_mechanism == "GSSAPI" and find_spec("gssapi") is None:
            raise SettingsError("sasl_mechanism GSSAPI needs a package that is not installed.", "pip install gssapi")
    _check_files(settings)
    if settings.security_protocol == "PLAINTEXT":
        return
    config = settings.client_config("check") | {"bootstrap.servers": ""}  # it connects to nobody
    config.pop("oauth_cb", None)
    if config.get("sasl.oauthbearer.method") == "oidc":
        # A client that may fetch a token does so as soon as it is made.
        config = {name: value for name, value in config.items() if not name.startswith("sasl.")}
        config["security.protocol"] = "ssl" if settings.uses_tls else "plaintext"
    try:
        AdminClient(config)
    except KafkaException as error:
        raise _refused(settings, error.args[0].str()) from None


def _check_files(settings: Settings) -> None:
    names = ["ssl_ca_location", "ssl_certificate_location", "ssl_key_location"] if settings.uses_tls else []
    if settings.uses_sasl and settings.sasl_mechanism == "OAUTHBEARER":
        names.append("sasl_oauth_ca_location")
    if settings.uses_sasl and settings.sasl_mechanism == "GSSAPI":
        names.append("sasl_kerberos_keytab")
    for name in names:
        path = getattr(settings, name)
        if path is None:
            continue
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise SettingsError(
                f"{name} {path} cannot be read: {error.strerror}.", "name a file that this user may read"
            ) from None


def _refused(settings: Settings, reason: str) -> SettingsError:
    reason = " ".join(reason.removeprefix("Failed to create admin client: ").split())
    if "No provider for SASL mechanism" in reason:
        return SettingsError(
            f"sasl_mechanism {settings.sasl_mechanism}: the installed librdkafka was built without it.",
            "build confluent-kafka from source against a librdkafka with it (pip install --no-binary confluent-kafka)",
        )
    return SettingsError(f"the ssl_* and sasl_* settings are refused: {reason[:200]}.", "see deploy/docs/settings.md")
