"""Secrets from files: read, stripped of a line's end, never quoted."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.errors import SettingsError
from stream.settings import load_settings
from stream.settings.secret_files import SECRET_MAX_BYTES, read_secret

VARIABLE = "PENCHANT_SASL_PASSWORD_FILE"


@pytest.mark.parametrize("written", ["hunter2", "hunter2\n", "hunter2\r\n"])
def test_a_secret_is_what_its_file_holds_without_the_end_of_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    (tmp_path / "kafka").write_bytes(written.encode())
    monkeypatch.setenv(VARIABLE, str(tmp_path / "kafka"))
    secret = load_settings(sasl_username="penchant").sasl_password
    assert secret is not None
    assert secret.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(load_settings())


def test_it_keeps_spaces_that_are_meant(tmp_path: Path) -> None:
    (tmp_path / "s").write_text(" two words \n\n")
    assert read_secret(tmp_path / "s", "X") == " two words \n"


def test_every_secret_may_come_from_a_file_and_nothing_else_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s").write_text("a-secret-of-more-than-32-characters-0123456789")
    for name in ("SSL_KEY_PASSWORD", "SERVE_ADMIN_TOKEN", "SERVE_LINK_SECRET", "ENCODER_REMOTE_API_KEY"):
        monkeypatch.setenv(f"PENCHANT_{name}_FILE", str(tmp_path / "s"))
    settings = load_settings()
    assert settings.serve_admin_token is not None
    assert settings.ssl_key_password is not None
    monkeypatch.setenv("PENCHANT_GROUP_ID_FILE", str(tmp_path / "s"))
    with pytest.raises(SettingsError, match="PENCHANT_GROUP_ID_FILE is set but there is no such setting"):
        load_settings()


def test_a_file_and_a_value_are_one_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s").write_text("hunter2")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "s"))
    monkeypatch.setenv("PENCHANT_SASL_PASSWORD", "hunter3")
    with pytest.raises(SettingsError, match=r"_PASSWORD and PENCHANT_SASL_PASSWORD_FILE are both set\. Fix: unset one"):
        load_settings()


def test_an_empty_variable_names_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    assert load_settings().sasl_password is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfehunter2", "is not UTF-8 text"),
        (b"hunter2" * SECRET_MAX_BYTES, "is larger than"),
    ],
)
def test_a_file_that_is_none_is_told_in_one_line_that_does_not_quote_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, told: str
) -> None:
    path = tmp_path / "s"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv(VARIABLE, str(path))
    with pytest.raises(SettingsError, match=rf"PENCHANT_SASL_PASSWORD_FILE names .*, which {told}") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).count("\n") == 0
