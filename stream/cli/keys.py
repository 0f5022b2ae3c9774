"""`penchant keys`: keys of signatures and of pseudonyms, and pseudonyms themselves."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from stream.cli import options
from stream.cli.apps import group_app, teach
from stream.display.terminal import say, stderr, stdout
from stream.errors import SettingsError, UsageError
from stream.privacy.signing import new_key_pair
from stream.settings import Settings, load_settings
from stream.wire.pseudonyms import KeyRing, new_key

app = group_app("Keys: of signed requests and receipts, and of pseudonyms.")

Out = Annotated[
    Path | None, options.optional("File for the secret; it must not exist. Default: standard output.", None, "FILE")
]


@app.command(
    "signing",
    help=teach(
        "Make a pair of Ed25519 keys: the private one signs, the public one verifies. The public one is shown.",
        "penchant keys signing --out receipts.key",
        then="give workers the file (PENCHANT_RECEIPT_PRIVATE_KEY_FILE), and whoever verifies receipts the public key.",
    ),
)
def signing(out: Out = None) -> None:
    pair = new_key_pair()
    _give(pair.private, out)
    say(stderr() if out is None else stdout(), f"public key: {pair.public}")


@app.command(
    "pseudonym",
    help=teach(
        "Make a key for pseudonyms, to stand first in the ring `pseudonym_keys`.",
        "penchant keys pseudonym --out pseudonyms.key",
        then="put it before the older ones: keep those, or the ids that they made mean nobody any more.",
    ),
)
def pseudonym_key(
    name: Annotated[str, options.option("Names the key; default: today's date.", None, "NAME")] = "",
    out: Out = None,
) -> None:
    named = name or datetime.now(UTC).strftime("%Y-%m-%d")
    if not named.isascii() or not named.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"{named!r} is no name of a key.", "use letters, digits, - and _")
    _give(new_key(named), out)


@app.command(
    "pseudonyms",
    help=teach(
        "Say which pseudonyms people have, by the keys of the setting `pseudonym_keys`: those of the newest key, or "
        "with --all of each key, one a line.",
        "penchant keys pseudonyms 17850",
        "penchant keys pseudonyms 17850 --all",
        then="`penchant erase --file -` reads them, or use them wherever a command asks for ids.",
    ),
)
def pseudonyms(
    users: Annotated[
        list[str], typer.Argument(metavar="USER...", help="Ids of users as you know them.", show_default=False)
    ],
    all_: Annotated[bool, options.flag("--all", "Of every key in the ring, the newest first.")] = False,
) -> None:
    ring = key_ring(load_settings())
    for user in users:
        for found in ring.all_of(user) if all_ else [ring.pseudonym(user)]:
            sys.stdout.write(found + "\n")


def key_ring(settings: Settings) -> KeyRing:
    """The keys of pseudonyms.

    Raises:
        SettingsError: there are none.
    """
    keys = settings.pseudonym_keys
    if keys is None:
        raise SettingsError("pseudonym_keys is not set.", "make a key with `penchant keys pseudonym` and set it")
    return KeyRing.parse(keys.get_secret_value())


def _give(secret: str, out: Path | None) -> None:
    if out is None:
        sys.stdout.write(secret + "\n")
        return
    try:
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}.", "name a new file") from None
    with os.fdopen(handle, "w") as file:
        file.write(secret + "\n")
