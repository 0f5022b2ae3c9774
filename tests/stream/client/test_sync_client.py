"""The client that waits, against a transport in memory and against a server that listens."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator

import httpx
import msgspec
import pytest
from fake_serve import ADMIN_TOKEN, FakeServe, listening

from stream.client import AsyncClient, Client, NotAnsweredError, PenchantHTTPError
from stream.errors import PenchantError, UsageError
from stream.serve.questions import SessionEvent

NOBODY = "http://127.0.0.1:1"


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now_s, self.slept_s = 0.0, list[float]()

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds


def client_of(answer: Callable[[httpx.Request], httpx.Response], clock: Clock, **options: object) -> Client:
    transport = httpx.MockTransport(answer)
    return Client("http://serve", transport=transport, clock=clock, sleep=clock.sleep, **options)  # type: ignore[arg-type]


@pytest.fixture
def fake() -> FakeServe:
    return FakeServe()


@pytest.fixture
def client(fake: FakeServe) -> Iterator[Client]:
    with listening(fake.app) as url, Client(url) as client:
        yield client


# --- everything, once -------------------------------------------------------------------------------------------------


def test_what_was_just_sent_is_in_the_next_list(client: Client) -> None:
    before = client.recommendations("ann", explain=True)
    sent = client.send("ann", "click", "lamp")
    after = client.recommendations("ann", after=sent, n=2, explain=True)

    assert (before.known, after.known, after.fresh) == (False, True, True)
    assert before.items[0].item_id == "cup"
    assert [place.item_id for place in after.items] == ["lamp", "candle"]
    assert after.items[1].reason == {
        "en": 'Because of “<b>Brass</b> lamp & "shade"”, just now.',
        "zh": '因为你刚刚看了“<b>Brass</b> lamp & "shade"”。',
    }


def test_a_list_that_does_not_reflect_it_in_time_says_so(fake: FakeServe, client: Client) -> None:
    fake.reflected = 0
    sent = client.send("ann", "click", "lamp", event_id="e-1")

    assert not client.recommendations("ann", after=sent, wait_ms=0).fresh
    assert not client.recommendations("ann", after="e-1", wait_ms=0).fresh
    fake.reflected = None
    assert client.recommendations("ann", after="e-1").fresh


@pytest.mark.parametrize("user_id", ["a/b", "..", "a b+c", "你好", "?n=1#x", "%2F", '"'])
def test_any_id_arrives_as_it_is(client: Client, user_id: str) -> None:
    client.send(user_id, "click", "a/b c")

    assert client.recommendations(user_id).user_id == user_id
    assert [each.item_id for each in client.person(user_id).behaviours] == ["a/b c"]
    assert client.item("a/b c").title == "Odd id"


def test_lists_are_cut_and_filtered_as_asked(client: Client) -> None:
    answer = client.recommendations("ann", category=["light"], exclude=["lamp"], n=1)

    assert [place.item_id for place in answer.items] == ["candle"]


def test_a_visitor_without_an_id_gets_a_list_of_what_they_did(client: Client) -> None:
    answer = client.session_recommendations(events=[SessionEvent("click", "lamp")], n=1)

    assert (answer.user_id, answer.how, answer.items[0].item_id) == (None, "ranked", "lamp")


def test_reasons_and_what_if(client: Client) -> None:
    client.send("ann", "click", "cup")

    assert client.why("ann", 2).item.rank == 2
    answer = client.what_if("ann", without=["cup"], with_=["lamp"], weights={"interest": 2.0}, n=3)
    assert answer.list.items[0].item_id == "lamp"
    assert answer.moved[0].after == 1


def test_people_and_items(client: Client) -> None:
    client.send("ann", "view", "cup")

    assert [each.user_id for each in client.people(n=5).people] == ["ann"]
    assert [each.item_id for each in client.items("tea c").items] == ["cup"]
    assert client.items(n=2).total == 8
    assert {each.item_id for each in client.related("lamp", by="text").items} == {"candle", "a/b c"}
    assert [each.item_id for each in client.trending(category=["room"]).items] == ["sofa"]


def test_now_and_health(fake: FakeServe, client: Client) -> None:
    assert client.now().items == 8
    assert [each.items for each in client.now_stream()] == [8, 8]
    assert client.live().live
    fake.reflected = 0
    assert client.ready().why_not == "it reads the lists"


def test_rules_and_a_persons_page(client: Client) -> None:
    assert client.rules().ready
    assert client.try_rule("r", {"kind": "bury"}, people=["ann"]).tried[0].user_id == "ann"
    assert client.publish_rule("r", None).key == "r"
    token = client.link("ann").path.rpartition("/")[2]
    assert client.less(token, ["cup"]).offset == 0
    assert client.you(token).list.user_id == "ann"


# --- what is not answered ---------------------------------------------------------------------------------------------


def test_a_field_that_is_wrong_is_named_by_the_error(client: Client) -> None:
    with pytest.raises(PenchantHTTPError) as caught:
        client.recommendations("ann", n=1000)

    assert (caught.value.status, caught.value.problem.field) == (400, "n")
    assert isinstance(caught.value, PenchantError)


def test_an_item_that_nobody_knows_is_an_error(client: Client) -> None:
    with pytest.raises(PenchantHTTPError, match="404 Not found"):
        client.item("nothing")


def test_the_token_is_sent_and_without_it_there_is_no_answer() -> None:
    with listening(FakeServe(token="secret").app) as url:
        with Client(url) as nobody, pytest.raises(PenchantHTTPError, match="401"):
            nobody.items()
        for token in ("secret", ADMIN_TOKEN):
            with Client(url, token=token) as reader:
                assert reader.items().items


def test_a_server_that_is_busy_is_asked_again_when_it_says(fake: FakeServe, client: Client) -> None:
    fake.busy = [(429, "0"), (503, "0")]

    client.send("ann", "click", "cup")

    assert len(fake.events) == 1
    assert len({body for _, _, body in fake.asked}) == 1, "the same event_id each time"


def test_a_server_that_stays_busy_is_asked_until_the_deadline_and_then_its_answer_is_the_error() -> None:
    clock = Clock()
    busy = httpx.Response(503, headers={"retry-after": "2"}, content=b'{"title":"Busy","status":503,"detail":"Later."}')

    with client_of(lambda _: busy, clock, timeout_s=5.0) as client, pytest.raises(PenchantHTTPError, match="Later"):
        client.items()

    assert clock.slept_s == [2.0, 2.0]


def test_busy_without_a_moment_is_the_answer() -> None:
    clock, asked = Clock(), list[httpx.Request]()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(503, text="no upstream")

    with client_of(answer, clock) as client, pytest.raises(PenchantHTTPError, match="no upstream"):
        client.items()
    assert len(asked) == 1


def test_a_question_that_reaches_nobody_is_asked_again_and_an_event_is_not() -> None:
    clock, asked = Clock(), list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        if len(asked) < 3:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(200, content=b'{"items":[]}')

    with client_of(answer, clock) as client:
        assert client.items().items == ()
        assert (asked, clock.slept_s) == (["GET", "GET", "GET"], [0.05, 0.1])
        asked.clear()
        with pytest.raises(NotAnsweredError, match="Nobody answers"):
            client.send("ann", "click", "cup")
        assert asked == ["POST"]


@pytest.mark.parametrize("error", [httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError])
def test_what_breaks_on_its_way_is_not_asked_again(error: type[httpx.TransportError]) -> None:
    asked = list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        raise error("broke", request=request)

    with client_of(answer, Clock()) as client, pytest.raises(NotAnsweredError, match="is penchant serve up"):
        client.items()
    assert asked == ["GET"]


def test_nobody_at_the_address_is_one_line_that_names_it() -> None:
    with Client(NOBODY, timeout_s=0.01) as client, pytest.raises(NotAnsweredError) as caught:
        client.items()

    assert NOBODY in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_address_without_a_scheme_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(UsageError, match=re.escape("'127.0.0.1:8780' is no address")):
        Client("127.0.0.1:8780")


def test_waiting_on_request_lengthens_the_time_that_an_answer_may_take() -> None:
    timeouts = []

    def answer(request: httpx.Request) -> httpx.Response:
        timeouts.append(request.extensions["timeout"]["read"])
        return httpx.Response(404, content=msgspec.json.encode({"title": "t", "status": 404, "detail": "d"}))

    with client_of(answer, Clock(), timeout_s=1.0) as client:
        for options in ({}, {"min_offset": 3, "wait_ms": 4000}):
            with pytest.raises(PenchantHTTPError):
                client.recommendations("ann", **options)  # type: ignore[arg-type]
    assert timeouts == [1.0, 5.0]


def test_a_stream_that_is_refused_is_the_same_error(fake: FakeServe) -> None:
    problem = httpx.Response(401, content=b'{"title":"Unauthorized","status":401,"detail":"A token."}')

    with client_of(lambda _: problem, Clock()) as client, pytest.raises(PenchantHTTPError, match="401"):
        next(client.now_stream())


# --- both alike -------------------------------------------------------------------------------------------------------


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {name: [*inspect.signature(each).parameters] for name, each in found if not name.startswith("_")}

    ours, theirs = methods(Client), methods(AsyncClient)
    assert theirs.pop("aclose") == ours.pop("close")
    assert ours == theirs


def test_every_method_says_what_it_does() -> None:
    for kind in (Client, AsyncClient):
        assert [
            name for name, each in inspect.getmembers(kind, inspect.isfunction) if name[0] != "_" and not each.__doc__
        ] == []
