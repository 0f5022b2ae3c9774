"""stream/cli/erase.py, person.py and keys.py: what a person who types sees when something is wrong."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from stream.cli.erase import show_receipt
from stream.cli.main import app
from stream.wire.pseudonyms import KeyRing
from stream.wire.requests import Receipt, RequestKind


def penchant(*arguments: str, **environment: str) -> Result:
    return CliRunner(env={f"PENCHANT_{name.upper()}": value for name, value in environment.items()}).invoke(
        app, list(arguments)
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["erase"], "nobody is named"),
        (["erase", ""], "no id of a person"),
        (["erase", "u" * 129], "no id of a person"),
        (["erase", "--file", "missing.txt"], "missing.txt cannot be read"),
        (["erase", "--verify", "missing.json"], "missing.json cannot be read"),
        (["person", "rectify", "u1"], "--item says which item"),
        (["keys", "pseudonyms", "u1"], "pseudonym_keys is not set"),
        (["keys", "pseudonym", "--name", "no name"], "no name of a key"),
    ],
)
def test_a_mistake_is_one_line_with_exit_code_2(arguments: list[str], said: str) -> None:
    result = penchant(*arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_file_that_is_no_receipt_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text('{"kind": "reasons"}')
    result = penchant("erase", "--verify", str(path))
    assert result.exit_code == 2
    assert "is no receipt" in result.stderr


@pytest.mark.parametrize(
    "settings",
    [
        {"request_public_keys": "abc"},
        {"receipt_private_key": "AAAA"},
        {"request_private_key": "!"},
        {"pseudonym_keys": "no-key"},
    ],
)
def test_settings_that_are_no_keys_are_refused_by_name_without_being_shown(settings: dict[str, str]) -> None:
    result = penchant("erase", "u1", **settings)
    assert result.exit_code == 2
    ((name, value),) = settings.items()
    assert name.upper() in result.stderr
    assert name == "request_public_keys" or value not in result.stderr.replace("no-key", value)


def test_keys_are_made_for_their_owner_alone_and_never_over_others(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    for command in ("signing", "pseudonym"):
        path = tmp_path / command
        assert penchant("keys", command, "--out", str(path)).exit_code == 0
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert penchant("keys", command, "--out", str(path)).exit_code == 2
    made = (tmp_path / "pseudonym").read_text().strip()
    shown = penchant("keys", "pseudonyms", "17850", pseudonym_keys=made).output.strip()
    assert shown == KeyRing.parse(made).pseudonym("17850")


def test_a_public_key_that_is_none_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(msgspec.json.encode(receipt_of("erase")))
    result = penchant("erase", "--verify", str(path), "--public-key", "garbage")
    assert result.exit_code == 2, result.output
    assert "an Ed25519 key is 32 bytes" in result.stderr


def test_of_what_removes_nothing_it_is_not_said_that_nothing_was_held(capsys: pytest.CaptureFixture[str]) -> None:
    show_receipt(receipt_of("restrict"))
    assert "nothing was held" not in capsys.readouterr().out
    show_receipt(receipt_of("erase"))
    assert "nothing was held" in capsys.readouterr().out


def receipt_of(kind: RequestKind) -> Receipt:
    return Receipt("r", kind, "00", "00", "t", 0, 0, 0, "", {}, exact=True, waiting={}, still_held=(), models=())
