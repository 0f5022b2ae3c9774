"""`penchant serve` asked as nobody should, and about people of whom it knows odd things."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import msgspec
import pytest
from explained import NUMBERS, explained
from serve_process import ServeProcess
from serve_world import MOMENT_MS, World, event, serve_world

from stream.serve.http.app import STREAMS_MAX


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serve_world(tmp_path_factory.mktemp("serve"), serve_max_waiting=1) as running:
        yield running


def ids(answer) -> list[str]:
    return [each["item_id"] for each in answer["items"]]


# --- HTTP ---


def connect(serve: ServeProcess) -> socket.socket:
    host, port = serve.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def said(serve: ServeProcess, request: bytes) -> bytes:
    """Everything until the other side ends the connection."""
    answer = b""
    with connect(serve) as connection:
        connection.sendall(request)
        while chunk := connection.recv(65_536):
            answer += chunk
    return answer


UPGRADE = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
LAST = b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
BODY = b'{"n": 1, "events": []}'


@pytest.mark.parametrize(
    "framed",
    [
        b"content-length: %d\r\n\r\n%s" % (len(BODY), BODY),
        b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
    ],
)
def test_who_would_like_another_protocol_is_answered_in_this_one(world: World, framed: bytes):
    # Java's HttpClient asks for h2c with every request: its bodies were taken for another protocol, and lost.
    asked = b"POST /v1/sessions/recommendations HTTP/1.1\r\nhost: x\r\n" + UPGRADE + framed
    answer = said(world.serve, asked + LAST)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert b'"how":"ranked"' in answer
    assert answer.endswith(b'{"live":true}')


def test_what_is_asked_after_a_wish_for_another_protocol_is_answered(world: World):
    answer = said(world.serve, b"GET /health/live HTTP/1.1\r\nhost: x\r\n" + UPGRADE + b"\r\n" + LAST)
    assert answer.count(b'{"live":true}') == 2


def test_no_more_pages_watch_than_there_are_places_for(world: World):
    watching = [connect(world.serve) for _ in range(STREAMS_MAX + 2)]
    try:
        for each in watching:  # all at once
            each.sendall(b"GET /v1/now/stream HTTP/1.1\r\nhost: x\r\n\r\n")
        heads = [each.recv(12) for each in watching]
        assert heads.count(b"HTTP/1.1 200") == STREAMS_MAX
        assert heads.count(b"HTTP/1.1 429") == 2
    finally:
        for each in watching:
            each.close()
    world.serve.wait_for(
        "there is room again",
        lambda: said(world.serve, b"HEAD /v1/now/stream HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200"),
    )


def test_the_head_of_the_stream_of_figures_ends(world: World):
    answer = said(world.serve, b"HEAD /v1/now/stream HTTP/1.1\r\nhost: x\r\n\r\n" + LAST)
    assert b"text/event-stream" in answer
    assert answer.endswith(b'{"live":true}')


def test_a_rank_of_thousands_of_digits_is_no_rank(world: World):
    assert world.serve.get(f"/v1/users/u1/recommendations/{'1' * 5000}/why", 400)["field"] == "rank"


def test_who_has_a_link_cannot_make_items_known_that_are_none(world: World):
    path = world.serve.post("/v1/users/u14/link", None)["path"]
    refused = world.serve.post(f"/v1{path}/less", {"items": ["i1", "made-up"]}, 404)
    assert refused["field"] == "$.items[1]"


# --- waiting ---


def test_beyond_those_who_may_wait_nobody_waits_for_the_state_either(world: World):
    asked = b"GET /v1/users/u1/recommendations?min_offset=9999999&wait_ms=10000 HTTP/1.1\r\nhost: x\r\n\r\n"
    world.serve.wait_for("nobody waits", lambda: "requests_in_work 1.0" in world.serve.client.get("/metrics").text)
    with connect(world.serve) as waiting:
        waiting.sendall(asked)
        world.serve.wait_for(
            "somebody waits", lambda: "requests_in_work 2.0" in world.serve.client.get("/metrics").text
        )
        answer = world.serve.get("/v1/users/u2/recommendations", min_offset=9999999, wait_ms=10_000)
        assert not answer["fresh"]
        # The other one still waits: this one did not.
        assert "requests_in_work 1.0" not in world.serve.client.get("/metrics").text


def test_an_event_named_by_its_id_is_not_waited_for_in_vain_after_impressions(world: World):
    user = "sees-and-clicks"
    click = {"user_id": user, "action": "click", "item_id": "i1", "event_id": "the-click"}
    sent = world.serve.post("/v1/events", click, 201)
    world.serve.get(f"/v1/users/{user}/recommendations", min_offset=sent["offset"], wait_ms=10_000)
    shown = [{"user_id": user, "action": "impression", "item_id": f"i{n}", "slot": n} for n in (2, 3)]
    offsets = [world.serve.post("/v1/events", each, 201)["offset"] for each in shown]
    world.serve.wait_for(
        "all of it is committed", lambda: world.serve.get(f"/v1/users/{user}")["offset"] == offsets[-1]
    )
    with connect(world.serve) as asking:
        asking.sendall(
            f"GET /v1/users/{user}/recommendations?after=the-click&wait_ms=10000 HTTP/1.1\r\nhost: x\r\n\r\n".encode()
        )
        asking.settimeout(5)  # it would wait for ten seconds for a list that impressions do not make
        answer = b""
        while b'"fresh":' not in answer:
            answer += asking.recv(65_536)
    assert b'"fresh":true' in answer


# --- odd people, as if ---


def odd_life(user: str, behaviours: int) -> Iterator[tuple[bytes, bytes]]:
    """Of everything something: what is disliked, taken back, looked for, shown, late, or of an item that nobody sells."""
    for n in range(behaviours):
        yield event(user, (n * 7) % 60, "click" if n % 3 else "cart", after_ms=1000 * n, event_id=f"{user}-{n}")
    after = 1000 * behaviours
    yield event(user, 8, "dislike", after_ms=after)
    yield event(user, 9, "purchase", after_ms=after + 1500, value=9.0)
    yield event(user, 9, "refund", after_ms=after + 2500, value=9.0)
    yield (
        user.encode(),
        msgspec.json.encode(
            {"user_id": user, "action": "query", "text": "green tea", "event_time": MOMENT_MS + after + 3000}
        ),
    )
    yield event(user, 70, "click", after_ms=after + 3500)  # not in the catalogue
    yield event(user, 12, "click", after_ms=-5_000_000)  # late
    yield event(user, 13, "click", after_ms=after + 3600, event_id=f"{user}-1")  # the id of another
    yield event(user, 14, "impression", after_ms=after + 4321, slot=1)
    yield event(user, 15, "impression", after_ms=after + 5678, slot=2)


def told_of(world: World, user: str, behaviours: int) -> None:
    events = list(odd_life(user, behaviours))
    world.topics.produce(world.topics.settings.topic_events, events)
    world.serve.wait_for("all of it is known", lambda: world.serve.get(f"/v1/users/{user}")["events"] >= len(events))


@pytest.mark.parametrize(
    ("behaviours", "without", "with_"),
    [
        (20, [], []),
        (20, ["i7"], []),
        (20, ["i8"], ["i30"]),
        (20, ["i70"], []),
        (20, ["i12"], []),
        (20, ["i13"], []),
        (20, ["i9"], []),
        (150, [], []),
        (150, [], ["i30", "i31"]),
    ],
)
def test_of_odd_people_what_if_says_to_the_byte_what_penchant_explain_says(world: World, behaviours, without, with_):
    user = f"odd-{behaviours}-{'-'.join(without)}-{len(with_)}"
    told_of(world, user, behaviours)
    told = explained(world, user, *(f"--without={each}" for each in without), *(f"--with={each}" for each in with_))
    answer = world.serve.post(f"/v1/users/{user}/what-if", {"without": without, "with": with_})
    assert "unknown" not in answer or not answer["unknown"]
    assert [{name: each[name] for name in NUMBERS} for each in answer["list"]["items"]] == [
        {name: each[name] for name in NUMBERS} for each in told["items"]
    ]


def test_of_whom_nothing_can_be_read_the_list_is_a_newcomers(world: World):
    path, sent = world.topics.settings.changelog_topic, [(b"broken", b"\x01no state"), (b"of-tomorrow", b"\xfenext")]
    world.topics.produce(path, sent)
    for user, _ in sent:
        world.serve.wait_for(
            "it is here", lambda user=user: world.serve.client.get(f"/v1/users/{user.decode()}").status_code == 503
        )
        answer = world.serve.get(f"/v1/users/{user.decode()}/recommendations", n=5)
        assert not answer["known"]
        assert len(ids(answer)) == 5
        asked = world.serve.get(f"/v1/users/{user.decode()}/recommendations", n=5, min_offset=0, wait_ms=0)
        assert not asked["fresh"]


# --- rules, at last: what they do to the others ---


def test_a_counterfactual_is_not_told_of_a_leader_that_a_rule_made(world: World):
    leader = world.serve.get("/v1/users/u3/recommendations/1/why")["item"]["item_id"]
    rule = {"kind": "deny", "items": [leader]}
    assert world.serve.client.put("/v1/rules", json={"key": "recalled", "rule": rule}).status_code == 200

    def leads() -> str:
        return str(world.serve.get("/v1/users/u3/recommendations/1/why")["item"]["item_id"])

    world.serve.wait_for("it counts", lambda: leads() != leader)
    for answer in (
        world.serve.get("/v1/users/u3/recommendations/1/why"),
        world.serve.post("/v1/users/u3/what-if", {})["list"],
    ):
        assert answer.get("counterfactual") is None
    assert world.serve.client.put("/v1/rules", json={"key": "recalled", "rule": None}).status_code == 200
    world.serve.wait_for("it is gone", lambda: leads() == leader)


def test_what_a_rule_forbids_is_in_no_list_even_if_no_worker_follows_it_yet(world: World):
    listed = ids(world.serve.get("/v1/users/u4/recommendations"))
    world.worker.kill()
    rule = {"kind": "deny", "items": listed[:2]}
    assert world.serve.client.put("/v1/rules", json={"key": "recalled", "rule": rule}).status_code == 200
    world.serve.wait_for("it counts", lambda: bool(world.serve.get("/v1/rules")["rules"]))
    world.serve.wait_for(
        "it means items",
        lambda: world.serve.is_ready() and world.serve.get("/v1/rules")["rules"][0].get("active", True),
    )
    answer = world.serve.get("/v1/users/u4/recommendations")
    assert not set(listed[:2]) & set(ids(answer))
    assert len(ids(answer)) == len(listed)
    assert json.dumps(answer)
    assert "Traceback" not in world.serve.log
