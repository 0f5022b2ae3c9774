"""What a person sees of `penchant explain`: a list, its parts as bars, the behaviours behind it, and what it hangs on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from stream.analysis.person.labels import counted, labels_of
from stream.analysis.person.lookup import Behaviour, Listing
from stream.display.terminal import clean, say, write_line
from stream.reasons.rewriting.rewriter import Rewriter, Rewritten
from stream.wire.reasons import Explanation, ItemReason, item_reasons
from stream.wire.records import RecommendedItem

BAR: Final = 20
"""Characters of the longest bar."""

SHOWN_FROM: Final = 0.0005
"""Smaller sums of weak contributions are 0.000 on the screen, or what rounding left over."""

LOOKED_AT: Final = 5
"""Events shown of what the sequence model looked at."""

Title = Callable[[str], str]


class Shown(NamedTuple):
    """What to show."""

    user_id: str
    top: int
    item_id: str | None
    lang: str
    title: Title
    rewritten: Mapping[str, Rewritten] | None = None
    """By item, what became of its sentence; None: nobody was asked to say it in other words."""


def say_reasons(rewriter: Rewriter, listing: Listing, shown: Shown) -> Shown:
    """With the reasons that are shown in other words. Takes as long as the rewriter does, one reason after another."""
    titles = [shown.title(item.item_id) for item in listing.published.list.record.items]
    said = {
        item.item_id: rewriter.say(
            Explanation(reason.sentences["en"], reason.sentences["zh"]), titles, time.monotonic()
        )
        for item, reason in wanted_places(listing, shown)
    }
    return shown._replace(rewritten=said)


def show_listing(console: Console, listing: Listing, behaviours: Sequence[Behaviour], shown: Shown) -> None:
    """Everything, a line each."""
    for line in lines_of(listing, behaviours, shown):
        if console.is_terminal:
            console.print(line, overflow="ellipsis", no_wrap=True)
        else:
            write_line(console, line.plain)


def lines_of(listing: Listing, behaviours: Sequence[Behaviour], shown: Shown) -> list[Text]:
    """The listing as lines."""
    list_ = listing.published.list.record
    model, labels = list_.model, labels_of(shown.lang)
    texts = labels.without_texts if model.encoder is None else f"encoder {model.encoder}"
    used = labels.used.format(ranker=model.ranker, sequence=model.sequence or labels.none, texts=texts)
    head = labels.head.format(
        events=counted(shown.lang, len(behaviours), "event"), items=counted(shown.lang, listing.history, "item")
    )
    lines = [Text.assemble((clean(shown.user_id, 128), "bold"), f"  {head}"), Text(used, "dim")]
    places = wanted_places(listing, shown)
    if not places:
        lines.append(Text(f"    {labels.not_in_list if shown.item_id else labels.nothing}", "dim"))
    for item, reason in places:
        lines += _place(item, reason, shown) + _looked_at(listing.sequence.get(item.item_id), shown)
    if listing.counterfactual is not None and (shown.item_id in {None, listing.counterfactual.leader}):
        lines += [Text(""), _hangs_on(listing, shown)]
    return lines


def listing_to_json(listing: Listing, behaviours: Sequence[Behaviour], shown: Shown) -> dict[str, Any]:
    """The same as one JSON object."""
    list_, why = listing.published.list.record, listing.published.reasons
    return {
        "user_id": shown.user_id,
        "events": [
            {
                "offset": each.record.offset,
                "action": each.event.action,
                "item_id": each.event.item_id,
                "event_time": each.time_ms,
            }
            for each in behaviours
        ],
        "model": msgspec.to_builtins(list_.model),
        "left_out": ["interest"] if list_.model.encoder is None else [],
        "items": [
            msgspec.to_builtins(item)
            | {
                "title": shown.title(item.item_id),
                "reason": reason.sentence(shown.lang),
                **_rewritten_to_json(item, shown),
                "contributions": msgspec.to_builtins(reason.contributions),
                "others": reason.others,
                "sequence_looked_at": listing.sequence.get(item.item_id),
            }
            for item, reason in wanted_places(listing, shown)
        ],
        "gap": None if why is None else why.gap,
        "counterfactual": None if listing.counterfactual is None else listing.counterfactual._asdict(),
    }


def wanted_places(listing: Listing, shown: Shown) -> list[tuple[RecommendedItem, ItemReason]]:
    """The places to show, with their reasons."""
    why = listing.published.reasons
    pairs = list(
        zip(listing.published.list.record.items, () if why is None else item_reasons(why.record), strict=False)
    )
    if shown.item_id is not None:
        return [pair for pair in pairs if pair[0].item_id == shown.item_id]
    return pairs[: shown.top]


def say_what_is_changed(console: Console, without: Sequence[str], with_: Sequence[str], lang: str) -> None:
    """That this is no list that anybody got."""
    labels = labels_of(lang)
    said = [labels.as_if_without.format(names=labels.between.join(map(clean, without)))] * bool(without)
    said += [labels.as_if_with.format(names=labels.between.join(map(clean, with_)))] * bool(with_)
    if said:
        say(console, labels.as_if.format(what="; ".join(said)), "yellow")


def _place(item: RecommendedItem, reason: ItemReason, shown: Shown) -> list[Text]:
    name, labels = clean(shown.title(item.item_id), 60), labels_of(shown.lang)
    lines = [
        Text(""),
        Text.assemble(f"{item.rank:4d}  ", (name, "green"), (f"  {clean(item.item_id, 40)}  {item.score:.3f}", "dim")),
        *_sentences(item, reason, shown),
    ]
    largest = max((abs(value) for value in item.parts.values()), default=0.0)
    for part, value in item.parts.items():
        if value:
            bar = "█" * max(1, round(BAR * abs(value) / largest))
            label = labels.parts.get(part, part)
            lines.append(Text.assemble(f"      {_wide(label, 14)}", (f"{value:+8.3f}  ", "dim"), (bar, _colour(value))))
    for each in reason.contributions:
        when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(each.event_time / 1000))
        title = clean(shown.title(each.item_id), 40)
        action = _wide(labels.actions.get(each.action, each.action), 9)
        lines.append(Text(f"        {each.contribution:+8.3f}  {action} {when}  {title}", "dim"))
    if abs(reason.others) >= SHOWN_FROM:
        lines.append(Text(f"        {reason.others:+8.3f}  {labels.weaker}", "dim"))
    return lines


def _sentences(item: RecommendedItem, reason: ItemReason, shown: Shown) -> list[Text]:
    """The reason; where it was to be rewritten also the template, or why that was kept."""
    template = Text(f"      {clean(reason.sentence(shown.lang), 400)}")
    said, labels = _said(item, shown), labels_of(shown.lang)
    if said is None:
        return [template]
    if said.kept is not None:
        return [template, Text(f"        {labels.not_rewritten.format(why=clean(said.kept))}", "dim")]
    rewritten = Text(f"      {clean(getattr(said.explanation, shown.lang), 400)}")
    if rewritten.plain == template.plain:  # only the other language has other words
        return [template]
    return [rewritten, Text(f"        {labels.template.format(text=template.plain.strip())}", "dim")]


def _rewritten_to_json(item: RecommendedItem, shown: Shown) -> dict[str, str | None]:
    said = _said(item, shown)
    if said is None:
        return {}
    words = getattr(said.explanation, shown.lang)
    return {"rewritten": None if said.kept is not None else words, "not_rewritten": said.kept}


def _said(item: RecommendedItem, shown: Shown) -> Rewritten | None:
    return None if shown.rewritten is None else shown.rewritten[item.item_id]


def _looked_at(found: Mapping[str, Any] | None, shown: Shown) -> list[Text]:
    """A block of its own, under a title that says it: these numbers are no parts of a sum."""
    if found is None:
        return []
    labels = labels_of(shown.lang)
    lines = [Text(f"      {labels.looked_at}", "dim")]
    strongest, others = found["events"][:LOOKED_AT], found["events"][LOOKED_AT:]
    for each in strongest:
        when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(each["event_time"] / 1000))
        title = clean(shown.title(each["item_id"]), 40)
        told = labels.without_it.format(value=-each["difference"], when=when, title=title)
        lines.append(Text(f"        {told}", "dim"))
    if others:
        rest = -sum(each["difference"] for each in others)
        told = labels.others_alone.format(value=rest, events=counted(shown.lang, len(others), "other event"))
        lines.append(Text(f"        {told}", "dim"))
    lines.append(Text(f"        {labels.residual.format(value=found['residual'])}", "dim"))
    lines.append(Text(f"        {labels.of_nobody.format(value=found['of_nobody'])}", "dim"))
    return lines


def _hangs_on(listing: Listing, shown: Shown) -> Text:
    found = listing.counterfactual
    assert found is not None
    labels = labels_of(shown.lang)
    titles = labels.between.join(clean(shown.title(each), 60) for each in found.removed)
    leader = clean(shown.title(found.leader), 60)
    instead = labels.nothing_instead if found.replacement is None else clean(shown.title(found.replacement), 60)
    least = labels.no_fewer if found.exact else labels.maybe_fewer
    return Text.assemble(
        labels.without, (titles, "bold"), labels.hangs_on.format(instead=instead, leader=leader, least=least)
    )


def _wide(text: str, columns: int) -> str:
    """Filled up with spaces; a Chinese character takes two columns."""
    return text + " " * max(0, columns - cell_len(text))


def _colour(value: float) -> str:
    return "green" if value > 0 else "red"
