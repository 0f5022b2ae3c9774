"""The ASGI application: routes to desks, and the pages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import msgspec
from msgspec.structs import replace
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Router
from starlette.routing import Route as StarletteRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from stream.params import decode_limits
from stream.privacy.asking import new_request, request_bytes
from stream.serve import questions as q
from stream.serve.answers import LinkAnswer, Live, SentEvent, SentRequest
from stream.serve.errors import NotReadyError, RefusedQuestionError, TooManyError
from stream.serve.http.guard import Guard
from stream.serve.http.openapi import openapi
from stream.serve.http.reading import body_as, id_of, query_as
from stream.serve.http.routes import ROUTES, Route
from stream.wire.decode import Rejected, decode_event
from stream.wire.records import Event, encode_sparse

if TYPE_CHECKING:
    from stream.serve.app import ServeApplication

STREAMS_MAX: Final = 50
"""Pages that watch the figures at one time."""

FIGURES_EVERY_S: Final = 1.0
FIGURES_KEPT_S: Final = 0.2
"""For whoever asks meanwhile: at 10,000 events a second they take 10 ms, and fifty pages may watch."""

Handler = Callable[[Request], Awaitable[Response]]


class Handlers:
    """One method a route, named after it."""

    def __init__(self, app: ServeApplication) -> None:
        self._app = app
        self._limits = decode_limits(app.settings)
        self._streams = 0
        self._figures: tuple[float, bytes] = (float("-inf"), b"")
        """When they were made, by a monotonic clock."""

    def _person(self, request: Request) -> str:
        """Of the path, as events have it."""
        return self._app.person_of(_id(request, "user_id"))

    # --- lists ---

    async def list(self, request: Request) -> Response:
        question = query_as(q.ListQuestion, request.query_params.multi_items())
        answer = await self._app.desks.lists.list_for(self._person(request), question)
        metrics = self._app.metrics.http
        metrics.lists.labels(answer.how).inc()
        if not answer.fresh:
            metrics.not_fresh.inc()
        return _json(answer)

    async def session(self, request: Request) -> Response:
        question = body_as(q.SessionQuestion, await request.body())
        answer = self._app.desks.lists.session(question)
        self._app.metrics.http.lists.labels(answer.how).inc()
        return _json(answer)

    async def why(self, request: Request) -> Response:
        question = query_as(q.WhyQuestion, request.query_params.multi_items())
        return _json(self._app.desks.whys.why(self._person(request), _rank(request), question))

    async def what_if(self, request: Request) -> Response:
        question = body_as(q.WhatIfQuestion, await request.body())
        return _json(self._app.desks.whys.what_if(self._person(request), question))

    # --- people ---

    async def person(self, request: Request) -> Response:
        _no_query(request)
        return _json(self._app.desks.people.person(self._person(request)))

    async def people(self, request: Request) -> Response:
        question = query_as(q.PeopleQuestion, request.query_params.multi_items())
        return _json(self._app.desks.people.people(question.n))

    async def link(self, request: Request) -> Response:
        token, until_ms = self._app.links.make(self._person(request))
        return _json(LinkAnswer(f"/you/{token}", until_ms))

    async def you(self, request: Request) -> Response:
        user_id = self._app.links.user_of(request.path_params["token"])
        return _json(self._app.desks.people.you(user_id))

    async def less(self, request: Request) -> Response:
        user_id = self._app.links.user_of(request.path_params["token"])
        question = body_as(q.LessQuestion, await request.body())
        self._app.desks.people.check_known(user_id, question.items)
        sent = [
            await self._sent(Event(user_id, "dislike", item_id, event_id=f"less-{uuid4().hex}"))
            for item_id in question.items
        ]
        return _json(sent[-1], 201)

    # --- what people ask for ---

    async def erase(self, request: Request) -> Response:
        _no_query(request)
        return await self._requested(self._person(request), q.RequestQuestion("erase", requester="http"))

    async def ask(self, request: Request) -> Response:
        return await self._requested(self._person(request), body_as(q.RequestQuestion, await request.body()))

    async def erase_me(self, request: Request) -> Response:
        user_id = self._app.links.user_of(request.path_params["token"])
        return await self._requested(user_id, q.RequestQuestion("erase", requester="the person"))

    async def _requested(self, user_id: str, question: q.RequestQuestion) -> Response:
        if (question.request == "rectify") != (question.item_id is not None):
            raise RefusedQuestionError("`rectify` names an item, the others none", "item_id")
        key = self._app.settings.request_private_key
        asked = new_request(user_id, question.request, question.requester, question.item_id)
        value = request_bytes(asked, None if key is None else key.get_secret_value())
        sent = await self._app.producer.send(user_id.encode(), value)
        return _json(SentRequest(asked.request_id, sent.topic, sent.partition, sent.offset), 202)

    # --- items ---

    async def items(self, request: Request) -> Response:
        question = query_as(q.SearchQuestion, request.query_params.multi_items())
        return _json(await self._app.desks.items.items(question))

    async def item(self, request: Request) -> Response:
        _no_query(request)
        return _json(await self._app.desks.items.item(_id(request, "item_id")))

    async def related(self, request: Request) -> Response:
        question = query_as(q.RelatedQuestion, request.query_params.multi_items())
        return _json(self._app.desks.items.related(_id(request, "item_id"), question))

    async def trending(self, request: Request) -> Response:
        return _json(self._app.desks.items.trending(query_as(q.TrendingQuestion, request.query_params.multi_items())))

    # --- events ---

    async def send(self, request: Request) -> Response:
        event = body_as(Event, await request.body())
        return _json(await self._sent(replace(event, user_id=self._app.person_of(event.user_id))), 201)

    async def _sent(self, event: Event) -> SentEvent:
        now_ms = time.time_ns() // 1_000_000
        key, value = event.user_id.encode(errors="surrogatepass"), encode_sparse(event)
        decoded = decode_event(key, value, now_ms, self._limits.at(now_ms))
        if isinstance(decoded, Rejected):
            raise RefusedQuestionError(f"{decoded.reason}: {decoded.detail}", "$")
        sent = await self._app.producer.send(key, value)
        self._app.metrics.http.events.inc()
        return sent

    # --- figures and rules ---

    async def now(self, request: Request) -> Response:
        _no_query(request)
        return Response(self._figures_now(), media_type="application/json")

    def _figures_now(self) -> bytes:
        now = time.monotonic()
        if now - self._figures[0] >= FIGURES_KEPT_S:
            self._figures = now, msgspec.json.encode(self._app.now_answer())
        return self._figures[1]

    async def now_stream(self, request: Request) -> Response:
        return _Stream(self, request)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """One page more that watches.

        Raises:
            TooManyError: too many do.
        """
        if self._streams >= STREAMS_MAX:
            raise TooManyError(f"{STREAMS_MAX} pages watch already. Fix: close one")
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    async def figures(self, request: Request) -> AsyncIterator[bytes]:
        """One answer a second, for as long as somebody reads them; to a HEAD none."""
        while request.method != "HEAD" and not self._app.is_stopping and not await request.is_disconnected():
            yield b"data: " + self._figures_now() + b"\n\n"
            await asyncio.sleep(FIGURES_EVERY_S)

    async def rules(self, request: Request) -> Response:
        _no_query(request)
        return _json(await self._app.desks.rules.rules())

    async def try_rule(self, request: Request) -> Response:
        return _json(await self._app.desks.rules.tried(body_as(q.TryQuestion, await request.body())))

    async def publish_rule(self, request: Request) -> Response:
        return _json(await self._app.desks.rules.publish(body_as(q.PublishQuestion, await request.body())))

    # --- health ---

    async def live(self, _: Request) -> Response:
        return _json(Live())

    async def ready(self, _: Request) -> Response:
        answer = self._app.ready()
        return _json(answer, 200 if answer.ready else 503)

    async def metrics(self, _: Request) -> Response:
        return Response(generate_latest(self._app.metrics.registry), headers={"content-type": CONTENT_TYPE_LATEST})

    async def document(self, _: Request) -> Response:
        return Response(msgspec.json.encode(openapi()), media_type="application/json")


class _Stream(StreamingResponse):
    """Has its place from before its head is sent: of pages that come at the same moment no more get one than there are."""

    def __init__(self, handlers: Handlers, request: Request) -> None:
        super().__init__(handlers.figures(request), media_type="text/event-stream")
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        with self._handlers.watching():
            await super().__call__(scope, receive, send)


def http_app(app: ServeApplication) -> Guard:
    """Everything that is answered."""
    handlers = Handlers(app)
    explorer = files("stream.serve").joinpath("explorer")
    routes: list[Any] = [
        StarletteRoute(route.path, _named(route, getattr(handlers, route.name), app), methods=[route.method])
        for route in ROUTES
    ]
    routes += [
        StarletteRoute("/v1/now/stream", _stream(handlers), methods=["GET"]),
        StarletteRoute("/metrics", handlers.metrics, methods=["GET"]),
        StarletteRoute("/openapi.json", handlers.document, methods=["GET"]),
        StarletteRoute("/", _to_explorer, methods=["GET"]),
        StarletteRoute("/you/{token}", _page(str(explorer.joinpath("you.html"))), methods=["GET"]),
        # Only the files: compressing lists would cost more than ranking them, and a load balancer does it as well.
        Mount("/explorer", GZipMiddleware(StaticFiles(directory=str(explorer), html=True, check_dir=False))),
    ]
    # No `Starlette`: it would answer what handlers raise, and here the guard does.
    inner = Router(routes, redirect_slashes=False)
    admin = [route for route in ROUTES if route.is_admin]
    return Guard(inner, app.settings, app.metrics.http, lambda method, path: any(_is(r, method, path) for r in admin))


def _is(route: Route, method: str, path: str) -> bool:
    """Whether a request is of this route; parts in braces are any one segment."""
    wanted, given = route.path.split("/"), path.split("/")
    return (
        route.method == method
        and len(wanted) == len(given)
        and all(w.startswith("{") or w == g for w, g in zip(wanted, given, strict=True))
    )


def _named(route: Route, handler: Handler, app: ServeApplication) -> Handler:
    async def handle(request: Request) -> Response:
        request.scope["route_name"] = route.name
        if route.takes_lists and not app.may_answer:
            raise NotReadyError(f"{app.why_not or 'starting'}. Fix: ask again in a moment")
        return await handler(request)

    return handle


def _stream(handlers: Handlers) -> Handler:
    async def handle(request: Request) -> Response:
        request.scope["route_name"] = "now_stream"
        return await handlers.now_stream(request)

    return handle


async def _to_explorer(_: Request) -> Response:
    return RedirectResponse("/explorer/")


def _page(path: str) -> Handler:
    async def handle(_: Request) -> Response:
        return FileResponse(path, media_type="text/html")

    return handle


def _json(answer: msgspec.Struct, status: int = 200) -> Response:
    return Response(msgspec.json.encode(answer), status, media_type="application/json")


def _id(request: Request, name: str) -> str:
    return id_of(request.path_params[name], name)


def _rank(request: Request) -> int:
    text = request.path_params["rank"]
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(q.N_MAX)) and 1 <= int(text) <= q.N_MAX):
        raise RefusedQuestionError(f"a rank is 1 to {q.N_MAX}", "rank")
    return int(text)


def _no_query(request: Request) -> None:
    for name in request.query_params:
        raise RefusedQuestionError("there is no such parameter", name)
