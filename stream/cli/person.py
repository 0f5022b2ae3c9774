"""`penchant person`: what people may ask of whoever keeps their data, beside `penchant erase`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from stream.analysis.person.export import export_person
from stream.cli import options
from stream.cli.apps import group_app, teach
from stream.cli.connection import connected
from stream.cli.erase import WAIT_S, KeyFile, Receipts, Requester, Users, UsersFile, WaitS, carry_out, ids_of, read_key
from stream.display.terminal import say, stderr, stdout
from stream.errors import UsageError
from stream.privacy.asking import new_request
from stream.wire.requests import RequestKind

app = group_app("What people may ask for: a copy of what is held, no use of it, no profile, a correction.")

User = Annotated[str, typer.Argument(metavar="USER", help="Id of the user, as events have it.", show_default=False)]


@app.command(
    "export",
    help=teach(
        "Write down all that is held of a person: state, lists, reasons, what they have added to statistics, their "
        "events as far as the topics keep them; with what each field means. One JSON file, and CSV tables beside it.",
        "penchant person export u17 --out u17/",
        "penchant person export u17 | jq .behaviours",
        then="give it to the person; `penchant erase USER` if they ask for that.",
    ),
)
def export(
    user: User,
    out: Annotated[
        Path | None,
        options.optional("Directory for the files. Default: the JSON to standard output.", None, "DIRECTORY"),
    ] = None,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    settings = connected(bootstrap_servers=bootstrap_servers)
    with stderr().status("") as status:
        found = export_person(settings, ids_of([user], None)[0], lambda topic: status.update(f"reading {topic}"))
    text = msgspec.json.format(msgspec.json.encode(found.held), indent=2)
    if out is None:
        typer.echo(text.decode())
    else:
        try:
            out.mkdir(parents=True, exist_ok=True)
            (out / "person.json").write_bytes(text + b"\n")
            for name, table in found.tables.items():
                (out / f"{name}.csv").write_text(table)
        except OSError as error:
            raise UsageError(f"{out} cannot be written: {error.strerror}.", "name a writable directory") from None
        say(stdout(), f"{1 + len(found.tables)} files in {out}")
    if found.is_empty:
        say(stderr(), f"Nothing is held of {user}.")


def _add(kind: RequestKind, help_: str) -> None:
    """A command that asks for one thing, of any number of people."""

    def ask(
        users: Users = None,
        file: UsersFile = None,
        requester: Requester = "",
        key_file: KeyFile = None,
        receipts: Receipts = None,
        wait_s: WaitS = WAIT_S,
        bootstrap_servers: options.BootstrapServers = None,
    ) -> None:
        _ask(kind, ids_of(users, file), requester, key_file, receipts, wait_s, bootstrap_servers)

    app.command(kind, help=help_)(ask)


_add(
    "restrict",
    teach(
        "Keep what is held of people, and do not use it: no list is made, the published one is withdrawn, new events "
        "are passed over. What they have added to statistics stays.",
        "penchant person restrict u17",
        then="`penchant person release USER` ends it.",
    ),
)
_add(
    "object",
    teach(
        "Keep no profile of people from now on: what is held is erased, and their events are passed over. Who asks "
        "for their list gets what is popular.",
        "penchant person object u17",
        then="`penchant person release USER` ends it; the profile then begins anew.",
    ),
)
_add(
    "release",
    teach(
        "End what `restrict` or `object` began: events from now on are used again.",
        "penchant person release u17",
        then="nothing; the next event of the person makes a list.",
    ),
)


@app.command(
    "rectify",
    help=teach(
        "Strike one item out of what is held of a person, as if they had had nothing to do with it: a gift, or "
        "somebody else at their screen.",
        "penchant person rectify u17 --item 85123A",
        then="nothing; a new list is made at once.",
    ),
)
def rectify(
    user: User,
    item: Annotated[str, options.optional("Id of the item. Must be said.", None, "ITEM")] = "",
    requester: Requester = "",
    key_file: KeyFile = None,
    receipts: Receipts = None,
    wait_s: WaitS = WAIT_S,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    if not item:
        raise UsageError("--item says which item.", "say --item ID")
    _ask(
        "rectify",
        ids_of([user], None),
        requester,
        key_file,
        receipts,
        wait_s,
        bootstrap_servers,
        ids_of([item], None)[0],
    )


def _ask(
    kind: RequestKind,
    users: Sequence[str],
    requester: str,
    key_file: Path | None,
    receipts: Path | None,
    wait_s: float,
    bootstrap_servers: str | None,
    item: str | None = None,
) -> None:
    key = read_key(key_file)
    settings = connected(bootstrap_servers=bootstrap_servers)
    carry_out(settings, [new_request(user, kind, requester, item) for user in users], key, receipts, wait_s)
