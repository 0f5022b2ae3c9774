"""What every request passes: tokens, how many at once, how large, how slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from stream.errors import DeliveryError
from stream.metrics import Metrics
from stream.serve.errors import UnknownThingError
from stream.serve.http import guard
from stream.serve.http.guard import Guard
from stream.settings.load import SettingsAsGiven


async def echo(scope, receive, send) -> None:
    request = Request(scope, receive)
    if request.url.path == "/bug":
        raise ValueError("inner matters")
    if request.url.path == "/unknown":
        raise UnknownThingError("no such thing", "thing")
    if request.url.path == "/broker":
        raise DeliveryError("the broker refused it")
    body = await request.body()
    response: Response = PlainTextResponse(f"{len(body)} bytes")
    await response(scope, receive, send)


def client(app=echo, **settings) -> httpx.AsyncClient:
    made = Guard(
        app, SettingsAsGiven(**settings), Metrics().http, lambda method, path: method == "PUT" or path == "/v1/admin"
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://test")


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_without_tokens_everybody_may_ask():
    async with client() as asking:
        assert (await asking.get("/v1/x")).status_code == 200
        assert (await asking.put("/v1/x")).status_code == 200


async def test_tokens_open_what_they_are_for():
    async with client(serve_read_token="read", serve_admin_token="admin") as asking:
        for headers, reading, changing in (
            ({}, 401, 401),
            (bearer("wrong"), 401, 401),
            ({"authorization": "Basic read"}, 401, 401),
            (bearer("read"), 200, 401),
            (bearer("admin"), 200, 200),
        ):
            assert (await asking.get("/v1/x", headers=headers)).status_code == reading
            assert (await asking.put("/v1/x", headers=headers)).status_code == changing
        refused = await asking.get("/v1/x")
        assert refused.headers["www-authenticate"] == "Bearer"
        assert "read" in refused.json()["detail"]
        for path in ("/health/live", "/explorer/index.html", "/openapi.json", "/you/abc"):
            assert (await asking.get(path)).status_code == 200


async def test_an_admin_token_alone_leaves_reading_open():
    async with client(serve_admin_token="admin") as asking:
        assert (await asking.get("/v1/x")).status_code == 200
        assert (await asking.put("/v1/x")).status_code == 401
        assert (await asking.get("/v1/admin")).status_code == 401


async def test_a_read_token_alone_is_wanted_for_everything():
    async with client(serve_read_token="read") as asking:
        assert (await asking.put("/v1/x")).status_code == 401
        assert (await asking.put("/v1/x", headers=bearer("read"))).status_code == 200


async def test_a_body_that_is_too_large_is_not_read():
    async with client(serve_body_max_bytes=100) as asking:
        assert (await asking.post("/v1/x", content=b"x" * 100)).text == "100 bytes"
        answer = await asking.post("/v1/x", content=b"x" * 101)
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 50

        assert (await asking.post("/v1/x", content=endless())).status_code == 413


async def test_a_body_that_does_not_come_is_given_up(monkeypatch):
    monkeypatch.setattr(guard, "BODY_DEADLINE_S", 0.05)
    made = Guard(echo, SettingsAsGiven(), Metrics().http, lambda *_: False)
    sent = []

    async def never():
        await asyncio.Event().wait()

    async def send(message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/x",
        "raw_path": b"/v1/x",
        "headers": [],
        "query_string": b"",
    }
    await made(scope, never, send)
    assert sent[0]["status"] == 408


async def test_whoever_reads_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(guard, "SEND_DEADLINE_S", 0.05)
    made = Guard(echo, SettingsAsGiven(), Metrics().http, lambda *_: False)

    async def receive():
        return {"type": "http.request", "body": b""}

    async def never(_) -> None:
        await asyncio.Event().wait()

    scope = {"type": "http", "method": "GET", "path": "/v1/x", "raw_path": b"/v1/x", "headers": [], "query_string": b""}
    await asyncio.wait_for(made(scope, receive, never), 5)


async def test_beyond_so_many_at_once_the_others_are_told_to_come_again():
    gate, all_wait, is_watched, waiting = asyncio.Event(), asyncio.Event(), asyncio.Event(), 0

    async def slow(scope, receive, send) -> None:
        nonlocal waiting
        waiting += 1
        if waiting == 3:
            all_wait.set()
        if waiting == 4:
            is_watched.set()
        await gate.wait()
        await PlainTextResponse("done")(scope, receive, send)

    async with client(slow, serve_max_requests=3) as asking:
        first = [asyncio.ensure_future(asking.get("/v1/x")) for _ in range(3)]
        await all_wait.wait()
        refused = await asking.get("/v1/x")
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        watching = asyncio.ensure_future(asking.get("/metrics"))
        await asyncio.wait_for(is_watched.wait(), 30)  # whoever watches gets in
        gate.set()
        assert (await watching).status_code == 200
        assert [each.status_code for each in await asyncio.gather(*first)] == [200] * 3
        assert (await asking.get("/v1/x")).status_code == 200


@pytest.mark.parametrize(("path", "status"), [("/bug", 500), ("/unknown", 404), ("/broker", 503)])
async def test_what_goes_wrong_further_in_is_a_problem(path, status, caplog):
    async with client() as asking:
        answer = await asking.get(path)
    assert answer.status_code == status
    assert answer.json()["status"] == status
    assert "inner matters" not in answer.text
    assert ("inner matters" in caplog.text) == (path == "/bug")


async def test_paths_are_as_they_were_sent():
    seen = []

    async def see(scope, receive, send) -> None:
        seen.append(scope["path"])
        await PlainTextResponse("")(scope, receive, send)

    async with client(see) as asking:
        await asking.get("/v1/users/a%2Fb")
    assert seen == ["/v1/users/a%2Fb"]


@pytest.mark.parametrize("log_ids", [False, True])
async def test_the_log_names_nobody_unless_it_is_asked_to(log_ids, caplog):
    caplog.set_level("DEBUG", logger="stream.serve.http.guard")
    async with client(serve_log_ids=log_ids) as asking:
        await asking.get("/v1/users/somebody-private")
    assert ("somebody-private" in caplog.text) == log_ids
    assert "200 in" in caplog.text
