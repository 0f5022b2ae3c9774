"""`penchant explain`: why a person sees what they see, and what they would see otherwise. Added by `stream.cli.main`."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from stream.cli import options

HELP: Final = """\
Say why a person sees what they see: their list made anew from the topics, the parts of each score, the behaviours behind it.

\b
Examples:
  penchant explain 17850
  penchant explain 17850 85123A --lang zh --texts
  penchant explain 17850 --without 22752 --with 84029G --json | jq .items[0]
  penchant explain 17850 --rewrite

Next: --without and --with show the list as if; `penchant watch --user ID` shows what was published.

No topic is written to. Catalogue, statistics and models are as they are now, so a list published earlier may differ."""

_AS_IF = "As if"


def explain(
    user: Annotated[str, typer.Argument(metavar="USER", help="User id.", show_default=False)],
    item: Annotated[
        str | None, typer.Argument(metavar="[ITEM]", help="Only this item of the list.", show_default=False)
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=200, metavar="N", help="Items shown.")] = 5,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EVENT",
            help="As if this had not happened: an offset on the events topic, or an item id. Repeatable.",
            rich_help_panel=_AS_IF,
            show_default=False,
        ),
    ] = None,
    with_: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="ITEM",
            help="As if they had just clicked this. Repeatable.",
            rich_help_panel=_AS_IF,
            show_default=False,
        ),
    ] = None,
    rankings: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Rankings tried to find the fewest items without which another leads; 0: do not look.",
            rich_help_panel=_AS_IF,
        ),
    ] = 2000,
    rewrite: Annotated[
        bool,
        typer.Option(
            "--rewrite",
            help="Let a language model say the reasons in other words; checked, see explanations.md.",
        ),
    ] = False,
    texts: Annotated[
        bool,
        typer.Option(
            "--texts",
            help="Read texts, too, with the encoder of the settings: the first time it encodes the catalogue and keeps "
            "the vectors in data_dir. Without: the part `interest` is left out.",
        ),
    ] = False,
    lang: options.Language = "en",
    json_: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    from stream.analysis.person.lookup import added, left_out, open_lookup, read_behaviours, read_topics  # noqa: PLC0415
    from stream.analysis.person.screen import (  # noqa: PLC0415
        Shown,
        listing_to_json,
        say_reasons,
        say_what_is_changed,
        show_listing,
    )
    from stream.analysis.rankings.screen import Bars  # noqa: PLC0415
    from stream.display.terminal import say_json, stderr, stdout  # noqa: PLC0415
    from stream.errors import SettingsError, UsageError  # noqa: PLC0415
    from stream.kafka.reach import reach  # noqa: PLC0415
    from stream.reasons.rewriting.rewriter import open_rewriter  # noqa: PLC0415
    from stream.settings import load_settings  # noqa: PLC0415

    settings = load_settings(bootstrap_servers=bootstrap_servers)
    rewriter = open_rewriter(settings) if rewrite else None
    if rewrite and rewriter is None:
        raise SettingsError(
            "--rewrite needs the setting explanation_rewriter_url.",
            "set PENCHANT_EXPLANATION_REWRITER_URL, e.g. to http://127.0.0.1:8000/v1, and .._MODEL",
        )
    reach(settings)
    behaviours = left_out(read_behaviours(settings, user), without or [])
    behaviours = added(behaviours, user, with_ or [])
    with open_lookup(settings, read_topics(settings)) as lookup:
        titles = lookup.titles
        for each in [*([] if item is None else [item]), *(with_ or [])]:
            if each not in titles:
                raise UsageError(f"no item {each!r} is in the catalogue.", "check the id, or its case")
        if texts:
            from stream.analysis.person.texts import read_texts  # noqa: PLC0415

            queries = [each.event.text or "" for each in behaviours if each.event.action == "query"]
            with Bars(stderr()) as bars:
                lookup.use_texts(
                    read_texts(settings, lookup.items, queries, lambda done, total: bars.step("texts", done, total))
                )
        listing = lookup.listing(user, behaviours, rankings)
    shown = Shown(user, top, item, lang, lambda item_id: titles.get(item_id, item_id))
    if rewriter is not None:
        shown = say_reasons(rewriter, listing, shown)
    if json_:
        say_json(stdout(), listing_to_json(listing, behaviours, shown))
        return
    say_what_is_changed(stderr(), without or [], with_ or [])
    show_listing(stdout(), listing, behaviours, shown)
