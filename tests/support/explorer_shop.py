"""A made-up shop that answers as `penchant serve` does, in its own types: what the explorer's tests draw.

Lists are ranked by a small formula, so that striking out, adding, moving the clock and weights really change them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal
from zlib import crc32

import msgspec

from models.vocabulary import Action
from stream.serve.answers import (
    Behaviour,
    Belief,
    Cause,
    Counterfactual,
    Earned,
    Edge,
    Follower,
    Gate,
    InterestPicture,
    ItemAnswer,
    ItemFound,
    ItemsAnswer,
    ListAnswer,
    ListedItem,
    Move,
    NowAnswer,
    OlderInterest,
    PartitionNow,
    PeopleAnswer,
    PersonAnswer,
    PersonFound,
    Point,
    RulesAnswer,
    RuleShown,
    Tried,
    TryAnswer,
    WhatIfAnswer,
    WhyAnswer,
    Window,
    YouAnswer,
)
from stream.serve.questions import TryQuestion, WhatIfQuestion
from stream.wire.records import EventSource, ModelVersions

NOW = 1_322_560_800_000
HOUR = 3_600_000
DAY = 24 * HOUR
MODEL = ModelVersions(encoder="all-MiniLM-L6-v2@fp32", sequence=None, ranker="learned:2026-11-30")

FAMILIES = {
    "jam": (
        "Jam Making Set with Jars",
        "Jam Making Set Printed",
        "Set of 6 Spice Tins Pantry Design",
        "Recipe Box Pantry Yellow",
    ),
    "light": (
        "White Hanging Heart T-Light Holder",
        "Glass Star Frosted T-Light Holder",
        "Set of 9 Heart Shaped Balloons",
    ),
    "owl": ("Owl Doorstop", "Cream Owl Hot Water Bottle", "Owl Print Mug", "Hot Water Bottle Tea and Sympathy"),
    "lunch": ("Lunch Bag Red Retrospot", "Lunch Bag Suki Design", "Lunch Bag Cars Blue", "Jumbo Bag Red Retrospot"),
    "party": ("Party Bunting", "Spotty Bunting", "Pack of 72 Retrospot Cake Cases", "Paper Chain Kit 50’s Christmas"),
    "clock": ("Alarm Clock Bakelike Green", "Alarm Clock Bakelike Pink", "Alarm Clock Bakelike Ivory"),
    "garden": (
        "Gardeners Kneeling Pad Keep Calm",
        "Set of 3 Butterfly Cookie Cutters",
        "Wooden Picture Frame White Finish",
    ),
}
ITEMS = {
    str(22_900 + 13 * i): (title, family)
    for i, (title, family) in enumerate((t, f) for f, ts in FAMILIES.items() for t in ts)
}
UNSEEN = "23999"
DID: tuple[tuple[Action, str, float], ...] = (
    ("view", "light/0", 23),
    ("click", "light/1", 23),
    ("purchase", "light/0", 22.8),
    ("view", "clock/0", 12),
    ("query", "lunch bag", 11.9),
    ("click", "lunch/0", 11.8),
    ("cart", "lunch/1", 11.7),
    ("purchase", "lunch/0", 11.6),
    ("dislike", "clock/2", 6),
    ("click", "party/0", 3.1),
    ("like", "party/1", 3),
    ("view", "owl/0", 2.9),
    ("click", "jam/0", 0.3),
    ("cart", "jam/0", 0.25),
    ("purchase", "jam/1", 0.2),
)
STRENGTH: dict[str, float] = {
    "view": 0.2,
    "click": 0.5,
    "like": 0.8,
    "cart": 0.8,
    "purchase": 1.0,
    "query": 0.4,
    "dislike": -0.9,
}
PAST = {
    "view": "looked at",
    "click": "clicked",
    "like": "liked",
    "cart": "put into your cart",
    "purchase": "bought",
    "query": "searched for",
}
NASTY = {
    "long": "Very long title without any end " * 160,
    "unbroken": "W" * 5000,
    "rtl": "مجموعة صنع المربى مع الجرار <b>جميلة</b>",
    "script": '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>\'"&amp;',
}
PARTS = ("co_occurrence", "interest", "context", "trend", "popularity", "age")


def _noise(*names: str) -> float:
    return crc32("/".join(names).encode()) / 2**32


def _id(name: str) -> str:
    family, place = name.split("/")
    return next(item for item, (title, _) in ITEMS.items() if title == FAMILIES[family][int(place)])


class Shop:
    """What is answered. `nasty` names one of `NASTY`, which then every title is; `empty`: no catalogue, nobody was there."""

    def __init__(self) -> None:
        self.nasty: str | None = None
        self.empty = False

    def title(self, item: str) -> str:
        return NASTY[self.nasty] if self.nasty else ITEMS.get(item, (f"“{item}”" if " " in item else item, ""))[0]

    # ----- a person -----
    def behaviours(self) -> tuple[Behaviour, ...]:
        made = []
        for action, name, days in DID:
            item = name if action == "query" else _id(name)
            title = name if action == "query" else self.title(item)
            at = NOW - int(days * DAY)
            made.append(
                Behaviour(f"{at}.{action}.{crc32(item.encode()):016x}", action, item, title, at, action != "query")
            )
        return tuple(made)

    def people(self) -> PeopleAnswer:
        names = (
            ()
            if self.empty
            else (
                "mei",
                "15187",
                "13269",
                "a b&c/d",
                "مريم",
                "17850",
                "newcomer-with-a-rather-long-identifier-of-a-session-0123456789",
            )
        )
        return PeopleAnswer(tuple(PersonFound(u, NOW - i * 7 * 60_000, i != 5) for i, u in enumerate(names)))

    def person(self, user: str) -> PersonAnswer:
        if user not in {p.user_id for p in self.people().people}:
            return PersonAnswer(user, False, 0, 0, 0, 0, -1, (), InterestPicture((), ()), (), (), (), 0)
        did = self.behaviours()
        older = tuple(
            OlderInterest(_id(n), self.title(_id(n)), w, c, NOW - 60 * DAY)
            for n, w, c in (("owl/1", 0.4, 3), ("garden/0", 0.22, 1))
        )
        earned = (
            Earned(
                _id("lunch/0"), self.title(_id("lunch/0")), "purchase", did[7].event_time, "r-17", 2, "interest", 0.75
            ),
            Earned(_id("jam/0"), self.title(_id("jam/0")), "cart", did[13].event_time, "r-21", 1, "explore", 0.5),
        )
        return PersonAnswer(
            user,
            True,
            41,
            NOW - 90 * DAY,
            did[-1].event_time,
            2,
            4711,
            did,
            self.interests(did),
            older,
            (0.05, 0.35, 0.4, 0.2),
            (0.2, 0.18, 0.1, 0.22, 0.2, 0.04, 0.06),
            12,
            earned,
        )

    def interests(self, did: Sequence[Behaviour]) -> InterestPicture:
        weights: dict[str, float] = {}
        groups: dict[str, list[Behaviour]] = {}
        newest = max((b.event_time for b in did), default=NOW)
        for each in did:
            family = ITEMS[each.item_id][1] if each.item_id in ITEMS else "lunch"
            weights[family] = (
                weights.get(family, 0.0) + STRENGTH[each.action] * 0.5 ** ((newest - each.event_time) / (14 * DAY)) / 4
            )
            groups.setdefault(family, []).append(each)
        cell = {family: i for i, family in enumerate(FAMILIES)}
        points = tuple(
            Point(
                g[0].item_id,
                g[0].title,
                weights[f],
                tuple(b.item_id for b in g),
                g[0].event_time,
                cell[f] * 2 % 3,
                cell[f] * 2 // 3 % 4,
            )
            for f, g in groups.items()
        )
        return InterestPicture(points, tuple(Edge(i, i + 1, 0.3 + 0.1 * i) for i in range(len(points) - 1)))

    # ----- lists -----
    def ranked(
        self,
        user: str,
        did: Sequence[Behaviour],
        weights: dict[str, float],
        at: int,
        n: int,
        idle: bool,
        *,
        published: bool = False,
    ) -> ListAnswer:
        made = [] if self.empty else [self._scored(item, did, weights, at, idle) for item in ITEMS]
        made.sort(key=lambda each: (-each.score, each.item_id))
        total = sum(math.exp(each.score) for each in made) or 1.0
        items = tuple(
            msgspec.structs.replace(each, rank=i + 1, probability=math.exp(each.score) / total)
            for i, each in enumerate(made[:n])
        )
        return ListAnswer(
            "r-42",
            user,
            "home",
            bool(did),
            True,
            "published" if published else "ranked",
            EventSource("events", 2, 4711),
            240_000 if published else 3,
            at,
            did[-1].event_time if did else 0,
            MODEL,
            items,
            ("always", "history_5_to_19", *(("idle_30_min",) if idle else ())),
        )

    def _scored(
        self, item: str, did: Sequence[Behaviour], weights: dict[str, float], at: int, idle: bool
    ) -> ListedItem:
        family, causes = ITEMS[item][1], []
        newest = max((b.event_time for b in did), default=at)
        for each in did:
            same = (
                1.0
                if each.item_id in ITEMS and ITEMS[each.item_id][1] == family
                else 0.35 * _noise(each.item_id, item) ** 3
            )
            share = (
                1.4
                * STRENGTH[each.action]
                * same
                * 0.5 ** ((newest - each.event_time) / (9 * DAY))
                * (0.5 if idle else 1)
            )
            if abs(share) > 0.004:
                causes.append(Cause(each.item_id, each.title, each.action, each.event_time, share))
        causes.sort(key=lambda c: -abs(c.contribution))
        personal = sum(c.contribution for c in causes)
        parts = {
            "co_occurrence": 0.7 * personal,
            "interest": 0.3 * personal,
            "context": 0.2 * (_noise(item, "c") - 0.5),
            "trend": 0.5 * _noise(item, "t"),
            "popularity": 0.7 * _noise(item, "p"),
            "age": -0.25 * _noise(item, "a"),
        }
        times = {part: weights.get(part, 1.0) for part in PARTS}
        parts = {part: value * times[part] for part, value in parts.items()}
        shown = tuple(causes[:6])
        title = self.title(item)
        why = causes[0] if causes and causes[0].contribution > 0 else None
        reason = (
            {
                "en": f"Because you {PAST[why.action]} “{why.title}” 3 days ago.",
                "zh": f"因为您 3 天前关注了“{why.title}”。",
            }
            if why
            else {"en": "Popular this week.", "zh": "本周热门。"}
        )
        return ListedItem(
            item,
            title,
            0,
            sum(parts.values()),
            0.0,
            "explore" if item == _id("garden/1") else "interest" if did else "popular",
            1.0,
            parts,
            2.95,
            (family,),
            reason=reason,
            causes=shown,
            others=sum(c.contribution for c in causes[6:]),
        )

    def list_of(self, user: str, n: int = 20) -> ListAnswer:
        known = self.person(user).known
        return self.ranked(user, self.behaviours() if known else (), {}, NOW, n, idle=False, published=True)

    def what_if(self, user: str, question: WhatIfQuestion) -> WhatIfAnswer:
        at = NOW if question.at is None else question.at
        did = self.behaviours() if self.person(user).known else ()
        struck = set(question.without)
        kept = [b for b in did if not {b.key, b.item_id} & struck and b.event_time <= at]
        kept += [Behaviour(f"with.{i}", "click", i, self.title(i), at, True) for i in question.with_]
        idle = not kept or at - kept[-1].event_time > HOUR / 2
        after = self.ranked(user, kept, question.weights, at, question.n, idle)
        before = self.ranked(user, did, {}, at, question.n, at - NOW > HOUR / 2)
        if question == WhatIfQuestion(n=question.n) and did and after.items:
            hangs = Counterfactual((_id("jam/1"), _id("jam/0")), after.items[2].item_id, True)
            after = msgspec.structs.replace(after, counterfactual=hangs)
        return WhatIfAnswer(after, before, moves(before, after), self.interests(kept), at, 3.4)

    def why(self, user: str, rank: int) -> WhyAnswer:
        listed = self.list_of(user)
        item = listed.items[rank - 1]
        features = {f"{part}_{k}": value / 2 for part, value in item.parts.items() for k in ("fast", "slow")}
        return WhyAnswer(
            msgspec.structs.replace(listed, items=(item,)), item, features, listed.counterfactual if rank == 1 else None
        )

    # ----- items -----
    def found(self, ids: Sequence[str], scored: bool = True) -> tuple[ItemFound, ...]:
        return tuple(
            ItemFound(i, self.title(i), (0.62 * 0.7**k if scored else 0.0), 2.95, (ITEMS[i][1],), i != _id("clock/2"))
            for k, i in enumerate(ids)
        )

    def items(self, q: str, n: int) -> ItemsAnswer:
        ids = [] if self.empty else [i for i in ITEMS if q.lower() in self.title(i).lower() or q == i]
        return ItemsAnswer(self.found(ids[:n], scored=False), len(ids))

    def trending(self, n: int) -> ItemsAnswer:
        return ItemsAnswer(() if self.empty else self.found(list(ITEMS)[5 : 5 + n]))

    def item(self, item: str) -> ItemAnswer | None:
        if item not in ITEMS and item != UNSEEN:
            return None
        seen = item != UNSEEN
        near = self.found([i for i in ITEMS if i != item][:6])
        gates = (
            Gate("catalogue", True),
            Gate("available", True, "nothing marks it as sold out"),
            Gate("rules", True),
            Gate("statistics", seen, "" if seen else "0 engagements, 0 neighbours"),
            Gate("text", True, "384 numbers"),
            Gate("listed", seen),
        )
        return ItemAnswer(
            item,
            self.title(item) if seen else "Sleeping Cat Erasers",
            True,
            True,
            2.95,
            ("home", "kitchen"),
            "A set of jars, labels and cloth covers for making jam at home.",
            NOW - 400 * DAY,
            {"brand": "own", "warehouse": "Leeds"},
            1297.0 if seen else 0.0,
            NOW - 300 * DAY if seen else 0,
            {"hour_1": 0.4, "hour_6": 2.1, "day_1": 7.4, "day_7": 31.2, "day_60": 190.5, "day_365": 640.0},
            5210.0 if seen else 0.0,
            318.0 if seen else 0.0,
            near if seen else (),
            near[2:4] if seen else (),
            near[1:5],
            412 if seen else 0,
            1730,
            (31, 44, 39, 52, 40, 38, 29, 25, 33, 22, 14, 11, 9, 8, 6, 5, 3, 2, 1) if seen else (),
            tuple(Follower(p.user_id, k + 1, 3.1 - 0.2 * k) for k, p in enumerate(self.people().people[:5]))
            if seen
            else (),
            gates,
        )

    # ----- how it runs, rules, your page -----
    def now(self, step: int, *, behind: bool = False) -> NowAnswer:
        wave = math.sin(step / 7)
        lags = [3, 0, 41_200, 5] if behind else [3, 0, 7, 2]
        parts = tuple(
            PartitionNow(p, lag, 12.5 if lag > 1000 and step % 2 else -900.0 if lag > 1000 else 0.0, 98_000 + p)
            for p, lag in enumerate(lags)
        )
        fresh = (
            Window(30.0, 512, 84_000.0, 190_000.0) if behind else Window(30.0, 512, 118 + 15 * wave, 640 + 90 * wave)
        )
        return NowAnswer(
            NOW + step * 1000,
            512 + 40 * wave,
            431 + 35 * wave,
            fresh,
            sum(lags),
            parts,
            410,
            611,
            4120,
            1290,
            51_200,
            {"not JSON": 3, "unknown action": 1},
            1730,
            2970,
            True,
            requests_per_s=18.5 + wave,
            request_p99_ms=4.2,
        )

    def rules(self) -> RulesAnswer:
        if self.empty:
            return RulesAnswer((), True)
        cheap = msgspec.Raw(b'{"kind":"deny","where":"price < 0.5"}')
        campaign = msgspec.Raw(msgspec.json.encode({"kind": "pin", "items": [_id("owl/0")], "place": 1, "share": 0.5}))
        return RulesAnswer(
            (
                RuleShown("no-pennies", "deny", "Nothing that costs next to nothing", cheap, 12, True, 31),
                RuleShown("campaign", "pin", "", campaign, 1, True, 148),
                RuleShown(
                    "christmas",
                    "promote",
                    "",
                    cheap,
                    87,
                    False,
                    0,
                ),
            ),
            True,
        )

    def tried(self, question: TryQuestion) -> TryAnswer:
        boost = {"trend": 2.5}
        all_: list[Tried] = []
        for person in self.people().people:
            did = self.behaviours()[: 5 + len(all_)]
            before, after = (
                self.ranked(person.user_id, did, w, NOW, 10, idle=False) for w in ({}, boost if len(all_) % 3 else {})
            )
            all_.append(Tried(person.user_id, before, after, moves(before, after)))
        return TryAnswer(tuple(all_), 214, ("it means 214 of 2,970 items",), 1.92, 1.871)

    def you(self) -> YouAnswer:
        did = self.behaviours()
        likes: tuple[tuple[str, Literal["strong", "some", "little"]], ...] = (
            ("jam/0", "strong"),
            ("lunch/0", "some"),
            ("party/0", "some"),
            ("light/0", "little"),
        )
        made = tuple(
            Belief(
                _id(n),
                self.title(_id(n)),
                s,
                NOW - 9 * DAY,
                {
                    "en": f"Because you bought “{self.title(_id(n))}” 9 days ago.",
                    "zh": f"因为您 9 天前购买了“{self.title(_id(n))}”。",
                },
                (_id(n),),
            )
            for n, s in likes
        )
        no = Belief(
            _id("clock/2"),
            self.title(_id("clock/2")),
            "some",
            NOW - 6 * DAY,
            {"en": "You said so.", "zh": "您这样说过。"},
            (_id("clock/2"),),
        )
        return YouAnswer(
            () if self.empty else made,
            () if self.empty else (no,),
            0 if self.empty else 41,
            NOW - 90 * DAY,
            did[-1].event_time,
            self.list_of("mei"),
        )


def moves(before: ListAnswer, after: ListAnswer) -> tuple[Move, ...]:
    """What differs, as the server says it."""
    was, now = ({each.item_id: each.rank for each in answer.items} for answer in (before, after))
    titles = {each.item_id: each.title for answer in (before, after) for each in answer.items}
    differing = [item for item in [*now, *(i for i in was if i not in now)] if was.get(item) != now.get(item)]
    return tuple(Move(item, titles[item], was.get(item), now.get(item)) for item in differing)
