"""The client for asyncio, against a server that is called without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fake_serve import FakeServe

from stream.client import AsyncClient, NotAnsweredError, PenchantHTTPError
from stream.serve.questions import SessionEvent


@pytest.fixture
def fake() -> FakeServe:
    return FakeServe()


@pytest.fixture
async def client(fake: FakeServe) -> AsyncIterator[AsyncClient]:
    async with AsyncClient("http://serve", transport=httpx.ASGITransport(fake.app)) as client:
        yield client


async def test_what_was_just_sent_is_in_the_next_list(client: AsyncClient) -> None:
    sent = await client.send("ann", "click", "lamp")
    answer = await client.recommendations("ann", after=sent, n=2)

    assert answer.fresh
    assert [place.item_id for place in answer.items] == ["lamp", "candle"]


async def test_everything_else_is_answered_too(client: AsyncClient) -> None:
    await client.send("ann", "click", "cup")
    assert (await client.session_recommendations(events=[SessionEvent("click", "lamp")], n=1)).user_id is None
    assert (await client.why("ann", 1)).item.rank == 1
    assert (await client.what_if("ann", with_=["lamp"])).moved
    assert (await client.person("ann")).events == 1
    assert (await client.people()).people[0].user_id == "ann"
    assert (await client.items("tea c")).items[0].item_id == "cup"
    assert (await client.item("cup")).title == "Tea cup"
    assert (await client.related("lamp")).items
    assert (await client.trending()).items
    assert (await client.now()).items == 8
    assert [each.items async for each in client.now_stream()] == [8, 8]
    assert (await client.live()).live
    assert (await client.ready()).ready
    assert (await client.rules()).ready
    assert (await client.try_rule("r", {})).items == 1
    assert (await client.publish_rule("r", {})).key == "r"
    assert (await client.link("ann")).path == "/you/ann"
    assert (await client.you("ann")).list.user_id == "ann"
    assert (await client.less("ann", ["cup"])).offset == 1


async def test_a_server_that_is_busy_is_asked_again(fake: FakeServe, client: AsyncClient) -> None:
    fake.busy = [(503, "0")]
    assert (await client.items()).items


async def test_errors_are_those_of_the_other_client(client: AsyncClient) -> None:
    with pytest.raises(PenchantHTTPError, match="404"):
        await client.item("nothing")

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    async with AsyncClient("http://serve", transport=httpx.MockTransport(refuse), timeout_s=0.01) as nobody:
        with pytest.raises(NotAnsweredError, match="Nobody answers"):
            await nobody.items()
        with pytest.raises(NotAnsweredError):
            await anext(nobody.now_stream())
