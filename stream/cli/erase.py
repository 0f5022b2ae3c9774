"""`penchant erase`: people are forgotten, as if they had never been there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from stream.cli import options
from stream.cli.apps import SETTINGS_NOTE, command_app, teach
from stream.cli.connection import connected
from stream.display.terminal import clean, count, say, stderr, stdout
from stream.errors import InputFileError, NotProvedError, SettingsError, UsageError
from stream.files.stopping import stop_signals
from stream.privacy.asking import Asking, Received, new_request
from stream.privacy.verifying import is_unsigned, verify_receipt
from stream.settings import Settings, load_settings
from stream.wire.records import MAX_ID_BYTES
from stream.wire.requests import PrivacyRequest, Receipt, read_receipt

app = command_app()

WAIT_S = 60.0

Users = Annotated[
    list[str] | None,
    typer.Argument(metavar="[USER]...", help="Ids of users, as events have them.", show_default=False),
]
UsersFile = Annotated[
    Path | None, options.optional("More ids, one a line; - reads them from standard input.", None, "FILE", "--file")
]
Requester = Annotated[
    str, options.option("Who asks, for the receipt: `support`, say; no name of the person.", None, "TEXT")
]
WaitS = Annotated[float, options.option("How long to wait for the next receipt.", None, "SECONDS", min=0.1, max=86_400)]
KeyFile = Annotated[
    Path | None,
    options.optional("File with the private key that signs requests; made by `penchant keys signing`.", None, "FILE"),
]
Receipts = Annotated[Path | None, options.optional("Write each receipt to a file here.", None, "DIRECTORY")]


@app.command(
    "erase",
    help=teach(
        "Forget people, as if they had never been there: states, lists, what is stored anywhere, and what they have "
        "added to the statistics of items and strategies. Workers do it, each person at its place among their "
        "events, and give a receipt.",
        "penchant erase u17 --receipts receipts/",
        "penchant erase --file left.txt --requester support --receipts receipts/",
        "penchant erase u17 --verify receipts/REQUEST.json",
        then="keep the receipts; `penchant erase --verify` says what they prove and what still goes by itself.",
        note=f"What is promised, and what is not: deploy/docs/privacy.md. {SETTINGS_NOTE}",
    ),
)
def erase(
    users: Users = None,
    file: UsersFile = None,
    requester: Requester = "",
    key_file: KeyFile = None,
    receipts: Receipts = None,
    verify: Annotated[
        Path | None,
        options.optional("Instead: what this receipt proves; of USER, if one is named.", None, "RECEIPT"),
    ] = None,
    public_key: Annotated[
        list[str] | None,
        options.optional(
            "With --verify: a worker with one of these keys must have signed it; may be repeated.", None, "KEY"
        ),
    ] = None,
    wait_s: WaitS = WAIT_S,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    if verify is not None:
        for key in public_key or []:
            load_settings(request_public_keys=key)  # says what is wrong with it
        _show_verdict(_read(verify), public_key or [], users[0] if users else None)
        return
    ids = ids_of(users, file)
    settings = connected(bootstrap_servers=bootstrap_servers)
    requests = [new_request(user, "erase", requester) for user in ids]
    carry_out(settings, requests, read_key(key_file), receipts, wait_s)


def ids_of(users: Sequence[str] | None, file: Path | None) -> list[str]:
    """Ids as they were given, each once.

    Raises:
        UsageError: none, or one that is no id.
        InputFileError: the file cannot be read.
    """
    ids = list(users or [])
    if file is not None:
        try:
            text = typer.get_text_stream("stdin").read() if str(file) == "-" else file.read_text().replace("\r\n", "\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InputFileError(f"{file} cannot be read: {error}.", "name a file with one id a line") from None
        ids += [line for line in text.split("\n") if line]
    if not ids:
        raise UsageError("nobody is named.", "give ids of people, or --file")
    for each in ids:
        if not 0 < len(each.encode(errors="surrogateescape")) <= MAX_ID_BYTES:
            raise UsageError(
                f"{clean(each)[:40]!r} is no id of a person.", f"an id has 1 to {MAX_ID_BYTES} bytes of UTF-8"
            )
    return list(dict.fromkeys(ids))


def read_key(file: Path | None) -> str | None:
    """The private key in a file.

    Raises:
        InputFileError: it cannot be read.
    """
    if file is None:
        return None
    try:
        key = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"{file} cannot be read: {error}.", "name the file of a private key") from None
    try:
        load_settings(request_private_key=key)
    except SettingsError:
        raise InputFileError(f"{file} holds no private key.", "make one with `penchant keys signing`") from None
    return key


def carry_out(
    settings: Settings, requests: Sequence[PrivacyRequest], key: str | None, directory: Path | None, wait_s: float
) -> None:
    """Send requests, wait for their receipts, show and keep them.

    Raises:
        NotProvedError: not all have come.
    """
    if directory is not None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{directory} cannot be written: {error.strerror}.", "name a writable --receipts"
            ) from None
    n, began = 0, time.monotonic()
    with stop_signals() as stop, Asking(settings) as asking:
        asking.send(requests, key)
        for received in asking.receipts(requests, wait_s, stop.check):
            n += 1
            _keep(received, directory)
            show_receipt(received.receipt, brief=len(requests) > 1)
    if n < len(requests):
        raise NotProvedError(
            f"{count(len(requests) - n, 'receipt')} of {len(requests)} did not come within {wait_s:g} s. The requests stand in "
            f"{settings.topic_events} and are carried out by the next worker that reads it. Fix: see that workers run "
            "(`penchant doctor`) and that the requests are not among `penchant dead-letter list`"
        )
    if len(requests) > 1:
        say(stdout(), f"{count(n, 'request')} carried out in {time.monotonic() - began:.1f} s", "bold")


def _keep(received: Received, directory: Path | None) -> None:
    if directory is not None:
        (directory / f"{received.receipt.request_id}.json").write_bytes(received.value + b"\n")


def show_receipt(receipt: Receipt, *, brief: bool = False) -> None:
    """For people."""
    out = stdout()
    removed = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in receipt.removed.items()) or "nothing was held"
    if receipt.request in ("restrict", "release"):  # these remove nothing
        removed = "done"
    exact = "exact" if receipt.exact else "not all sums are exact yet"
    say(out, f"{receipt.request} {receipt.request_id}: {removed}; {exact}")
    if brief:
        return
    for why, items in receipt.waiting.items():
        say(out, f"  waits for the item's row to be made anew ({why.replace('_', ' ')}): {', '.join(items) or 'all'}")
    for held in receipt.still_held:
        until = "" if held.until_ms is None else f" until {_date(held.until_ms)}"
        say(out, f"  still in {held.where}{until}: {held.why}")
    if receipt.models:
        say(out, f"  learned from them, too: {', '.join(receipt.models)}; train again")
    if is_unsigned(receipt):
        say(stderr(), "The receipt is not signed: set receipt_private_key for workers.", "dim")


def _show_verdict(receipt: Receipt, public_keys: Sequence[str], user: str | None) -> None:
    verdict = verify_receipt(receipt, public_keys, user)
    show_receipt(receipt)
    for name, answer in (("signed by one of these keys", verdict.is_signed), (f"of {user}", verdict.is_of_person)):
        if answer is not None:
            say(stdout(), f"{'yes' if answer else 'NO'}: {name}", "" if answer else "red")
    now_ms = time.time_ns() // 1_000_000
    if verdict.held_until_ms > now_ms:
        say(stdout(), f"not before {_date(verdict.held_until_ms)} everything else is gone")
    if not verdict.is_good:
        raise NotProvedError("the receipt does not prove it. Fix: ask whoever gave it for the file as it was written")


def _read(path: Path) -> Receipt:
    try:
        return read_receipt(path.read_bytes())
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror}.", "name the file of a receipt") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputFileError(f"{path} is no receipt: {error}.", "name a file that `--receipts` wrote") from None


def _date(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
