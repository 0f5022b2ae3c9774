"""Settings: where they come from, how they are refused, and what never leaves them."""

from __future__ import annotations

import logging
import os
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from places import ROOT
from pydantic import ValidationError
from settings_table import BEGIN, DOCUMENT, END, documented, renewed, table

from models.vocabulary import ACTIONS
from stream.errors import SettingsError, UsageError
from stream.settings import ENV_PREFIX, Settings, load_settings, penchant_variables
from stream.settings.memory import OF_THE_REST, PARTS, available_bytes

SECRET = "hunter2-do-not-print"


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory and no PENCHANT_ variable, whatever the machine has."""
    monkeypatch.chdir(tmp_path)
    for variable in list(os.environ):
        if variable.upper().startswith(ENV_PREFIX):
            monkeypatch.delenv(variable)


def write_toml(text: str, name: str = "penchant.toml") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def refusal(**flags: Any) -> str:
    """The one line a person sees."""
    with pytest.raises(SettingsError) as raised:
        load_settings(**flags)
    error = raised.value
    assert isinstance(error, UsageError)
    assert error.fix
    assert error.__context__ is None or error.__suppress_context__  # a traceback of pydantic's would bury the line
    line = str(error)
    assert "\n" not in line
    assert "pydantic" not in line
    assert line == f"{error.message} Fix: {error.fix}"
    return line


# --- precedence -------------------------------------------------------------------------------------------------------


def test_without_anything_the_defaults_hold() -> None:
    settings = load_settings()

    for name, field in Settings.model_fields.items():
        assert getattr(settings, name) == field.default or name in OF_THE_REST, name


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load_settings().top_k == 20
    write_toml("top_k = 3")
    assert load_settings().top_k == 3
    monkeypatch.setenv("PENCHANT_TOP_K", "4")
    assert load_settings().top_k == 4
    assert load_settings(top_k=5).top_k == 5


def test_each_source_gives_only_what_the_stronger_ones_leave_open(monkeypatch: pytest.MonkeyPatch) -> None:
    write_toml('top_k = 3\ngroup_id = "file"\nlog_level = "debug"')
    monkeypatch.setenv("PENCHANT_GROUP_ID", "environment")
    monkeypatch.setenv("PENCHANT_TOP_K", "4")

    settings = load_settings(top_k=5)

    assert (settings.top_k, settings.group_id, settings.log_level) == (5, "environment", "debug")


def test_a_flag_that_was_not_given_is_none_and_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENCHANT_TOP_K", "4")

    assert load_settings(top_k=None).top_k == 4


def test_a_false_flag_is_a_given_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENCHANT_REPEAT_PURCHASES", "true")

    assert load_settings(repeat_purchases=False).repeat_purchases is False


def test_penchant_config_names_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_toml("top_k = 3")
    monkeypatch.setenv("PENCHANT_CONFIG", str(write_toml("top_k = 7", "other.toml").absolute()))

    assert load_settings().top_k == 7


def test_an_empty_penchant_config_is_no_penchant_config(monkeypatch: pytest.MonkeyPatch) -> None:
    write_toml("top_k = 3")
    monkeypatch.setenv("PENCHANT_CONFIG", "")

    assert load_settings().top_k == 3


def test_importing_the_settings_reads_no_environment() -> None:
    run = subprocess.run(
        [sys.executable, "-c", "import stream.settings"],
        env={**os.environ, "PENCHANT_TOP_K": "many", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_an_unknown_key_in_the_file_is_refused() -> None:
    write_toml("topk = 3")

    line = refusal()

    assert line.startswith("`topk` in penchant.toml: no such setting.")
    assert "deploy/docs/settings.md" in line


def test_a_table_in_the_file_is_refused() -> None:
    write_toml("[ranking]\ntop_k = 3")

    assert refusal().startswith("`ranking` in penchant.toml: no such setting.")


@pytest.mark.parametrize("variable", ["PENCHANT_TOPK", "PENCHANT_", "penchant_topk"])
def test_an_unknown_penchant_variable_is_refused(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "3")

    assert refusal().startswith(f"{variable} is set but there is no such setting. Fix: unset it")


def test_variables_of_other_programs_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENCHANTS_TOP_K", "3")
    monkeypatch.setenv("TOP_K", "3")

    assert load_settings().top_k == 20


@pytest.mark.parametrize("service", ["PENCHANT", "PENCHANT_METRICS", "PENCHANT_WORKER_2"])
def test_what_kubernetes_sets_for_a_service_of_our_name_is_nobodys_setting(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "SERVICE_HOST": "10.96.0.7",
        "SERVICE_PORT": "9464",
        "SERVICE_PORT_METRICS": "9464",
        "PORT": "tcp://10.96.0.7:9464",
        "PORT_9464_TCP": "tcp://10.96.0.7:9464",
        "PORT_9464_TCP_PROTO": "tcp",
        "PORT_9464_TCP_PORT": "9464",
        "PORT_9464_TCP_ADDR": "10.96.0.7",
    }.items():
        monkeypatch.setenv(f"{service}_{name}", value)

    assert load_settings().metrics_port == load_settings(metrics_port=9464).metrics_port == 9464
    assert penchant_variables() == []


def test_a_port_that_is_no_address_is_a_setting_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENCHANT_METRICS_PORT", "9999")
    assert load_settings().metrics_port == 9999
    monkeypatch.setenv("PENCHANT_PORT", "9999")
    assert refusal().startswith("PENCHANT_PORT is set but there is no such setting.")


def test_an_unknown_flag_is_refused() -> None:
    assert refusal(topk=3).startswith("--topk: no such setting.")


MALFORMED = [
    ("top_k", "many"),
    ("top_k", "0"),
    ("top_k", "201"),
    ("top_k", ""),
    ("top_k", "2.5"),
    ("metrics_port", "65536"),
    ("metrics_port", "-1"),
    ("commit_interval_s", "0"),
    ("commit_interval_s", "nan"),
    ("commit_interval_s", "inf"),
    ("strength_click", "nan"),
    ("interest_long_half_life_h", "-inf"),
    ("forward_decay", "1.1"),
    ("repeat_purchases", "perhaps"),
    ("security_protocol", "TLS"),
    ("log_level", "loud"),
    ("group_id", ""),
    ("topic_events", "interest events"),
    ("topic_events", "x" * 250),
    ("event_time_earliest", "1990"),
    ("event_time_earliest", "1990-01-01T00:00:00"),
    ("bootstrap_servers", ""),
    ("bootstrap_servers", "kafka"),
    ("bootstrap_servers", "kafka:0"),
    ("bootstrap_servers", "kafka:65536"),
    ("bootstrap_servers", "kafka:²"),
    ("bootstrap_servers", ":9092"),
    ("bootstrap_servers", "a:1,,b:2"),
    ("bootstrap_servers", "a:1\nb:2"),
    ("bootstrap_servers", "a b:2"),
    ("bootstrap_servers", "x" * 10_000),
]


@pytest.mark.parametrize(("name", "value"), MALFORMED)
def test_a_malformed_variable_is_refused_by_its_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"PENCHANT_{name.upper()}", value)

    line = refusal()

    assert line.startswith(f"PENCHANT_{name.upper()}: ")
    assert f"(got {value!r}"[:40] in line
    assert len(line) < 400


@pytest.mark.parametrize(("name", "value"), MALFORMED)
def test_a_malformed_flag_is_refused_by_its_name(name: str, value: str) -> None:
    assert refusal(**{name: value}).startswith(f"--{name.replace('_', '-')}: ")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("top_k = 0", "top_k"),
        ('top_k = "many"', "top_k"),
        ("top_k = [1]", "top_k"),
        ("strength_click = nan", "strength_click"),
        ("bootstrap_servers = 9092", "bootstrap_servers"),
        ("event_time_earliest = 1990-01-01T00:00:00Z", "event_time_earliest"),
        ("sasl_username = { name = 'x' }", "sasl_username"),
    ],
)
def test_a_malformed_value_in_the_file_is_refused_by_its_key(text: str, name: str) -> None:
    write_toml(text)

    assert refusal().startswith(f"`{name}` in penchant.toml: ")


def test_the_weaker_source_is_not_blamed_for_the_stronger(monkeypatch: pytest.MonkeyPatch) -> None:
    write_toml("top_k = 3")
    monkeypatch.setenv("penchant_top_k", "many")

    assert refusal().startswith("penchant_top_k: ")


@pytest.mark.parametrize("content", [b"top_k 3", b"top_k = 3\ntop_k = 4", b"\xff\xfe", b"group_id = 'a"])
def test_a_file_that_is_no_toml_is_refused_by_its_name(content: bytes) -> None:
    Path("penchant.toml").write_bytes(content)

    assert refusal().startswith("penchant.toml is not valid TOML: ")


def test_a_file_that_may_not_be_read_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    write_toml("top_k = 3")

    def denied(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tomllib, "load", denied)  # chmod does not stop root, which tests in containers are

    assert refusal().startswith("penchant.toml cannot be read: Permission denied.")


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_penchant_config_must_name_a_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENCHANT_CONFIG", name)

    assert refusal().startswith(f"PENCHANT_CONFIG names {name}, which is not a file.")


@pytest.mark.parametrize("protocol", ["SASL_SSL", "SASL_PLAINTEXT"])
@pytest.mark.parametrize("given", [{}, {"sasl_username": "u"}, {"sasl_password": SECRET}])
def test_sasl_without_a_name_and_a_password_is_refused(protocol: str, given: dict[str, str]) -> None:
    line = refusal(security_protocol=protocol, **given)

    assert f"security_protocol {protocol} needs sasl_username and sasl_password" in line
    assert SECRET not in line


def test_two_topics_of_one_name_are_refused() -> None:
    assert "every topic_* setting must name a different topic" in refusal(topic_items="interest.events")


# --- what never happens -----------------------------------------------------------------------------------------------


def test_settings_never_change() -> None:
    settings = load_settings()

    with pytest.raises(ValidationError, match="frozen"):
        settings.top_k = 3  # type: ignore[misc]
    assert settings.top_k == 20


@pytest.mark.parametrize("name", ["sasl_password", "sasl_oauth_client_secret", "ssl_key_password"])
def test_a_secret_is_in_no_text_made_of_the_settings(name: str, caplog: pytest.LogCaptureFixture) -> None:
    settings = load_settings(**{name: SECRET})

    logging.getLogger(__name__).warning("settings: %s %r", settings, settings)

    assert getattr(settings, name).get_secret_value() == SECRET
    for text in (repr(settings), str(settings), f"{settings}", settings.model_dump_json(), str(settings.model_dump())):
        assert SECRET not in text
    assert SECRET not in caplog.text


def test_every_setting_that_is_a_secret_by_name_is_one_by_type() -> None:
    for name, field in Settings.model_fields.items():
        secret = "SecretStr" in str(field.annotation)
        assert secret == bool(re.search("password|secret|api_key|private_key|pseudonym_keys|token(?!s)", name)), name


def test_a_malformed_secret_is_not_repeated_in_the_refusal() -> None:
    write_toml(f"sasl_password = ['{SECRET}']")

    line = refusal()

    assert line.startswith("`sasl_password` in penchant.toml: ")
    assert SECRET not in line


def test_a_secret_whose_name_is_misspelt_is_not_repeated_in_the_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    write_toml(f"sasl_pasword = '{SECRET}'")
    assert SECRET not in refusal()

    monkeypatch.setenv("PENCHANT_SASL_PASWORD", SECRET)
    assert SECRET not in refusal()


# --- what others are given --------------------------------------------------------------------------------------------


def test_a_plain_connection_needs_no_more_than_the_brokers() -> None:
    config = load_settings(
        bootstrap_servers="a:1, b:2 ,[::1]:3", sasl_username="u", sasl_password=SECRET
    ).client_config()

    assert config == {
        "bootstrap.servers": "a:1,b:2,[::1]:3",
        "client.id": f"penchant-{socket.gethostname()}-client",
        "security.protocol": "plaintext",
        "log_level": 0,
        "allow.auto.create.topics": False,
    }


def test_a_client_names_the_worker_and_what_it_is_for_and_its_rack() -> None:
    settings = load_settings(client_id_prefix="shop", group_instance_id="pod-3", client_rack="eu-central-1a")

    config = settings.client_config("writer")

    assert config["client.id"] == settings.client_id("writer") == "shop-pod-3-writer"
    assert config["client.rack"] == "eu-central-1a"


def test_a_sasl_ssl_connection_has_the_mechanism_the_name_the_password_and_the_files() -> None:
    config = load_settings(
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="u",
        sasl_password=SECRET,
        ssl_ca_location="/etc/ca.pem",
        ssl_certificate_location="/etc/client.pem",
        ssl_key_location="/etc/client.key",
        ssl_key_password="key-password",
        group_instance_id="pod-3",
    ).client_config("writer")

    assert config == {
        "bootstrap.servers": "127.0.0.1:9092",
        "client.id": "penchant-pod-3-writer",
        "security.protocol": "sasl_ssl",
        "log_level": 0,
        "allow.auto.create.topics": False,
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "u",
        "sasl.password": SECRET,
        "ssl.endpoint.identification.algorithm": "https",
        "ssl.ca.location": "/etc/ca.pem",
        "ssl.certificate.location": "/etc/client.pem",
        "ssl.key.location": "/etc/client.key",
        "ssl.key.password": "key-password",
    }


def test_an_ssl_connection_has_only_the_files_that_were_named() -> None:
    config = load_settings(
        security_protocol="SSL", ssl_ca_location="ca.pem", ssl_endpoint_identification="none"
    ).client_config()

    assert {key: value for key, value in config.items() if key.startswith("ssl.")} == {
        "ssl.ca.location": "ca.pem",
        "ssl.endpoint.identification.algorithm": "none",
    }
    assert not any(key.startswith("sasl.") for key in config)


def test_a_sasl_plaintext_connection_has_no_files() -> None:
    config = load_settings(
        security_protocol="SASL_PLAINTEXT", sasl_username="u", sasl_password="p", ssl_ca_location="ca.pem"
    ).client_config()

    assert not any(key.startswith("ssl.") for key in config)


def sasl_of(**given: Any) -> dict[str, Any]:
    config = load_settings(security_protocol="SASL_PLAINTEXT", **given).client_config()
    return {key: value for key, value in config.items() if key.startswith(("sasl.", "https.", "oauth"))}


OAUTH = {
    "sasl_mechanism": "OAUTHBEARER",
    "sasl_oauth_url": "https://id.example/token",
    "sasl_oauth_client_id": "shop",
    "sasl_oauth_client_secret": SECRET,
}


def test_librdkafka_asks_the_provider_for_tokens_itself() -> None:
    assert sasl_of(**OAUTH, sasl_oauth_scope="kafka", sasl_oauth_ca_location="ca.pem") == {
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": "https://id.example/token",
        "sasl.oauthbearer.client.id": "shop",
        "sasl.oauthbearer.client.secret": SECRET,
        "sasl.oauthbearer.scope": "kafka",
        "https.ca.location": "ca.pem",
    }


def test_kerberos_needs_no_password() -> None:
    assert sasl_of(
        sasl_mechanism="GSSAPI", sasl_kerberos_principal="shop@EXAMPLE", sasl_kerberos_keytab="a.keytab"
    ) == {
        "sasl.mechanism": "GSSAPI",
        "sasl.kerberos.service.name": "kafka",
        "sasl.kerberos.principal": "shop@EXAMPLE",
        "sasl.kerberos.keytab": "a.keytab",
    }


def test_amazons_tokens_are_made_by_amazons_package(monkeypatch: pytest.MonkeyPatch) -> None:
    made = SimpleNamespace(generate_auth_token=lambda region: (f"token for {region}", 1_700_000_000_500))
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", SimpleNamespace(MSKAuthTokenProvider=made))

    config = sasl_of(sasl_mechanism="AWS_MSK_IAM", sasl_aws_region="eu-central-1")

    assert config["sasl.mechanism"] == "OAUTHBEARER"
    assert config["oauth_cb"]("") == ("token for eu-central-1", 1_700_000_000.5)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"sasl_mechanism": "OAUTHBEARER"}, "sasl_oauth_url and sasl_oauth_client_id and sasl_oauth_client_secret"),
        ({**OAUTH, "sasl_oauth_client_secret": None}, "sasl_oauth_client_secret"),
        ({**OAUTH, "sasl_oauth_url": "id.example/token"}, "--sasl-oauth-url: must begin with https://"),
        ({"sasl_mechanism": "AWS_MSK_IAM"}, "sasl_aws_region"),
        ({"sasl_mechanism": "KERBEROS"}, "--sasl-mechanism"),
        ({"client_id_prefix": "a b"}, "--client-id-prefix"),
        ({"ssl_endpoint_identification": "no"}, "--ssl-endpoint-identification"),
    ],
)
def test_what_a_mechanism_lacks_is_named(given: dict[str, Any], named: str) -> None:
    line = refusal(security_protocol="SASL_SSL", **given)

    assert named in line
    assert SECRET not in line


@pytest.mark.parametrize("given", [{"sasl_username": "u", "sasl_password": "p"}, OAUTH])
def test_librdkafka_takes_every_connection_setting(given: dict[str, Any]) -> None:
    from confluent_kafka import Producer  # noqa: PLC0415

    settings = load_settings(
        security_protocol="SASL_SSL", client_rack="a", **(given | {"sasl_oauth_url": "http://127.0.0.1:9/"})
    )

    Producer(settings.client_config())  # raises KafkaException for a property it does not know


def test_the_strengths_stand_at_the_codes_of_their_actions() -> None:
    strengths = load_settings(strength_purchase=7.5).strengths()

    assert len(strengths) == len(ACTIONS)
    assert strengths[ACTIONS.index("purchase")] == 7.5
    assert strengths[ACTIONS.index("dislike")] < 0
    assert strengths[ACTIONS.index("impression")] == 0.0


def test_every_strength_is_that_of_an_action() -> None:
    named = {name.removeprefix("strength_") for name in Settings.model_fields if name.startswith("strength_")}

    assert named <= set(ACTIONS)


def test_the_changelog_is_named_after_the_group() -> None:
    assert load_settings(group_id="shop").changelog_topic == "shop-interest-changelog"


# --- documentation ----------------------------------------------------------------------------------------------------


def test_every_setting_has_a_description_that_fits_in_a_table() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert not set("|\n") & set(field.description), name


def test_the_documented_settings_are_the_settings() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")

    assert documented(text) == table(), (
        "deploy/docs/settings.md is out of date; run: python tests/support/settings_table.py"
    )
    assert renewed(text) == text


def test_the_table_has_one_row_per_setting_with_its_default() -> None:
    rows = [row.split(" | ") for row in table().splitlines()[2:]]

    assert [row[0] for row in rows] == [f"| `{name}`" for name in Settings.model_fields]
    assert "| `top_k` | `PENCHANT_TOP_K` | integer > 0, <= 200 | `20` | Items in a recommendation |" in table()
    assert "| `sasl_password` | `PENCHANT_SASL_PASSWORD` | secret | none |" in table()


def test_the_documented_example_file_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    example = DOCUMENT.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    write_toml(example)
    monkeypatch.setenv("PENCHANT_SASL_PASSWORD", SECRET)

    assert load_settings().security_protocol == "SASL_SSL"


def test_a_stale_table_is_renewed_and_the_rest_left_alone() -> None:
    stale = f"# Settings\n\n{BEGIN}\n| old |\n{END}\n\nThe end.\n"

    assert documented(stale) == "| old |"
    assert renewed(stale) == f"# Settings\n\n{BEGIN}\n{table()}\n{END}\n\nThe end.\n"


# --- memory ---


def test_of_a_small_budget_every_part_gets_its_share_and_of_a_large_one_no_more_than_is_of_use():
    small, large = Settings(memory_max_bytes=512 << 20), Settings(memory_max_bytes=64 << 30)
    sizes = [getattr(small, name) for name in PARTS]
    assert sizes == [int(share * (512 << 20)) for share, _ in PARTS.values()]
    assert [getattr(large, name) for name in PARTS] == [most for _, most in PARTS.values()]
    assert sum(share for share, _ in PARTS.values()) < 0.71, "the rest is for what every worker has whole"
    rest = (512 << 20) - sum(sizes)
    assert (small.statistics_max_bytes, small.vectors_max_bytes) == (rest // 2, rest // 4)
    assert large.statistics_max_bytes > 30 << 30, "a large machine may have a large catalogue"


def test_what_is_set_one_by_one_stays_and_may_not_be_more_than_the_budget():
    given = Settings(memory_max_bytes=1 << 30, overlay_max_bytes=600 << 20)
    assert given.overlay_max_bytes == 600 << 20
    with pytest.raises(ValidationError, match=r"overlay_max_bytes is .* more than memory_max_bytes"):
        Settings(memory_max_bytes=512 << 20, overlay_max_bytes=600 << 20)


def test_a_container_has_what_it_may_have(tmp_path):
    limit, none, junk = tmp_path / "limit", tmp_path / "max", tmp_path / "junk"
    limit.write_text("300000000\n")
    none.write_text("max\n")
    junk.write_text("")
    assert available_bytes((none, junk, tmp_path / "missing", limit)) == 300_000_000
    assert available_bytes((none,)) > 300_000_000


def test_a_shadow_writes_to_nothing_that_anybody_else_has():
    live, shadow = Settings(), Settings(shadow="next")
    assert shadow.group_id == "penchant.next"
    assert shadow.changelog_topic != live.changelog_topic
    assert shadow.data_dir == live.data_dir / "next"
    read = {"topic_events", "topic_items", "topic_models", "topic_rules"}
    for name in (name for name in Settings.model_fields if name.startswith("topic_")):
        expected = getattr(live, name) + ("" if name in read else ".next")
        assert getattr(shadow, name) == expected
    again = Settings(**{name: getattr(shadow, name) for name in Settings.model_fields})
    assert again.group_id == shadow.group_id
    assert again.topic_item_stats == shadow.topic_item_stats
    assert again.data_dir == shadow.data_dir
    with pytest.raises(ValidationError):
        Settings(shadow="a b")
