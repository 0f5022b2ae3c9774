"""`penchant explain`: why a person sees what they see, and what they would see otherwise."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from stream.analysis.person.lookup import Lookup, added, left_out, open_lookup, read_behaviours, read_topics
from stream.analysis.person.screen import Shown, listing_to_json, say_reasons, say_what_is_changed, show_listing
from stream.analysis.person.texts import read_texts
from stream.cli import options
from stream.cli.apps import command_app
from stream.cli.connection import reach
from stream.cli.options import flag, option, optional
from stream.display.bars import Bars
from stream.display.terminal import say_json, stderr, stdout
from stream.errors import SettingsError, UsageError
from stream.reasons.rewriting.rewriter import Rewriter, open_rewriter
from stream.settings import Settings, load_settings

_HELP: Final = """\
Say why a person sees what they see: their list made anew from the topics, the parts of each score, the behaviours behind it.

\b
Examples:
  penchant explain 17850
  penchant explain 17850 85123A --lang zh --texts
  penchant explain 17850 --without 22752 --with 84029G --json | jq .items[0]
  penchant explain 17850 --rewrite

Next: --without and --with show the list as if; `penchant watch --user ID` shows what was published.

No topic is written to. Catalogue, statistics and models are as they are now, so a list published earlier may differ."""

_AS_IF: Final = "As if"

app = command_app()


@app.command("explain", help=_HELP)
def explain(
    user: Annotated[str, typer.Argument(metavar="USER", help="User id.", show_default=False)],
    item: Annotated[
        str | None, typer.Argument(metavar="[ITEM]", help="Only this item of the list.", show_default=False)
    ] = None,
    top: Annotated[int, option("Items shown.", None, "N", min=1, max=200)] = 5,
    without: Annotated[
        list[str] | None,
        optional(
            "As if this had not happened: an offset on the events topic, or an item id. Repeatable.", _AS_IF, "EVENT"
        ),
    ] = None,
    with_: Annotated[
        list[str] | None, optional("As if they had just clicked this. Repeatable.", _AS_IF, "ITEM", "--with")
    ] = None,
    rankings: Annotated[
        int,
        option(
            "Rankings tried to find the fewest items without which another leads; 0: do not look.", _AS_IF, "N", min=0
        ),
    ] = 2000,
    rewrite: Annotated[
        bool,
        flag("--rewrite", "Let a language model say the reasons in other words; checked, see explanations.md."),
    ] = False,
    texts: Annotated[
        bool,
        flag(
            "--texts",
            "Read texts, too, with the encoder of the settings: the first time it encodes the catalogue and keeps "
            "the vectors in data_dir. Without: the part `interest` is left out.",
        ),
    ] = False,
    lang: options.Language = "en",
    json_: Annotated[bool, flag("--json", "One JSON object.")] = False,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    settings = load_settings(bootstrap_servers=bootstrap_servers)
    rewriter = _rewriter(settings) if rewrite else None
    reach(settings)
    behaviours = left_out(read_behaviours(settings, user), without or [])
    behaviours = added(behaviours, user, with_ or [])
    with open_lookup(settings, read_topics(settings)) as lookup:
        titles = lookup.titles
        for each in [*([] if item is None else [item]), *(with_ or [])]:
            if each not in titles:
                raise UsageError(f"no item {each!r} is in the catalogue.", "check the id, or its case")
        if texts:
            queries = [each.event.text or "" for each in behaviours if each.event.action == "query"]
            _read_texts(settings, lookup, queries)
        listing = lookup.listing(user, behaviours, rankings)
    shown = Shown(user, top, item, lang, lambda item_id: titles.get(item_id, item_id))
    if rewriter is not None:
        shown = say_reasons(rewriter, listing, shown)
    if json_:
        say_json(stdout(), listing_to_json(listing, behaviours, shown))
        return
    say_what_is_changed(stderr(), without or [], with_ or [], lang)
    show_listing(stdout(), listing, behaviours, shown)


def _rewriter(settings: Settings) -> Rewriter:
    found = open_rewriter(settings)
    if found is None:
        raise SettingsError(
            "--rewrite needs the setting explanation_rewriter_url.",
            "set PENCHANT_EXPLANATION_REWRITER_URL, e.g. to http://127.0.0.1:8000/v1, and .._MODEL",
        )
    return found


def _read_texts(settings: Settings, lookup: Lookup, queries: list[str]) -> None:
    with Bars(stderr()) as bars:
        lookup.use_texts(
            read_texts(settings, lookup.items, queries, lambda done, total: bars.step("texts", done, total))
        )
