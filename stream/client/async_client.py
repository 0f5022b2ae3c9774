"""Asking `penchant serve` from asyncio."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self, Unpack

import httpx

from models.vocabulary import Action
from stream.client import routes
from stream.client.asked import EventAsked, ListAsked, SessionAsked, WhatIfAsked
from stream.client.connection import (
    DEFAULT_URL,
    NO_CONNECTION,
    TIMEOUT_S,
    headers_of,
    http_options,
    not_answered,
)
from stream.client.patience import Patience
from stream.client.request import Answer, Request, read, read_line
from stream.serve.answers import (
    ItemAnswer,
    ItemsAnswer,
    LinkAnswer,
    ListAnswer,
    Live,
    NowAnswer,
    PeopleAnswer,
    PersonAnswer,
    Published,
    Ready,
    RulesAnswer,
    SentEvent,
    SentRequest,
    TryAnswer,
    WhatIfAnswer,
    WhyAnswer,
    YouAnswer,
)
from stream.wire.requests import RequestKind


class AsyncClient:
    """The same methods as those of `Client`, to be awaited. For one event loop. Use it as a context, `async with`."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        timeout_s: float = TIMEOUT_S,
        tls: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Connects with the first question.

        `token`: of readers or administrators, where the server demands one. `timeout_s`: for a question with everything that
        is asked again; what the server is told to wait (`wait_ms`) comes on top. `tls`: what is trusted, and a certificate of
        one's own where the server asks for one. `transport`: the way there, for tests.

        Raises:
            UsageError: the URL is none.
        """
        self._http = httpx.AsyncClient(**http_options(url, token, tls), transport=transport)
        self._url, self._timeout_s = url, timeout_s
        self._clock, self._sleep = clock, sleep

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends the connections."""
        await self._http.aclose()

    # -- lists ---------------------------------------------------------------------------------------------------------

    async def recommendations(
        self, user_id: str, *, after: SentEvent | str | None = None, **asked: Unpack[ListAsked]
    ) -> ListAnswer:
        """A person's list; of somebody unknown that of a newcomer.

        `after`: what `send` returned, or an `event_id`: the answer reflects that event, or says `fresh` false after `wait_ms`.
        """
        return await self._ask(routes.recommendations(user_id, after, asked))

    async def session_recommendations(self, **asked: Unpack[SessionAsked]) -> ListAnswer:
        """A list for a visitor without an id, from these `events` alone; nothing of it is kept."""
        return await self._ask(routes.session_recommendations(asked))

    async def why(self, user_id: str, rank: int, placement: str = "home", item: str | None = None) -> WhyAnswer:
        """One place of a person's list taken apart: behaviours, features, what would change it; `item`: wherever it is now."""
        return await self._ask(routes.why(user_id, rank, placement, item))

    async def what_if(self, user_id: str, **asked: Unpack[WhatIfAsked]) -> WhatIfAnswer:
        """A person's list as it would be `without` some behaviours, `with_` others, at another time; nothing of it is kept."""
        return await self._ask(routes.what_if(user_id, asked))

    # -- people --------------------------------------------------------------------------------------------------------

    async def person(self, user_id: str) -> PersonAnswer:
        """What is known of a person."""
        return await self._ask(routes.person(user_id))

    async def erase(self, user_id: str) -> SentRequest:
        """Erase a person, as if they had never been there; needs the token of administrators. A worker does it, and gives a
        receipt."""
        return await self._ask(routes.erase(user_id))

    async def ask(
        self, user_id: str, request: RequestKind, item_id: str | None = None, requester: str = ""
    ) -> SentRequest:
        """What a person asks for; `item_id` with `rectify`. Needs the token of administrators."""
        return await self._ask(routes.ask(user_id, request, item_id, requester))

    async def people(self, n: int = 10) -> PeopleAnswer:
        """Who was active lately."""
        return await self._ask(routes.people(n))

    # -- items ---------------------------------------------------------------------------------------------------------

    async def items(self, q: str = "", n: int = 20) -> ItemsAnswer:
        """Items whose title has these words, or that have this id; without words the most chosen ones."""
        return await self._ask(routes.items(q, n))

    async def item(self, item_id: str) -> ItemAnswer:
        """What is known of an item; 404 of one that nobody knows."""
        return await self._ask(routes.item(item_id))

    async def related(self, item_id: str, n: int = 20, by: Literal["chosen", "next", "text"] = "chosen") -> ItemsAnswer:
        """Items `chosen` by the same people, chosen `next`, or alike by `text`."""
        return await self._ask(routes.related(item_id, n, by))

    async def trending(self, n: int = 20, category: Sequence[str] = ()) -> ItemsAnswer:
        """What is chosen most at the moment."""
        return await self._ask(routes.trending(category, n))

    # -- events --------------------------------------------------------------------------------------------------------

    async def send(
        self, user_id: str, action: Action, item_id: str | None = None, **event: Unpack[EventAsked]
    ) -> SentEvent:
        """Send an event: what somebody did. It has been written when this returns; give the result to `recommendations`.

        Without an `event_id` it gets one, so that it counts once even if the request had to be repeated.
        """
        return await self._ask(routes.send(user_id, action, item_id, event))

    # -- now -----------------------------------------------------------------------------------------------------------

    async def now(self) -> NowAnswer:
        """How Penchant does."""
        return await self._ask(routes.now())

    async def now_stream(self) -> AsyncIterator[NowAnswer]:
        """The same about once a second, until the server or you end it; a broken connection is not made again."""
        request = routes.now_stream()
        try:
            async with self._http.stream(request.method, request.path, timeout=self._timeout_s) as response:
                if response.status_code != httpx.codes.OK:
                    read(request, response.status_code, await response.aread())
                async for line in response.aiter_lines():
                    if (answer := read_line(line)) is not None:
                        yield answer
        except httpx.HTTPError as error:
            raise not_answered(self._url, request, error) from error

    async def live(self) -> Live:
        """Whether the process runs."""
        return await self._ask(routes.live())

    async def ready(self) -> Ready:
        """Whether it has caught up with its topics; `why_not` if it has not, which is no error here."""
        return await self._ask(routes.ready())

    # -- rules; all but the first need the token of administrators -----------------------------------------------------

    async def rules(self) -> RulesAnswer:
        """The rules that are followed."""
        return await self._ask(routes.rules())

    async def try_rule(self, key: str, rule: Mapping[str, Any], people: Sequence[str] = ()) -> TryAnswer:
        """Lists without and with a draft of a rule; nothing is published. `people`: whose; none: ten who were active lately."""
        return await self._ask(routes.try_rule(key, rule, people))

    async def publish_rule(self, key: str, rule: Mapping[str, Any] | None) -> Published:
        """Publish a rule; None withdraws it."""
        return await self._ask(routes.publish_rule(key, rule))

    # -- a person's own page -------------------------------------------------------------------------------------------

    async def link(self, user_id: str) -> LinkAnswer:
        """A signed link to the person's own page; needs the token of administrators."""
        return await self._ask(routes.link(user_id))

    async def you(self, token: str) -> YouAnswer:
        """What that page shows. `token`: the last part of the link."""
        return await self._ask(routes.you(token))

    async def less(self, token: str, items: Sequence[str]) -> SentEvent:
        """The person wants less of these items."""
        return await self._ask(routes.less(token, items))

    async def erase_me(self, token: str) -> SentRequest:
        """The person wants to be forgotten."""
        return await self._ask(routes.erase_me(token))

    async def _ask(self, request: Request[Answer]) -> Answer:
        """Raises PenchantHTTPError, NotAnsweredError."""
        patience = Patience(request.method, self._clock(), self._timeout_s + request.wait_s)
        while True:
            try:
                response = await self._http.request(
                    request.method,
                    request.path,
                    params=request.query,
                    content=request.body,
                    headers=headers_of(request),
                    timeout=patience.left_s(self._clock()),
                )
            except httpx.HTTPError as error:
                pause_s = patience.after_no_connection(self._clock()) if isinstance(error, NO_CONNECTION) else None
                if pause_s is None:
                    raise not_answered(self._url, request, error) from error
            else:
                status, when = response.status_code, response.headers.get("retry-after")
                expected = status in request.answered_by
                pause_s = None if expected else patience.after_answer(status, when, self._clock())
                if pause_s is None:
                    return read(request, status, response.content)
            await self._sleep(pause_s)
