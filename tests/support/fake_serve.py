"""A `penchant serve` that is none: the routes, types and errors of the real one over a small shop in memory.

Lists are made by a rule that a reader can follow: items of the categories that a person met latest come first, and what was
bought is left out. Tests that need a real list use the real server.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from urllib.parse import unquote

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from stream.serve import answers, questions
from stream.wire.records import Event, EventSource, Item, ModelVersions

NOW_MS: Final = 1_780_000_000_000
ADMIN_TOKEN: Final = "admin"
Q = TypeVar("Q", bound=msgspec.Struct)

SHOP: Final = (
    Item("cup", "Tea cup", ("kitchen", "tea"), price=4.5),
    Item("pot", "Tea pot", ("kitchen", "tea"), price=12.0),
    Item("tray", "Oak tray", ("kitchen",), price=20.0),
    Item("green", "Green tea, 100 g", ("tea",), price=7.0),
    Item("lamp", '<b>Brass</b> lamp & "shade"', ("light",), price=49.0),
    Item("candle", "蜂蜡蜡烛 (beeswax)", ("light",), price=9.0),
    Item("a/b c", "Odd id", ("light",)),
    Item("sofa", "Sofa", ("room",), price=900.0, available=False),
)


class Refused(Exception):
    """Ends a request with a problem."""

    def __init__(self, status: int, title: str, detail: str, field: str | None = None) -> None:
        self.problem = answers.Problem(title, status, detail, field=field)


class FakeServe:
    """What was sent, and what is answered. `token`: demanded of everybody; rules need `ADMIN_TOKEN` then."""

    def __init__(self, token: str | None = None) -> None:
        self.events: list[Event] = []
        self.asked: list[tuple[str, str, bytes]] = []
        """Method, path with its query as it came, body."""
        self.reflected: int | None = None
        """Lists stay behind: they reflect so many events only. None: all."""
        self.busy: list[tuple[int, str | None]] = []
        """Statuses, with Retry-After, that the next requests get."""
        self._token = token
        v1 = [
            ("GET", "users/{user}/recommendations", self._recommendations),
            ("GET", "users/{user}/recommendations/{rank}/why", self._why),
            ("POST", "users/{user}/what-if", self._what_if),
            ("POST", "users/{user}/link", self._link),
            ("GET", "users/{user}", self._person),
            ("GET", "users", self._people),
            ("POST", "sessions/recommendations", self._session),
            ("GET", "items", self._items),
            ("GET", "items/{item}", self._item),
            ("GET", "items/{item}/related", self._related),
            ("GET", "trending", self._trending),
            ("POST", "events", self._send),
            ("GET", "now", self._now),
            ("GET", "rules", self._rules),
            ("POST", "rules/try", self._try),
            ("PUT", "rules", self._publish),
            ("GET", "you/{token}", self._you),
            ("POST", "you/{token}/less", self._less),
        ]
        health = [("GET", "live", self._live), ("GET", "ready", self._ready)]
        self._routes = [(m, f"/v1/{p}".split("/"), f) for m, p, f in v1]
        self._routes += [(m, f"/health/{p}".split("/"), f) for m, p, f in health]
        every = Route("/{path:path}", self._answer, methods=["GET", "POST", "PUT"])
        self.app = Starlette(routes=[Route("/v1/now/stream", self._stream), every])

    # -- the way in ----------------------------------------------------------------------------------------------------

    async def _answer(self, request: Request) -> Response:
        raw = request.scope["raw_path"].decode().partition("?")[0]
        query = request.url.query
        self.asked.append((request.method, raw + (f"?{query}" if query else ""), await request.body()))
        if self.busy:
            status, when = self.busy.pop(0)
            problem = answers.Problem("Busy", status, "Ask again.")
            return _problem(problem, {} if when is None else {"retry-after": when})
        try:
            self._check_token(request)
            for method, pattern, answer in self._routes:
                parts = raw.split("/")
                matches = len(parts) == len(pattern) and all(
                    w.startswith("{") or w == p for w, p in zip(pattern, parts, strict=True)
                )
                if matches and method == request.method:
                    ids = [unquote(p) for w, p in zip(pattern, parts, strict=True) if w.startswith("{")]
                    return await answer(request, *ids)
            raise Refused(404, "Not found", f"There is no {request.method} {raw}.")
        except Refused as refused:
            return _problem(refused.problem)

    def _check_token(self, request: Request) -> None:
        given = request.headers.get("authorization")
        if self._token is not None and given not in {f"Bearer {self._token}", f"Bearer {ADMIN_TOKEN}"}:
            raise Refused(401, "Unauthorized", "A token is needed. Fix: Authorization: Bearer TOKEN")

    # -- lists ---------------------------------------------------------------------------------------------------------

    async def _recommendations(self, request: Request, user: str) -> Response:
        question = _queried(request, questions.ListQuestion)
        seen = self.events if self.reflected is None else self.events[: self.reflected]
        wanted = question.min_offset
        if question.after is not None:
            wanted = next(
                (i for i, each in enumerate(self.events) if each.event_id == question.after), len(self.events)
            )
        return _ok(self._list(user, seen, question, fresh=wanted is None or wanted < len(seen)))

    def _list(
        self, user: str | None, events: list[Event], wanted: questions.Wanted, *, fresh: bool = True
    ) -> answers.ListAnswer:
        own = [event for event in events if event.user_id == (user or "") and event.action != "impression"]
        met = {event.item_id: event for event in own}
        weight = {c: float(i + 1) for i, event in enumerate(own) for c in _categories(event.item_id)}
        left = [
            item
            for item in SHOP
            if item.available
            and not (item.item_id in met and met[item.item_id].action == "purchase")
            and item.item_id not in wanted.exclude
            and (not wanted.category or set(wanted.category) & set(item.categories))
        ]
        left.sort(key=lambda item: -max((weight.get(c, 0.0) for c in item.categories), default=0.0))
        items = tuple(
            _listed(item, rank, max((weight.get(c, 0.0) for c in item.categories), default=0.0), own, wanted.explain)
            for rank, item in enumerate(left[: wanted.n], 1)
        )
        last = max((i for i, event in enumerate(events) if event.user_id == user), default=None)
        return answers.ListAnswer(
            recommendation_id=f"{len(own):032x}",
            user_id=user,
            placement=wanted.placement,
            known=bool(own),
            fresh=fresh,
            how="ranked" if user is None else "published",
            source=None if last is None else EventSource("interest.events", 0, last),
            age_ms=7,
            generated_at=NOW_MS,
            event_time=NOW_MS if own else 0,
            model=ModelVersions(None, None, "fake"),
            items=items,
        )

    async def _session(self, request: Request) -> Response:
        question = await _body(request, questions.SessionQuestion)
        return _ok(self._list(None, [Event("", each.action, each.item_id) for each in question.events], question))

    async def _why(self, request: Request, user: str, rank: str) -> Response:
        question = _queried(request, questions.WhyQuestion)
        whole = self._list(user, self.events, questions.Wanted(placement=question.placement, explain=True))
        if not 1 <= int(rank) <= len(whole.items):
            raise Refused(404, "Not found", f"The list has {len(whole.items)} places.")
        item = whole.items[int(rank) - 1]
        return _ok(answers.WhyAnswer(msgspec.structs.replace(whole, items=(item,)), item, dict(item.parts)))

    async def _what_if(self, request: Request, user: str) -> Response:
        question = await _body(request, questions.WhatIfQuestion)
        wanted = questions.Wanted(placement=question.placement, n=question.n)
        before = self._list(user, self.events, wanted)
        events = [each for each in self.events if each.item_id not in question.without]
        after = self._list(user, events + [Event(user, "click", each) for each in question.with_], wanted)
        places = {item.item_id: item.rank for item in before.items}
        moved = tuple(
            answers.Move(item.item_id, item.title, places.get(item.item_id), item.rank)
            for item in after.items
            if places.get(item.item_id) != item.rank
        )
        nothing = answers.InterestPicture((), ())
        return _ok(answers.WhatIfAnswer(after, before, moved, nothing, question.at or NOW_MS, 1.0))

    # -- people and items ----------------------------------------------------------------------------------------------

    async def _person(self, request: Request, user: str) -> Response:
        own = [(i, event) for i, event in enumerate(self.events) if event.user_id == user]
        behaviours = tuple(
            answers.Behaviour(str(i), event.action, event.item_id or "", _title(event.item_id), NOW_MS, True)
            for i, event in own
        )
        nothing = answers.InterestPicture((), ())
        seen = NOW_MS if own else 0
        last = own[-1][0] if own else -1
        return _ok(
            answers.PersonAnswer(
                user, bool(own), len(own), seen, seen, 0, last, behaviours, nothing, (), (), (), impressions=0
            )
        )

    async def _people(self, request: Request) -> Response:
        n = _queried(request, questions.PeopleQuestion).n
        latest = list(dict.fromkeys(event.user_id for event in reversed(self.events)))
        return _ok(answers.PeopleAnswer(tuple(answers.PersonFound(each, NOW_MS, True) for each in latest[:n])))

    async def _items(self, request: Request) -> Response:
        question = _queried(request, questions.SearchQuestion)
        found = [item for item in SHOP if question.q.lower() in item.title.lower() or question.q == item.item_id]
        return _ok(answers.ItemsAnswer(tuple(map(_found, found[: question.n])), len(found)))

    async def _item(self, request: Request, item: str) -> Response:
        known = next((each for each in SHOP if each.item_id == item), None)
        if known is None:
            raise Refused(404, "Not found", f"Nobody knows the item {item!r}.")
        return _ok(
            answers.ItemAnswer(
                item, known.title, True, known.available, known.price, known.categories, None, None, {}, 0.0, 0, {},
                0.0, 0.0, (), (), (), 0, 0, (), (), (),
            )
        )  # fmt: skip

    async def _related(self, request: Request, item: str) -> Response:
        question = _queried(request, questions.RelatedQuestion)
        alike = [each for each in SHOP if each.item_id != item and set(each.categories) & set(_categories(item))]
        return _ok(answers.ItemsAnswer(tuple(map(_found, alike[: question.n]))))

    async def _trending(self, request: Request) -> Response:
        question = _queried(request, questions.TrendingQuestion)
        found = [each for each in SHOP if not question.category or set(question.category) & set(each.categories)]
        return _ok(answers.ItemsAnswer(tuple(map(_found, found[: question.n]))))

    # -- events, now, rules, a person's page ---------------------------------------------------------------------------

    async def _send(self, request: Request) -> Response:
        event = await _body(request, Event)
        known = [each.event_id for each in self.events]
        if event.event_id is None or event.event_id not in known:
            self.events.append(event)
        return _ok(answers.SentEvent("interest.events", 0, len(self.events) - 1), 201)

    def _state(self) -> answers.NowAnswer:
        nothing = answers.Window(60.0, 0, None, None)
        return answers.NowAnswer(
            NOW_MS, 0.0, 0.0, nothing, 0, (), None, 0, 0, 0, 0, {}, 0, len(SHOP), ready=self.reflected is None
        )

    async def _now(self, request: Request) -> Response:
        return _ok(self._state())

    async def _stream(self, request: Request) -> Response:
        async def two() -> Any:
            for _ in range(2):
                yield b": one a second\n\ndata: " + msgspec.json.encode(self._state()) + b"\n\n"

        return StreamingResponse(two(), media_type="text/event-stream")

    async def _rules(self, request: Request) -> Response:
        return _ok(answers.RulesAnswer((), ready=True))

    async def _try(self, request: Request) -> Response:
        question = await _body(request, questions.TryQuestion)
        whole = [(each, self._list(each, self.events, questions.Wanted())) for each in question.people]
        return _ok(answers.TryAnswer(tuple(answers.Tried(each, a, a, ()) for each, a in whole), items=1))

    async def _publish(self, request: Request) -> Response:
        return _ok(answers.Published((await _body(request, questions.PublishQuestion)).key))

    async def _link(self, request: Request, user: str) -> Response:
        return _ok({"path": f"/you/{user}", "expires_at": NOW_MS})

    async def _you(self, request: Request, token: str) -> Response:
        return _ok(answers.YouAnswer((), (), 0, 0, 0, self._list(token, self.events, questions.Wanted())))

    async def _less(self, request: Request, token: str) -> Response:
        question = await _body(request, questions.LessQuestion)
        self.events += [Event(token, "dislike", each) for each in question.items]
        return _ok(answers.SentEvent("interest.events", 0, len(self.events) - 1), 201)

    async def _live(self, request: Request) -> Response:
        return _ok(answers.Live())

    async def _ready(self, request: Request) -> Response:
        ready = self.reflected is None
        return _ok(answers.Ready(ready, "" if ready else "it reads the lists"), 200 if ready else 503)


@contextmanager
def listening(app: Callable[..., Awaitable[None]]) -> Iterator[str]:
    """The app on a port of this machine, in a thread; its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_until_complete, args=(server.serve(sockets=[listener]),))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
            loop.close()
            assert not thread.is_alive(), "the server did not end"


def _listed(item: Item, rank: int, weight: float, own: list[Event], explain: bool) -> answers.ListedItem:
    causes = [event for event in own if set(_categories(event.item_id)) & set(item.categories)]
    reason = None
    if explain:
        reason = {"en": "Popular at the moment.", "zh": "近期热门。"}
        if causes:
            title = _title(causes[-1].item_id)
            reason = {"en": f"Because of “{title}”, just now.", "zh": f"因为你刚刚看了“{title}”。"}
    return answers.ListedItem(
        item.item_id,
        item.title,
        rank,
        weight,
        0.1,
        "interest" if causes else "popular",
        1.0,
        {"interest": weight},
        price=item.price,
        categories=item.categories,
        reason=reason,
    )


def _found(item: Item) -> answers.ItemFound:
    return answers.ItemFound(
        item.item_id, item.title, price=item.price, categories=item.categories, available=item.available
    )


def _title(item_id: str | None) -> str:
    return next((item.title for item in SHOP if item.item_id == item_id), item_id or "")


def _categories(item_id: str | None) -> tuple[str, ...]:
    return next((item.categories for item in SHOP if item.item_id == item_id), ())


def _queried(request: Request, kind: type[Q]) -> Q:
    several = {field.encode_name for field in msgspec.structs.fields(kind) if field.name in {"exclude", "category"}}
    query = request.query_params
    asked = {name: query.getlist(name) if name in several else query[name] for name in query}
    try:
        return msgspec.convert(asked, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Refused(400, "Bad request", str(error), str(error).rpartition("$.")[2].rstrip("`") or None) from None


async def _body(request: Request, kind: type[Q]) -> Q:
    if request.headers.get("content-type") != "application/json":
        raise Refused(415, "Unsupported media type", "Fix: Content-Type: application/json")
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except msgspec.DecodeError as error:
        raise Refused(400, "Bad request", str(error), str(error).rpartition("$.")[2].rstrip("`") or None) from None


def _ok(answer: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(answer), status, media_type="application/json")


def _problem(problem: answers.Problem, headers: dict[str, str] | None = None) -> Response:
    body = msgspec.json.encode(problem)
    return Response(body, problem.status, headers, media_type="application/problem+json")
