"""The explorer's pages in a real Chromium, on a made-up shop that answers in the server's own types."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import msgspec
import pytest
from explorer_browser import Tabs, chromium, require_chromium
from explorer_server import FILES, UNSEEN, FakePenchant, explorer_server
from explorer_shop import NASTY

from stream.serve.questions import WhatIfQuestion

require_chromium()
from axe_playwright_python.sync_playwright import Axe  # noqa: E402
from playwright.sync_api import Browser, Page, expect  # noqa: E402

PERSON = "/explorer/index.html?user=mei"
ITEM = "/explorer/item.html?item=22900"
PAGES = {
    "someone": "/explorer/index.html",
    "person": PERSON,
    "as if": f"{PERSON}&with=22991&w.trend=2&open=22913",
    "nobody": "/explorer/index.html?user=nobody",
    "now": "/explorer/now.html",
    "items": "/explorer/item.html",
    "item": ITEM,
    "unseen": f"/explorer/item.html?item={UNSEEN}",
    "policy": "/explorer/policy.html",
    "you": "/you/signed",
}
TITLES = ".place .title"
WCAG = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def running() -> Iterator[FakePenchant]:
    with explorer_server() as fake:
        yield fake


@pytest.fixture
def fake(running: FakePenchant) -> Iterator[FakePenchant]:
    running.reset()
    yield running
    running.reset()


Opens = Callable[..., "Page"]


@pytest.fixture
def opens(browser: Browser, fake: FakePenchant) -> Iterator[Opens]:
    """Opens a page as asked; at the end none of them has complained, broken the CSP or asked another host."""
    tabs = Tabs(browser, fake.url)
    yield tabs.open
    tabs.close()
    assert tabs.complaints == []


def titles(page: Page) -> list[str]:
    return page.locator(TITLES).all_inner_texts()


def answered(page: Page) -> None:
    """The list as if is drawn."""
    page.wait_for_selector("#asif:not([hidden]) .says:not(:has(.asking))")
    page.wait_for_selector(".card[aria-busy=false] #places")


def as_the_server_says(fake: FakePenchant, body: bytes) -> list[str]:
    return [
        each.title for each in fake.shop.what_if("mei", msgspec.json.decode(body, type=WhatIfQuestion)).list.items[:10]
    ]


def overflow(page: Page) -> list[str]:
    return page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("*")]
        .filter((e) => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5)
        .map((e) => `${e.tagName}.${e.className}`)"""
    )


# ----- what is seen -----
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_no_page_breaks_wcag_or_scrolls_sideways(opens: Opens, lang: str, dark: bool) -> None:
    axe = Axe()
    page = opens(PAGES["someone"], lang=lang, dark=dark)
    for name, path in PAGES.items():
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(f"{page.url.split('/', 3)[0]}//{urlsplit(page.url).netloc}{path}")
        page.wait_for_selector("main h1")
        if name == "as if":
            answered(page)
        if name == "policy":
            page.click("#try")
            page.wait_for_selector("#publish-it")
        assert page.evaluate("document.documentElement.dataset.theme") == ("dark" if dark else "light")
        assert page.evaluate("document.documentElement.lang") == ("zh-CN" if lang == "zh" else "en")
        for width in (1280, 768, 360):
            page.set_viewport_size({"width": width, "height": 900})
            assert overflow(page) == [], f"{name} at {width} px"
        found = axe.run(page, options=WCAG)  # at 360 px
        assert found.response["violations"] == [], f"{name}: {found.generate_report()}"


def test_every_text_of_the_deck_is_there_in_both_languages_and_used() -> None:
    deck = (FILES / "copy.js").read_text(encoding="utf-8")
    pairs = re.findall(r'"([\w.]+)":\s*\[\s*"((?:[^"\\]|\\.)+)",\s*"((?:[^"\\]|\\.)+)",?\s*\]', deck)
    keys = [key for key, _, _ in pairs]
    assert len(keys) == len(set(keys)) == deck.count('": [')
    holes = {key: (set(re.findall(r"\{\w+\}", en)), set(re.findall(r"\{\w+\}", zh))) for key, en, zh in pairs}
    assert [key for key, (en, zh) in holes.items() if en != zh] == []
    code = "".join(p.read_text(encoding="utf-8") for p in FILES.glob("*.js") if p.name != "copy.js")
    starts = set(re.findall(r"`([a-z]+\.)\$\{", code))
    used = {key for key in keys if f'"{key}"' in code or any(key.startswith(start) for start in starts)}
    assert [key for key in keys if key not in used and key.removesuffix(".1") not in used] == []


def test_all_files_of_a_first_page_are_under_100_kb_and_need_nothing_inline() -> None:
    files = {p: p.read_bytes() for p in FILES.iterdir() if p.suffix in {".html", ".css", ".js"}}
    assert sum(len(gzip.compress(data)) for data in files.values()) < 100_000
    for path, data in files.items():
        text = data.decode()
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), f"{path.name} names another host"
        if path.suffix == ".html":
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text), path.name
        if path.suffix == ".js":
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text), path.name


@pytest.mark.parametrize("nasty", NASTY)
def test_titles_of_5000_characters_right_to_left_and_with_script_are_texts(
    opens: Opens, fake: FakePenchant, nasty: str
) -> None:
    fake.shop.nasty = nasty
    page = opens(PERSON, width=360)
    for path in (f"{PERSON}&with=22991&open=22913", ITEM, PAGES["items"], PAGES["you"], PAGES["policy"]):
        page.goto(fake.url + path)
        page.wait_for_selector("main h1")
        if "with" in path:
            answered(page)
            assert titles(page)[0].strip()[:60] == " ".join(NASTY[nasty].split())[:60]
            assert page.locator(TITLES).first.get_attribute("dir") == "auto"
            assert page.locator(".place").first.bounding_box()["height"] < 500
        if "policy" in path:
            page.click("#try")
            page.wait_for_selector("#publish-it")
        assert overflow(page) == [], path
        assert page.evaluate("window.pwned") is None
    assert page.locator("main img, main script").count() == 0


def test_a_reduced_wish_for_motion_moves_nothing(opens: Opens) -> None:
    moving = """(calm) => new Promise((done) => {
        let seen = 0;
        const watch = (n) => {
            seen += document.getAnimations().length;
            n ? requestAnimationFrame(() => watch(n - 1)) : done(seen);
        };
        document.querySelector(".did .ghost").click();
        watch(30);
    })"""
    for calm in (True, False):
        page = opens(PERSON, calm=calm, loaded=".did .ghost")
        assert (page.evaluate(moving, calm) == 0) == calm


# ----- a person, and what if -----
def test_bars_add_up_to_the_score_on_one_zero_line(opens: Opens) -> None:
    page = opens(PERSON, loaded=TITLES)
    rows = page.evaluate(
        """() => [...document.querySelectorAll(".place")].map((row) => {
            const bar = row.querySelector(".bar"), whole = bar.getBoundingClientRect();
            const width = (i) => (i.classList.contains("neg") ? -1 : 1) * parseFloat(i.style.width);
            const sum = [...bar.querySelectorAll("i")].reduce((s, i) => s + width(i), 0);
            const zero = parseFloat(bar.style.getPropertyValue("--zero-at"));
            return { sum, tick: parseFloat(bar.querySelector("u").style.left) - zero,
                score: parseFloat(row.querySelector(".score").textContent), zero: whole.left };
        })"""
    )
    unit = rows[0]["sum"] / rows[0]["score"]
    for row in rows:
        assert row["sum"] / unit == pytest.approx(row["score"], abs=0.02)
        assert row["tick"] == pytest.approx(row["sum"], abs=0.05)
    assert len({row["zero"] for row in rows}) == 1


def test_pointing_at_a_place_shows_its_causes_and_at_a_behaviour_what_it_raised(opens: Opens) -> None:
    page = opens(PERSON, loaded=TITLES)
    page.locator(".place").nth(1).hover()
    lit = page.locator(".did.lit")
    assert 0 < lit.count() < page.locator(".did").count()
    assert lit.first.locator(".share").inner_text().startswith("+")
    page.locator(".did").first.hover()
    assert 0 < page.locator(".place.lit").count() < 10
    page.locator("h1").first.hover()
    assert page.locator(".lit, .faded").count() == 0


def test_the_order_as_if_is_the_servers_and_goes_back_on_escape(opens: Opens, fake: FakePenchant) -> None:
    page = opens(PERSON, loaded=TITLES)
    was = titles(page)
    assert was == [each.title for each in fake.shop.list_of("mei").items[:10]]
    page.locator(".did .ghost").nth(0).click()
    answered(page)
    assert titles(page) == as_the_server_says(fake, fake.asked("what-if")[-1]) != was
    assert page.locator(".place.moved").count() > 0
    assert "places changed" in page.locator("#asif").inner_text()
    page.locator("summary", has_text="Weights").click()
    for part, times in (("trend", "2"), ("popularity", "0")):
        page.locator(f"#w-{part}").fill(times)
    answered(page)
    expect(page.locator("#asif")).to_contain_text("other weights")
    page.wait_for_function("(n) => document.querySelectorAll('#asif .asking').length === 0", arg=0)
    body = json.loads(fake.asked("what-if")[-1])
    assert body["weights"] == {"trend": 2, "popularity": 0}
    assert len(body["without"]) == 1
    assert titles(page) == as_the_server_says(fake, fake.asked("what-if")[-1])
    page.wait_for_url("**w.trend=2**")
    page.keyboard.press("Escape")
    expect(page.locator("#asif")).to_be_hidden()
    assert titles(page) == was
    assert "w.trend" not in page.url


def test_the_clock_goes_back_and_forward_and_says_which_weights_hold(opens: Opens, fake: FakePenchant) -> None:
    page = opens(PERSON, loaded=TITLES)
    expect(page.locator("#gates")).to_contain_text("weights for 5 to 19 behaviours")
    points = page.locator(".graph g.node:not(.absent)").count()
    page.focus("#time")
    page.keyboard.press("End")
    answered(page)
    expect(page.locator("output")).to_contain_text("a month later")
    expect(page.locator("#asif")).to_contain_text("a month later")
    page.keyboard.press("Home")
    expect(page.locator("#asif")).to_contain_text("as of 6 Nov")
    answered(page)
    assert page.locator(".graph g.node:not(.absent)").count() < points
    assert page.locator(".did.later").count() > 0
    assert page.evaluate("document.activeElement.id") == "time"
    assert titles(page) == as_the_server_says(fake, fake.asked("what-if")[-1])


def test_an_opened_place_is_taken_apart_with_the_command_that_says_the_same(opens: Opens, fake: FakePenchant) -> None:
    page = opens(PERSON, loaded=TITLES)
    expect(page.locator("#try")).to_be_visible()
    page.locator(".place > button").first.click()
    expect(page.locator(".proof")).to_contain_text("hangs on")
    expect(page.locator(".exact details.wide")).to_contain_text("features")
    leader = fake.shop.list_of("mei").items[0].item_id
    assert page.locator(".cli code").inner_text() == f"penchant explain mei {leader} --texts"
    page.locator("#try").click()
    answered(page)
    expect(page.locator(".did.out")).to_have_count(3)
    page.locator(".place > button").first.click()
    expect(page.locator(".cli code")).to_contain_text(" --without 22913 --without 22900 --texts")
    page.locator(".place > button[aria-expanded=true]").click()
    assert page.locator(".exact").count() == 0


def test_the_keyboard_alone_finds_strikes_adds_and_resets(opens: Opens, fake: FakePenchant) -> None:
    page = opens(PAGES["someone"], loaded=".people a")
    page.keyboard.press("/")
    page.keyboard.type("me")
    page.wait_for_selector("[role=option]")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector(TITLES)
    assert page.locator("h1").inner_text() == "mei"

    page.locator(".place > button").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator(".place > button").nth(1).get_attribute("aria-expanded") == "true"
    assert page.evaluate("document.activeElement.closest('.place').dataset.key") == page.locator(".place").nth(
        1
    ).get_attribute("data-key")

    page.locator(".did .ghost").first.focus()
    page.keyboard.press("ArrowDown")
    key = page.evaluate("document.activeElement.closest('.did').dataset.key")
    page.keyboard.press("Enter")
    answered(page)
    assert page.evaluate("document.activeElement.closest('.did').dataset.key") == key
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"

    page.locator(".add input").focus()
    page.keyboard.type("owl")
    page.wait_for_selector(".add [role=option]:has-text('Owl Doorstop')")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#asif")).to_contain_text("Owl Doorstop")
    answered(page)
    assert len(json.loads(fake.asked("what-if")[-1])["with"]) == 1
    page.keyboard.press("Escape")
    expect(page.locator("#asif")).to_be_hidden()


def test_a_slow_answer_that_was_overtaken_is_never_drawn(opens: Opens, fake: FakePenchant) -> None:
    page = opens(PERSON, loaded=TITLES)
    expect(page.locator("#gates")).to_be_visible()
    struck = page.locator(".did").first.get_attribute("data-key")
    gate = fake.hold(f'"without":["{struck}"],')
    was = titles(page)
    page.locator(".did .ghost").nth(0).click()
    expect(page.locator(".asking")).to_be_visible()
    assert titles(page) == was, "what is shown is not beside a claim that it does not answer"
    page.locator(".did .ghost").nth(1).click()
    answered(page)
    wanted = as_the_server_says(fake, fake.asked("what-if")[-1])
    with page.expect_response(lambda response: "/rules" in response.url):
        gate.set()
        page.evaluate("fetch('/v1/rules').then((r) => r.text())")
    assert titles(page) == wanted


def test_what_is_not_answered_leaves_the_list_as_it_is_and_says_so(opens: Opens, fake: FakePenchant) -> None:
    page = opens(PERSON, loaded=TITLES)
    was = titles(page)
    fake.failing.add("what-if")
    page.locator(".did .ghost").nth(0).click()
    expect(page.locator("#miss")).to_contain_text("not answered")
    assert titles(page) == was
    assert page.locator(".place.moved").count() == 0
    fake.failing.clear()
    page.locator("#miss button").click()
    answered(page)
    assert page.locator("#miss").is_hidden()


# ----- what may be wrong -----
def test_an_unknown_person_gets_a_newcomers_list_and_ids_are_kept_to_the_letter(
    opens: Opens, fake: FakePenchant
) -> None:
    page = opens(PAGES["nobody"], loaded=TITLES)
    expect(page.locator(".state").first).to_contain_text("Nobody called “nobody” yet")
    assert page.locator(TITLES).count() == 10
    page = opens("/explorer/index.html?user=a%20b%26c%2Fd", loaded=TITLES)
    assert page.locator("h1").inner_text() == "a b&c/d"
    page.locator(".place > button").first.click()
    assert page.locator(".cli code").inner_text().startswith("penchant explain 'a b&c/d' ")


def test_an_empty_shop_says_what_to_send(opens: Opens, fake: FakePenchant) -> None:
    fake.shop.empty = True
    page = opens("/explorer/index.html")
    for path, text in (
        ("/explorer/index.html", "No events yet"),
        ("/explorer/item.html", "The catalogue is empty"),
        ("/explorer/policy.html", "No rules yet"),
        ("/explorer/index.html?user=x", "Nothing to recommend yet"),
        ("/you/signed", "Nothing yet"),
        ("/explorer/item.html?item=9", "No item “9”"),
    ):
        page.goto(fake.url + path)
        page.wait_for_selector(f"main >> text={text}")


def test_catching_up_says_why_and_comes_back_by_itself(opens: Opens, fake: FakePenchant) -> None:
    fake.unready = "82 % of the changelog is read"
    page = opens(PERSON, loaded="[data-failure=behind]")
    assert "82 % of the changelog is read" in page.locator("main").inner_text()
    fake.unready = None
    page.wait_for_selector(TITLES)


def test_without_a_network_pages_say_so_and_keep_what_they_have(opens: Opens, fake: FakePenchant) -> None:
    page = opens(PERSON, loaded=TITLES)
    was = titles(page)
    page.context.set_offline(True)
    page.locator(".did .ghost").nth(0).click()
    expect(page.locator("#miss")).to_contain_text("The server does not answer")
    assert titles(page) == was
    page.context.set_offline(False)
    page.locator("#miss button").click()
    answered(page)
    page.route("**/v1/**", lambda route: route.abort())
    page.goto(fake.url + ITEM)
    page.wait_for_selector("[data-failure=gone]")
    page.unroute("**/v1/**")
    page.wait_for_selector("#nb-h")


def test_a_busy_server_is_asked_again(opens: Opens, fake: FakePenchant) -> None:
    fake.busy = 1
    opens(ITEM, loaded="#nb-h")
    assert len(fake.asked("items/22900")) == 2


def test_a_token_is_asked_for_and_kept_in_this_tab_only(opens: Opens, fake: FakePenchant) -> None:
    fake.read_token = "secret"
    page = opens(PERSON, loaded="[data-failure=token]")
    page.fill("input[type=password]", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=This token is not accepted")
    page.fill("input[type=password]", "secret")
    page.keyboard.press("Enter")
    page.wait_for_selector(TITLES)
    assert page.evaluate("JSON.stringify(localStorage)").find("secret") == -1
    page.goto(fake.url + "/explorer/now.html")
    page.wait_for_selector("#figures .big")
    assert "secret" not in page.url


def test_a_slow_answer_has_a_skeleton_a_quick_one_none(opens: Opens, fake: FakePenchant) -> None:
    gate = fake.hold("/v1/items/22900")
    page = opens(ITEM, loaded="[data-state=loading] .skel")
    gate.set()
    page.wait_for_selector("#nb-h")
    assert page.locator(".skel").count() == 0


# ----- the other pages -----
def test_now_is_live_stops_on_pause_and_tells_old_figures(opens: Opens, fake: FakePenchant) -> None:
    page = opens(PAGES["now"], loaded="#figures .big")
    assert "ms after the click" in page.locator("#say").inner_text()
    assert page.locator("tbody tr:has-text('caught up')").count() == 4
    fake.silent.set()
    page.locator("button", has_text="Pause").click()
    page.wait_for_selector(".note:has-text('Paused: these figures are of')")
    fake.silent.clear()
    fake.behind = True
    page.locator("button", has_text="Go on").click()
    page.wait_for_selector("text=/events wait in 1 of 4 partitions/")
    page.wait_for_selector("text=/not catching up|≈/")
    assert page.locator(".note").is_hidden()
    hide = """(hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    with page.expect_event("requestfailed", lambda request: "now/stream" in request.url):
        page.evaluate(hide, True)
    with page.expect_request(lambda request: "now/stream" in request.url):
        page.evaluate(hide, False)


def test_figures_wait_for_a_server_that_catches_up(opens: Opens, fake: FakePenchant) -> None:
    fake.unready = "1,200 of 5,000 read"
    page = opens(PAGES["now"], loaded="[data-failure=behind]")
    page.locator("button", has_text="Try again").focus()
    with page.expect_response(lambda response: "now/stream" in response.url):
        pass
    assert page.evaluate("document.activeElement.textContent") == "Try again", "the focus stays where it was"
    fake.unready = None
    page.wait_for_selector("#figures .big")


def test_an_item_that_nobody_sees_has_one_answer(opens: Opens) -> None:
    page = opens(PAGES["unseen"], loaded=".steps")
    assert page.locator("#none-h").inner_text() == "Why does nobody see “Sleeping Cat Erasers”?"
    assert page.locator(".steps li.no strong").all_inner_texts() == ["Someone could meet it"]
    page.goto(page.url.replace(UNSEEN, "22900"))
    page.wait_for_selector("#who-h")
    page.locator("td a").first.click()
    page.wait_for_selector(".place > button[aria-expanded=true]")


def test_a_draft_is_tried_before_it_can_be_published_with_the_admin_token(opens: Opens, fake: FakePenchant) -> None:
    fake.admin_token = "admin"
    page = opens(PAGES["policy"], loaded=".draft")
    page.select_option("#draft-kind", "boost")
    page.fill("#draft-where", "broken = 1")
    page.click("#try")
    page.wait_for_selector("[data-failure=token]")
    page.fill("input[type=password]", "admin")
    page.keyboard.press("Enter")
    page.wait_for_selector(".note.bad:has-text(\"no column 'broken'\")")
    assert page.locator("#draft-where").get_attribute("aria-invalid") is not None
    assert page.locator("#publish-it").count() == 0
    page.fill("#draft-where", "price < 2")
    page.fill("#draft-add", "0.7")
    page.click("#try")
    page.wait_for_selector(".result:has-text('It changes')")
    tried = json.loads(fake.asked("rules/try")[-1])
    assert tried == {"key": "draft", "rule": {"kind": "boost", "where": "price < 2", "add": 0.7}}
    page.click("#publish-it")
    page.wait_for_selector("text=is on the topic of rules")
    written = [json.loads(body) for method, path, body in fake.requests if method == "PUT"]
    assert written == [tried]
    page.fill("#draft-add", "0.8")
    assert page.locator("#publish-it").count() == 0, "what was not tried cannot be published"
    page.locator("[data-rule=campaign] button", has_text="Withdraw").click()
    assert len([path for method, path, _ in fake.requests if method == "PUT"]) == 1, "it is asked once more"
    page.locator("[data-rule=campaign] .danger").click()
    page.wait_for_selector("text=withdrawn")
    written = [json.loads(body) for method, _, body in fake.requests if method == "PUT"]
    assert written[1:] == [{"key": "campaign", "rule": None}]


def test_less_of_this_can_be_taken_back_until_it_is_sent(opens: Opens, fake: FakePenchant) -> None:
    page = opens(PAGES["you"], loaded=".belief")
    assert page.locator("nav").count() == 0
    less = page.locator(".belief button", has_text="Less of this")
    before = less.count()
    less.first.click()
    assert page.evaluate("document.activeElement.textContent") == "Undo"
    page.keyboard.press("Enter")
    assert less.count() == before
    assert fake.asked("/less") == []
    less.first.click()
    page.locator("button", has_text="Send now").click()
    page.wait_for_selector("text=You will see fewer")
    assert [json.loads(body)["items"] for body in fake.asked("/less")] == [["22900"]]
    less.first.click()
    page.goto("about:blank")
    page.goto(fake.url + "/you/signed")
    page.wait_for_selector(".belief")
    assert len(fake.asked("/less")) == 2, "what waits is sent when the page is left"
    page = opens("/you/old", loaded="main h1")
    assert page.locator("h1").inner_text() == "This link does not open any more"


def test_language_and_theme_are_remembered(opens: Opens) -> None:
    page = opens(f"{PERSON}&lang=zh", loaded=TITLES)
    assert page.locator("h2").first.inner_text() == "推荐结果与理由"
    assert "因为您" in page.locator(".shared, .why").first.inner_text()
    page.click("#theme")
    page.goto(page.url.replace("&lang=zh", ""))
    page.wait_for_selector(TITLES)
    assert (
        page.evaluate("[document.documentElement.lang, document.documentElement.dataset.theme].join()") == "zh-CN,dark"
    )
    page.click("#lang")
    page.wait_for_selector("text=What they see, and why")
    assert "lang=en" in page.url


def test_being_forgotten_is_asked_twice_and_sent_once(opens: Opens, fake: FakePenchant) -> None:
    page = opens(PAGES["you"], loaded=".belief")
    page.get_by_role("button", name="Forget me").click()
    page.get_by_role("button", name="No, keep it").click()
    page.get_by_role("button", name="Forget me").click()
    assert fake.asked("/erase") == []
    page.get_by_role("button", name="Yes, forget everything").click()
    page.get_by_role("heading", name="You are being forgotten.").wait_for()
    assert len(fake.asked("/erase")) == 1
