"""A shop whose list follows every click.

    make demo ARGS=--serve                                       # in one terminal: a year of a shop, then `penchant serve`
    python deploy/examples/shop/shop.py --penchant http://127.0.0.1:8780     # in another; then open http://127.0.0.1:8790

The browser talks to this program only, and this program to Penchant: no token and no user id ever reaches a page. Needs
`pip install "penchant[client]"`. `--token-file`: a file with the token of `penchant serve`, where it demands one.
"""

from __future__ import annotations

import argparse
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from stream.client import AsyncClient, NotAnsweredError, PenchantHTTPError

PAGE = Path(__file__).parent / "page"
COOKIE = "visitor"
PLACES = 5
PRODUCTS = 24
WAIT_MS = 2000
MAX_BODY_BYTES = 16_384
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Done(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody did on the page. Of a place of a list: which list, and which place."""

    action: Literal["click", "purchase", "dislike", "impression"]
    item_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    recommendation_id: str | None = None
    slot: int | None = None


done_decoder = msgspec.json.Decoder(Annotated[list[Done], msgspec.Meta(min_length=1, max_length=50)])


class Shop:
    """What the page asks for. `penchant` is everything that has to be known of Penchant."""

    def __init__(self, penchant: AsyncClient) -> None:
        self._penchant = penchant

    async def products(self, request: Request) -> Response:
        """Something to look at: what a search finds, or what is chosen most."""
        found = await self._penchant.items(request.query_params.get("q", "")[:200], n=PRODUCTS)
        return answer({"items": [item for item in found.items if item.available]})

    async def list(self, request: Request) -> Response:
        """This visitor's list. `after`: where their last event was written; the list reflects it or says that it does not."""
        after = request.query_params.get("after", "")
        listed = await self._penchant.recommendations(
            visitor(request),
            n=PLACES,
            explain=True,
            min_offset=int(after) if after.isdecimal() else None,
            wait_ms=WAIT_MS,
        )
        places = [
            {
                "item_id": place.item_id,
                "title": place.title,
                "price": place.price,
                "reason": place.reason,
                "promoted": place.promoted,
                "slot": place.slot or place.rank,  # sent back with what is done about it
            }
            for place in listed.items
        ]
        return answer(
            {
                "items": places,
                "recommendation_id": listed.recommendation_id,
                "fresh": listed.fresh,
                "known": listed.known,
            }
        )

    async def events(self, request: Request) -> Response:
        """What this visitor did, in order; where the last of it was written."""
        body = await request.body()
        # A page of another site cannot send this type without asking first, and nobody here says yes.
        if request.headers.get("content-type") != "application/json" or len(body) > MAX_BODY_BYTES:
            return problem(400, "JSON of at most 16 KiB is expected.")
        try:
            done = done_decoder.decode(body)
        except msgspec.DecodeError as error:
            return problem(400, str(error))
        user_id = visitor(request)
        for each in done:
            sent = await self._penchant.send(
                user_id, each.action, each.item_id, recommendation_id=each.recommendation_id, slot=each.slot
            )
        return answer({"offset": sent.offset})

    async def somebody_else(self, request: Request) -> Response:
        """Forget who this is: the next visitor is a new one."""
        del request
        response = answer({})
        response.delete_cookie(COOKIE)
        return response


def visitor(request: Request) -> str:
    """Who this is, to Penchant. With accounts it would be the account's id; here it is a random cookie."""
    return f"shop-{request.state.visitor}"


def answer(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, HEADERS, media_type="application/json")


def problem(status: int, detail: str) -> Response:
    return answer({"detail": detail}, status)


async def page(request: Request) -> Response:
    """The page itself; who comes for the first time gets a cookie."""
    response = Response((PAGE / "index.html").read_bytes(), headers=HEADERS, media_type="text/html; charset=utf-8")
    response.set_cookie(COOKIE, request.state.visitor, max_age=30 * 86_400, httponly=True, samesite="lax")
    return response


def with_visitor(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Knows the visitor, and turns what Penchant does not answer into one sentence for the page."""

    async def called(request: Request) -> Response:
        given = request.cookies.get(COOKIE, "")
        # A cookie is what the browser says it is: nothing but our own kind of name may become a part of a user id.
        request.state.visitor = given if re.fullmatch(r"[\w-]{16,64}", given, re.ASCII) else secrets.token_urlsafe(16)
        try:
            return await endpoint(request)
        except NotAnsweredError as error:
            return problem(503, str(error))
        except PenchantHTTPError as error:
            return problem(error.status if error.status in {400, 404} else 502, str(error))

    return called


def make_app(penchant: AsyncClient) -> Starlette:
    """The shop; `penchant` is closed with it."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with penchant:
            yield

    shop = Shop(penchant)
    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/", with_visitor(page)),
            Route("/api/products", with_visitor(shop.products)),
            Route("/api/list", with_visitor(shop.list)),
            Route("/api/events", with_visitor(shop.events), methods=["POST"]),
            Route("/api/somebody-else", with_visitor(shop.somebody_else), methods=["POST"]),
            Mount("/page", StaticFiles(directory=PAGE)),
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="A shop whose list follows every click.")
    parser.add_argument("--penchant", default="http://127.0.0.1:8780", metavar="URL", help="where penchant serve is")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="with the token that it demands, if it does")
    parser.add_argument("--port", type=int, default=8790)
    options = parser.parse_args()
    token = options.token_file.read_text(encoding="utf-8").strip() if options.token_file else None
    print(f"The shop is at http://127.0.0.1:{options.port}", flush=True)
    uvicorn.run(
        make_app(AsyncClient(options.penchant, token=token)), host="127.0.0.1", port=options.port, log_level="warning"
    )


if __name__ == "__main__":
    main()
