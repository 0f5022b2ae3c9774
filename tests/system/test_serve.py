"""`penchant serve` beside a worker on the embedded broker: what is asked, and what is answered."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from explained import NUMBERS, explained
from serve_world import ITEMS, PEOPLE, World, event, item, serve_world

from stream.serve.questions import N_MAX


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serve_world(tmp_path_factory.mktemp("serve")) as running:
        yield running


def ids(answer) -> list[str]:
    return [each["item_id"] for each in answer["items"]]


# --- lists ---


def test_a_list_is_the_one_that_was_published(world: World):
    found = []

    def is_newest() -> bool:
        """A worker may publish another one in between: then both are asked again."""
        answer = world.serve.get("/v1/users/u3/recommendations")
        published = {m.key(): m.value() for m in world.topics.read(world.topics.settings.topic_recommendations)}
        found[:] = answer, json.loads(published[b"u3"])
        return bool(answer["recommendation_id"] == found[1]["recommendation_id"])

    world.serve.wait_for("the newest list is served", is_newest)
    answer, record = found
    assert answer["how"] == "published"
    assert ids(answer) == [each["item_id"] for each in record["items"]]
    assert [each["score"] for each in answer["items"]] == [each["score"] for each in record["items"]]
    assert answer["source"] == record["source"]
    assert answer["items"][0]["title"].split()[1] == "number"


def test_reasons_come_with_explain_and_add_up(world: World):
    answer = world.serve.get("/v1/users/u3/recommendations", explain=True)
    for place in answer["items"]:
        caused = place["parts"]["co_occurrence"] + place["parts"]["interest"]
        told = sum(cause["contribution"] for cause in place["causes"]) + place["others"]
        assert told == pytest.approx(caused, abs=1e-5)
        assert place["reason"]["en"]
    assert "causes" not in world.serve.get("/v1/users/u3/recommendations")["items"][0]


def test_what_a_request_excludes_or_filters_is_not_in_the_list_and_the_list_is_as_long_as_it_can_be(world: World):
    usual = ids(world.serve.get("/v1/users/u4/recommendations", n=10))
    answer = world.serve.get("/v1/users/u4/recommendations", n=10, exclude=usual[:2])
    assert not set(usual[:2]) & set(ids(answer))
    assert len(ids(answer)) == 10
    assert [each["rank"] for each in answer["items"]] == list(range(1, 11))
    tea = world.serve.get("/v1/users/u4/recommendations", n=15, category="tea", price_max=40)
    assert ids(tea)
    assert all(each["categories"] == ["tea"] and each["price"] <= 40 for each in tea["items"])
    assert tea["how"] == "ranked"  # the list that was published has fewer of them


def test_a_longer_list_than_was_published_is_ranked(world: World):
    answer = world.serve.get("/v1/users/u4/recommendations", n=40)
    assert answer["how"] == "ranked"
    assert len(ids(answer)) == 40
    assert len(set(ids(answer))) == 40


def test_of_an_unknown_person_the_list_is_a_newcomers(world: World):
    answer = world.serve.get("/v1/users/nobody-knows/recommendations", n=5)
    assert (answer["known"], answer["how"], answer["source"]) == (False, "ranked", None)
    assert {each["strategy"] for each in answer["items"]} == {"cold_start"}
    assert not world.serve.get("/v1/users/nobody-knows")["known"]


def test_a_visitors_list_follows_what_they_just_did(world: World):
    first = world.serve.post("/v1/sessions/recommendations", {"n": 5})
    assert not first["known"]
    clicked = {"action": "click", "item_id": "i3"}
    answer = world.serve.post("/v1/sessions/recommendations", {"events": [clicked], "n": 5, "explain": True})
    assert answer["known"]
    assert answer["user_id"] is None
    assert answer["items"][0]["causes"][0]["item_id"] == "i3"
    bought = {"action": "purchase", "item_id": ids(answer)[0]}
    assert bought["item_id"] not in ids(world.serve.post("/v1/sessions/recommendations", {"events": [clicked, bought]}))


def test_a_sessions_list_is_that_of_a_person_who_did_the_same(world: World):
    user = "does-the-same"
    for number in (6, 21):
        sent = world.serve.post(
            "/v1/events",
            {"user_id": user, "action": "click", "item_id": f"i{number}", "event_time": 1_700_000_000_000},
            201,
        )
    world.serve.wait_for(
        "their state is here", lambda: world.serve.get(f"/v1/users/{user}")["offset"] == sent["offset"]
    )
    person = world.serve.get(f"/v1/users/{user}/recommendations", n=30)
    events = [{"action": "click", "item_id": f"i{number}", "event_time": 1_700_000_000_000} for number in (6, 21)]
    visitor = world.serve.post("/v1/sessions/recommendations", {"events": events, "n": 30})
    assert [(p["item_id"], p["score"]) for p in person["items"]] == [
        (p["item_id"], p["score"]) for p in visitor["items"]
    ]


def test_who_asks_with_the_offset_of_their_event_gets_a_list_that_reflects_it(world: World):
    for number in range(12):
        user = f"u{number % PEOPLE}"
        sent = world.serve.post("/v1/events", {"user_id": user, "action": "click", "item_id": f"i{number}"}, 201)
        answer = world.serve.get(f"/v1/users/{user}/recommendations", min_offset=sent["offset"], wait_ms=10_000)
        assert answer["fresh"]
        assert answer["source"]["offset"] >= sent["offset"]
        assert answer["source"]["partition"] == sent["partition"]


def test_an_event_can_be_named_by_its_id(world: World):
    world.serve.post("/v1/events", {"user_id": "u5", "action": "click", "item_id": "i1", "event_id": "e-77"}, 201)
    assert world.serve.get("/v1/users/u5/recommendations", after="e-77", wait_ms=10_000)["fresh"]
    assert not world.serve.get("/v1/users/u5/recommendations", after="never-sent", wait_ms=0)["fresh"]


def test_what_has_not_happened_yet_is_said_not_to_be_reflected(world: World):
    answer = world.serve.get("/v1/users/u5/recommendations", min_offset=10_000_000, wait_ms=50)
    assert not answer["fresh"]
    assert ids(answer)


# --- why, and what if ---


def test_a_place_is_taken_apart_into_features_that_sum_to_its_score(world: World):
    answer = world.serve.get("/v1/users/u6/recommendations/2/why")
    assert sum(answer["features"].values()) == pytest.approx(answer["item"]["score"], abs=1e-6)
    assert answer["item"]["rank"] == 2
    world.serve.get("/v1/users/u6/recommendations/190/why", 404)
    item_id = answer["item"]["item_id"]
    named = world.serve.get("/v1/users/u6/recommendations/19/why", item=item_id)
    assert (named["item"]["item_id"], named["item"]["rank"]) == (item_id, 2)
    world.serve.get("/v1/users/u6/recommendations/1/why", 404, item="no-such-item")


def test_what_a_list_hangs_on_is_not_what_would_take_its_place(world: World):
    found = [world.serve.get(f"/v1/users/u{p}/recommendations/1/why").get("counterfactual") for p in range(PEOPLE)]
    hanging = [each for each in found if each is not None]
    assert hanging
    for each in hanging:
        assert each["replacement"] not in each["removed"]


def test_what_if_changes_nothing_where_nothing_is_asked(world: World):
    answer = world.serve.post("/v1/users/u6/what-if", {})
    assert "moved" not in answer or not answer["moved"]
    assert ids(answer["list"]) == ids(answer["before"])
    assert answer["list"]["gates"]


def test_what_if_weights_count_as_often_as_they_are_told(world: World):
    answer = world.serve.post("/v1/users/u6/what-if", {"weights": {"trend": 0, "co_occurrence": 2}})
    before = {each["item_id"]: each for each in answer["before"]["items"]}
    for place in answer["list"]["items"]:
        assert place["parts"]["trend"] == 0
        was = before.get(place["item_id"])
        if was is not None:
            assert place["parts"]["co_occurrence"] == pytest.approx(2 * was["parts"]["co_occurrence"])


def test_what_if_as_of_a_past_moment_is_the_list_of_what_had_happened_by_then(world: World):
    person = world.serve.get("/v1/users/u7")
    third = person["behaviours"][2]["event_time"]
    answer = world.serve.post("/v1/users/u7/what-if", {"at": third})
    assert answer["at"] == third
    later = {each["key"] for each in person["behaviours"] if each["event_time"] > third}
    struck = world.serve.post("/v1/users/u7/what-if", {"without": sorted(later), "at": third})
    assert ids(answer["list"]) == ids(struck["list"])


@pytest.mark.parametrize(
    ("user", "without", "with_"), [("u8", [], []), ("u9", [0], []), ("u10", [-1], []), ("u11", [2, 3], ["i30"])]
)
def test_what_if_says_to_the_byte_what_penchant_explain_says(world: World, user, without, with_):
    person = world.serve.get(f"/v1/users/{user}")
    struck = [person["behaviours"][at] for at in without]
    told = explained(world, user, *(f"--without={b['item_id']}" for b in struck), *(f"--with={i}" for i in with_))
    asked = {"without": [b["item_id"] for b in struck], "with": with_}
    answer = world.serve.post(f"/v1/users/{user}/what-if", asked)["list"]

    def of(items):
        return json.dumps([{name: each[name] for name in NUMBERS} for each in items])

    assert of(answer["items"]) == of(told["items"])
    assert [each["others"] for each in answer["items"]] == [each["others"] for each in told["items"]]
    assert [each["reason"]["en"] for each in answer["items"]] == [each["reason"] for each in told["items"]]
    assert [[c["contribution"] for c in each["causes"]] for each in answer["items"]] == [
        [c["contribution"] for c in each["contributions"]] for each in told["items"]
    ]


# --- people and items ---


def test_a_person_is_told_with_the_behaviours_that_the_worker_committed(world: World):
    person = world.serve.get("/v1/users/u12")
    assert person["known"]
    assert person["events"] >= 8
    assert len(person["behaviours"]) >= 8
    times = [each["event_time"] for each in person["behaviours"]]
    assert times == sorted(times)
    assert all(each["title"] != each["item_id"] for each in person["behaviours"])


def test_who_was_active_lately_is_found(world: World):
    sent = world.serve.post("/v1/events", {"user_id": "just-now", "action": "click", "item_id": "i2"}, 201)
    world.serve.get("/v1/users/just-now/recommendations", min_offset=sent["offset"], wait_ms=10_000)
    world.serve.wait_for(
        "they are the first",
        lambda: world.serve.get("/v1/users", n=3)["people"][0]["user_id"] == "just-now",
    )


def test_items_are_found_by_words_and_by_id(world: World):
    found = world.serve.get("/v1/items", q="TEA number", n=100)
    assert found["total"] == ITEMS // 3
    assert {each["categories"][0] for each in found["items"]} == {"tea"}
    assert world.serve.get("/v1/items", q="i17")["items"][0]["item_id"] == "i17"
    assert world.serve.get("/v1/items", q="zzz")["items"] == []


def test_an_item_is_told_with_who_gets_it_and_the_gates_that_it_passes(world: World):
    listed = ids(world.serve.get("/v1/users/u3/recommendations"))[0]
    answer = world.serve.get(f"/v1/items/{listed}")
    assert answer["lists"] == sum(answer["places"]) > 0
    assert answer["lists"] <= answer["lists_all"]
    assert answer["followers"]
    assert [gate["name"] for gate in answer["gates"]][:3] == ["catalogue", "available", "rules"]
    assert all(gate["open"] for gate in answer["gates"] if gate["name"] != "text")
    world.serve.get("/v1/items/no-such-item", 404)


def test_what_is_withdrawn_is_in_no_list_that_is_asked_for_afterwards(world: World):
    world.topics.produce(world.topics.settings.topic_items, [item(59, available=False)])
    world.serve.wait_for("it is known", lambda: not world.serve.get("/v1/items/i59")["available"])
    for person in range(PEOPLE):
        assert "i59" not in ids(world.serve.get(f"/v1/users/u{person}/recommendations"))
    gates = {gate["name"]: gate["open"] for gate in world.serve.get("/v1/items/i59")["gates"]}
    assert gates["catalogue"]
    assert not gates["available"]


def test_related_items_are_of_the_same_category_here_and_best_first(world: World):
    found = world.serve.get("/v1/items/i3/related", n=5)["items"]
    assert {each["categories"][0] for each in found} == {"tea"}
    scores = [each["score"] for each in found]
    assert scores == sorted(scores, reverse=True)
    assert world.serve.get("/v1/trending", n=3, category="lamps")["items"][0]["categories"] == ["lamps"]


# --- figures, rules, links ---


def test_figures_tell_of_events_and_lists_while_somebody_watches(world: World):
    world.serve.get("/v1/now")
    world.serve.wait_for("the partitions are known", lambda: len(world.serve.get("/v1/now")["partitions"]) == 3)

    def watched() -> bool:
        world.serve.post("/v1/events", {"user_id": "u13", "action": "click", "item_id": "i5"}, 201)
        now = world.serve.get("/v1/now")
        return bool(now["freshness"]["count"] and now["events_per_s"] and now["lists_per_s"])

    world.serve.wait_for("freshness is told", watched)
    world.topics.produce(world.topics.settings.topic_events, [(b"u13", b"garbage")])
    world.serve.wait_for("a dead letter is counted", lambda: bool(world.serve.get("/v1/now")["refused"]))
    with world.serve.client.stream("GET", "/v1/now/stream") as answer:
        first = next(line for line in answer.iter_lines() if line.startswith("data: "))
    assert json.loads(first.removeprefix("data: "))["ready"]


def test_a_draft_of_a_rule_is_tried_without_being_published_and_then_published(world: World):
    rule = {"kind": "deny", "where": "price > 30"}
    tried = world.serve.post("/v1/rules/try", {"key": "no-dear", "rule": rule, "people": ["u3", "u4"]})
    assert len(tried["tried"]) == 2
    for each in tried["tried"]:
        assert all(place["price"] <= 30 for place in each["after"]["items"])
        assert any(place["price"] > 30 for place in each["before"]["items"])
    assert world.serve.get("/v1/rules")["rules"] == []
    assert world.serve.client.put("/v1/rules", json={"key": "no-dear", "rule": rule}).status_code == 200
    world.serve.wait_for("it counts", lambda: bool(world.serve.get("/v1/rules")["rules"]))
    world.serve.wait_for(
        "lists follow it",
        lambda: all(place["price"] <= 30 for place in world.serve.get("/v1/users/nobody/recommendations")["items"]),
    )
    assert world.serve.client.put("/v1/rules", json={"key": "no-dear", "rule": None}).status_code == 200
    world.serve.wait_for("it is gone", lambda: not world.serve.get("/v1/rules")["rules"])
    refused = world.serve.post("/v1/rules/try", {"key": "x", "rule": {"kind": "nonsense"}}, 400)
    assert refused["field"] == "$.rule"


def test_a_persons_own_page_opens_by_its_link_alone_and_less_of_this_is_an_event(world: World):
    path = world.serve.post("/v1/users/u14/link", None)["path"]
    page = world.serve.get(f"/v1{path}")
    assert page["likes"]
    assert page["likes"][0]["why"]["en"].startswith("Because you")
    item_id = page["likes"][0]["item_id"]
    sent = world.serve.post(f"/v1{path}/less", {"items": [item_id]}, 201)
    world.serve.wait_for("it is applied", lambda: world.serve.get("/v1/users/u14")["offset"] >= sent["offset"])
    assert world.serve.get("/v1/users/u14")["behaviours"][-1]["action"] == "dislike"
    forged = path[:-2] + ("AA" if path[-2:] != "AA" else "BB")
    world.serve.get(f"/v1{forged}", 401)


# --- bad input ---


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/v1/users/u1/recommendations?n=0", 400, "n"),
        (f"/v1/users/u1/recommendations?n={N_MAX + 1}", 400, "n"),
        ("/v1/users/u1/recommendations?n=many", 400, "n"),
        ("/v1/users/u1/recommendations?n=1&n=2", 400, "n"),
        ("/v1/users/u1/recommendations?m=1", 400, "m"),
        ("/v1/users/u1/recommendations?min_offset=-1", 400, "min_offset"),
        ("/v1/users/u1/recommendations?wait_ms=60000", 400, "wait_ms"),
        ("/v1/users/u1/recommendations?placement=nowhere", 404, "placement"),
        ("/v1/users/u1/recommendations?price_min=nan", 400, "price_min"),
        ("/v1/users/u1/recommendations/0/why", 400, "rank"),
        ("/v1/users/%FF/recommendations", 400, "user_id"),
        (f"/v1/users/{'x' * 129}/recommendations", 400, "user_id"),
        ("/v1/users//recommendations", 404, None),
        ("/v1/nothing", 404, None),
        ("/explorer/../app.py", 404, None),
        ("/explorer/%2e%2e/app.py", 404, None),
        ("/explorer/..%2fapp.py", 404, None),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong(world: World, path, status, field):
    answer = world.serve.client.get(path)
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem.get("field") == field
    assert problem["detail"]


def test_odd_ids_are_ids(world: World):
    for raw in ("%00", "a%2Fb", "%F0%9F%98%80", "%E4%BD%A0", "%25"):
        assert not world.serve.get(f"/v1/users/{raw}/recommendations", n=1)["known"]
    sent = world.serve.post("/v1/events", {"user_id": "a/😀", "action": "click", "item_id": "i1"}, 201)
    answer = world.serve.get("/v1/users/a%2F%F0%9F%98%80/recommendations", min_offset=sent["offset"], wait_ms=10_000)
    assert answer["fresh"]
    assert answer["user_id"] == "a/😀"


def test_bodies_are_held_to_their_types_and_size(world: World):
    serve = world.serve
    assert serve.post("/v1/users/u1/what-if", {"without": "u"}, 400)["field"] == "$.without"
    assert serve.post("/v1/users/u1/what-if", {"nonsense": 1}, 400)["field"] == "nonsense"
    assert serve.post("/v1/users/u1/what-if", {"weights": {"luck": 1}}, 400)["field"] == "$.weights"
    assert serve.post("/v1/users/u1/what-if", {"with": ["no-such"]}, 400)["field"] == "$.with[0]"
    assert serve.post("/v1/events", {"user_id": "u1", "action": "click"}, 400)["field"] == "$"
    bad = serve.post("/v1/sessions/recommendations", {"events": [{"action": "click"}]}, 400)
    assert bad["field"] == "$.events[0]"
    assert serve.client.post("/v1/events", content=b"{" * 100_000).status_code == 400
    assert serve.client.post("/v1/events", content=b" " * (1 << 21)).status_code == 413
    assert serve.client.put("/v1/events").status_code == 405
    assert serve.client.get("/v1/items?q=" + "x" * 40_000).status_code == 431


def test_a_cookie_flood_is_cut_off_and_the_next_request_answered(world: World):
    try:
        status = world.serve.client.get("/v1/now", headers={f"x-{n}": "y" * 500 for n in range(1000)}).status_code
    except httpx.HTTPError:  # it was cut off while it was being sent
        status = 431
    assert status == 431
    assert world.serve.is_ready()


def test_answers_say_what_browsers_may_do_with_them(world: World):
    headers = world.serve.client.get("/v1/now").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers
    assert headers["cache-control"] == "no-store"


def test_ids_are_not_in_the_log(world: World):
    assert "just-now" not in world.serve.log
    assert "nobody-knows" not in world.serve.log


# --- at last, as they end what the others use ---


def test_metrics_count_requests_by_route(world: World):
    text = world.serve.client.get("/metrics").text
    assert 'penchant_http_requests_total{route="list",status="200"}' in text
    assert 'penchant_served_lists_total{how="published"}' in text
    assert "penchant_serve_ready 1.0" in text


def test_a_restart_goes_on_where_it_was(world: World):
    before = world.serve.get("/v1/users/u3/recommendations")
    assert world.serve.terminate() == 0
    world.topics.produce(world.topics.settings.topic_events, [event("u15", 30, after_ms=900_000)])
    world.serve.start()
    world.serve.until_ready()
    assert world.serve.get("/v1/users/u3/recommendations")["recommendation_id"] == before["recommendation_id"]
    world.serve.wait_for(
        "what came meanwhile is here",
        lambda: world.serve.get("/v1/users/u15")["behaviours"][-1]["item_id"] == "i30",
    )


def test_without_a_broker_answers_are_stale_and_say_so(world: World):
    world.worker.kill()
    world.broker.close()
    world.serve.wait_for("it says so", lambda: not world.serve.is_ready(), 60)
    assert world.serve.client.get("/health/live").status_code == 200
    answer = world.serve.get("/v1/users/u3/recommendations")
    assert answer["stale"]
    assert ids(answer)
    assert world.serve.get("/health/ready", 503)["why_not"] == "no broker answers"
    assert (
        world.serve.client.post("/v1/events", json={"user_id": "u1", "action": "click", "item_id": "i1"}).status_code
        == 503
    )
    assert world.serve.terminate() == 0
