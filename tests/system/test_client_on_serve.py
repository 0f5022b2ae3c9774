"""Who asks `penchant serve`, on the real one: the client with every method, the programs of deploy/examples, the shop."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location

import httpx
import pytest
from fake_serve import listening
from places import ROOT
from serve_world import World, serve_world

from stream.client import AsyncClient, Client, PenchantHTTPError
from stream.serve.questions import SessionEvent

EXAMPLES = ROOT / "deploy" / "examples"
PROGRAMS = {"ask.py": (sys.executable,), "ask.sh": ("sh", "curl", "jq"), "ask.js": ("node",)}
WAIT_MS = 10_000
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serve_world(tmp_path_factory.mktemp("client")) as running:
        yield running


@pytest.fixture
def client(world: World) -> Iterator[Client]:
    with Client(world.serve.url, timeout_s=TIMEOUT_S) as client:
        yield client


def test_what_was_just_sent_is_in_the_next_list_by_its_offset_and_by_its_id(client: Client) -> None:
    before = client.recommendations("client-1", n=5)
    sent = client.send("client-1", "click", "i3", event_id="client-e1")
    after = client.recommendations("client-1", n=5, explain=True, after=sent, wait_ms=WAIT_MS)
    by_id = client.recommendations("client-1", n=5, after="client-e1", wait_ms=WAIT_MS)

    assert (before.known, after.known) == (False, True)
    assert after.fresh
    assert by_id.fresh
    assert after.source is not None
    assert after.source.offset >= sent.offset
    assert any(cause.item_id == "i3" for place in after.items for cause in place.causes or ())
    assert all(place.reason and place.reason.keys() == {"en", "zh"} for place in after.items)


@pytest.mark.parametrize("user_id", ["a/b", "..", "a b+c", "你好", "?n=1#x", "%2F"])
def test_any_id_arrives_as_it_is(client: Client, user_id: str) -> None:
    sent = client.send(user_id, "click", "i4")
    answer = client.recommendations(user_id, n=1, after=sent, wait_ms=WAIT_MS)

    assert (answer.user_id, answer.known, answer.fresh) == (user_id, True, True)


def test_every_method_has_its_answer(client: Client) -> None:
    listed = client.recommendations("u3", n=3)
    assert client.session_recommendations(events=[SessionEvent("click", "i3")], n=2).user_id is None
    assert client.why("u3", 1).item.rank == 1
    person = client.person("u3")
    assert client.what_if("u3", without=[person.behaviours[-1].key], weights={"popularity": 0.0}, n=3).list.items
    assert client.people(n=3).people
    assert client.items("number", n=2).total > 2
    assert client.item(listed.items[0].item_id).lists > 0
    assert client.related("i3", n=2).items
    assert client.trending(n=2).items
    assert client.now().ready
    assert client.rules().ready
    assert next(client.now_stream()).items > 0
    assert client.live().live
    assert client.ready().ready
    token = client.link("u3").path.rpartition("/")[2]
    assert client.you(token).behaviours > 0
    assert client.less(token, ["i9"]).offset >= 0


def test_rules_are_tried_published_and_withdrawn(client: Client) -> None:
    rule = {"kind": "deny", "items": ["i7"]}
    tried = client.try_rule("no-i7", rule, people=["u3"])
    assert tried.tried[0].user_id == "u3"
    assert "i7" not in [place.item_id for place in tried.tried[0].after.items]
    assert client.publish_rule("no-i7", rule).key == "no-i7"
    assert client.publish_rule("no-i7", None).key == "no-i7"


def test_errors_carry_the_problem(client: Client) -> None:
    with pytest.raises(PenchantHTTPError) as caught:
        client.recommendations("u3", n=1000)
    assert (caught.value.status, caught.value.problem.field) == (400, "n")
    with pytest.raises(PenchantHTTPError, match="404"):
        client.item("nothing-of-that-name")


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_programs_show_a_list_that_reflects_the_click(world: World, program: str) -> None:
    if any(shutil.which(needed) is None for needed in PROGRAMS[program]):
        pytest.skip(f"needs {' and '.join(PROGRAMS[program])}")
    done = subprocess.run(
        [PROGRAMS[program][0], str(EXAMPLES / program), world.serve.url, f"of-{program}", "i3"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    before, after, *reasons = done.stdout.splitlines()
    assert before.removeprefix("before: ") != after.removeprefix("after: ")
    assert len(reasons) == 5
    assert "clicked" in reasons[0]


def test_the_shop_shows_a_list_that_reflects_the_click(world: World) -> None:
    spec = spec_from_file_location("shop_on_serve", EXAMPLES / "shop" / "shop.py")
    assert spec is not None
    assert spec.loader is not None
    shop = sys.modules["shop_on_serve"] = module_from_spec(spec)
    spec.loader.exec_module(shop)
    with (
        listening(shop.make_app(AsyncClient(world.serve.url, timeout_s=TIMEOUT_S))) as url,
        httpx.Client(base_url=url, timeout=TIMEOUT_S) as browser,
    ):
        browser.get("/")
        product = browser.get("/api/products").json()["items"][0]
        before = browser.get("/api/list").json()
        offset = browser.post("/api/events", json=[{"action": "click", "item_id": product["item_id"]}]).json()["offset"]
        world.serve.wait_for(
            "the list to reflect it", lambda: browser.get("/api/list", params={"after": offset}).json()["fresh"]
        )
        after = browser.get("/api/list", params={"after": offset}).json()
        seen = [
            {"action": "impression", "item_id": place["item_id"], "slot": place["slot"]}
            | {"recommendation_id": after["recommendation_id"]}
            for place in after["items"]
        ]
        assert browser.post("/api/events", json=seen).json()["offset"] > offset
    assert (before["known"], after["known"]) == (False, True)
    assert all(place["reason"] for place in after["items"])
