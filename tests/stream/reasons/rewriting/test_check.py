"""A rewritten sentence is let through only if it says what the template says; the template always is."""

from __future__ import annotations

from importlib.resources import files

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from reason_reference import both_languages

from stream.errors import InputFileError
from stream.reasons.ago import CODES, DAYS, UNTOLD, YESTERDAY
from stream.reasons.language import ACTIONS_TOLD, CLAIMS, languages
from stream.reasons.rewriting.check import MAX_SENTENCE, cut, is_faithful, told
from stream.reasons.rewriting.vocabulary import read_words, time_texts, vocabulary
from stream.reasons.sentence import Cause, say, title_of
from stream.wire.reasons import Explanation

EN, ZH = languages()["en"], languages()["zh"]
OTHER_ACTION = dict(zip(ACTIONS_TOLD, (*ACTIONS_TOLD[1:], ACTIONS_TOLD[0]), strict=True))
TEMPLATE = both_languages(
    [Cause("purchase", "Tea", 2.0, YESTERDAY + 19), Cause("view", "Pot", 1.0, DAYS + 3)], claim=""
)  # fmt: skip
OTHERS = ("Cup", "The vase", "杯子")

titles = st.text(min_size=1, max_size=70).map(title_of)
causes = st.lists(
    st.builds(Cause, st.sampled_from(ACTIONS_TOLD), titles, st.just(1.0), st.integers(0, CODES - 1)),
    min_size=1,
    max_size=3,
    unique_by=lambda cause: cause.title,
)
language = st.sampled_from([EN, ZH])


def checked(rewritten: str, code: str = "en", others: tuple[str, ...] = OTHERS) -> str | None:
    return is_faithful(rewritten, getattr(TEMPLATE, code), others, languages()[code])


def mutated(chosen: list[Cause], at: int, **change: object) -> list[Cause]:
    at %= len(chosen)
    return [*chosen[:at], chosen[at]._replace(**change), *chosen[at + 1 :]]


# --- what passes ---


def test_the_template_is_the_one_that_the_examples_are_written_for() -> None:
    assert (
        Explanation(
            "Because you bought “Tea” yesterday evening and viewed “Pot” 3 days ago.",
            "因为您昨晚购买了“Tea”，并且3天前浏览了“Pot”。",
        )
        == TEMPLATE
    )


@given(causes, language, st.lists(titles, max_size=5))
def test_every_template_is_faithful_to_itself_and_is_read_to_say_what_it_was_made_of(chosen, spoken, others) -> None:
    sentence = say(spoken, chosen, "")
    words = vocabulary(spoken.code)

    assert is_faithful(sentence, sentence, others, spoken) is None
    assert is_faithful(sentence + " ", sentence, (), spoken) is None  # by reading it, not by comparing
    assert len(sentence) <= MAX_SENTENCE
    quoted, outside = cut(sentence, words)
    assert quoted == [cause.title for cause in chosen]
    read = told(list(words.pieces(outside)))
    assert read is not None
    assert [action for action, _ in read.causes] == [cause.action for cause in chosen]


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("spoken", [EN, ZH], ids=["en", "zh"])
def test_claims_are_faithful_to_themselves_and_to_no_other(claim, spoken) -> None:
    sentence = spoken.claims[claim]

    assert is_faithful(sentence + " ", sentence, OTHERS, spoken) is None
    for other in set(CLAIMS) - {claim}:
        assert is_faithful(spoken.claims[other], sentence, OTHERS, spoken) is not None


@pytest.mark.parametrize(
    ("code", "rewritten"),
    [
        ("en", "Since you purchased “Tea” yesterday evening and looked at “Pot” 3 days ago, this may interest you."),
        ("en", "Yesterday evening you bought “Tea”, and 3 days ago you viewed “Pot”, so we suggest this."),
        ("en", "We picked this because you bought “Tea” and viewed “Pot”."),  # without the times
        ("en", "Inspired by your purchase of “Tea” yesterday evening; 3 days ago, you browsed “Pot”."),
        ("zh", "由于您昨晚购买的“Tea”和3天前看过“Pot”，我们为您推荐它。"),
        ("zh", "您买了“Tea”，也看过“Pot”，所以为您推荐。"),
    ],
)
def test_other_words_for_the_same_pass(code, rewritten) -> None:
    assert checked(rewritten, code) is None


def test_titles_of_one_action_may_share_its_word() -> None:
    chosen = [Cause("cart", "Tea", 2.0), Cause("cart", "Pot", 1.0)]
    en, zh = both_languages(chosen, "").en, both_languages(chosen, "").zh

    assert is_faithful("You added “Tea” and “Pot” to your cart.", en, (), EN) is None
    assert is_faithful("因为您把“Tea”和“Pot”加入了购物车。", zh, (), ZH) is None
    assert is_faithful("You bought “Tea” and “Pot”.", en, (), EN) is not None


# --- what does not ---


@pytest.mark.parametrize(
    ("code", "rewritten", "why"),
    [
        ("en", "", "empty"),
        ("en", "   ", "empty"),
        ("en", TEMPLATE.en + " And so" * 20, "too long"),
        ("en", TEMPLATE.en.replace(" and", "\nand"), "one plain line"),
        ("en", TEMPLATE.en.replace(" and", "\x1b[1m and"), "one plain line"),
        ("en", TEMPLATE.en.replace(" and", "\u202e and"), "one plain line"),
        ("en", TEMPLATE.en.replace("Tea", "TEA"), "same titles"),
        ("en", TEMPLATE.en.replace("“Tea”", "Tea"), "same titles"),
        ("en", TEMPLATE.en.replace("Pot", "Cup"), "same titles"),
        ("en", TEMPLATE.en.replace(".", ", “Cup”."), "same titles"),
        ("en", TEMPLATE.en.replace(".", ', "Cup".'), "same titles"),
        ("en", "Because you bought “Pot” yesterday evening and viewed “Tea” 3 days ago.", "same titles"),
        ("en", "<b>" + TEMPLATE.en, "markup"),
        ("en", "**" + TEMPLATE.en, "markup"),
        ("en", TEMPLATE.en + " www.shop", "link"),
        ("en", TEMPLATE.en.replace("3", "4"), "number"),
        ("en", TEMPLATE.en.replace(".", ", as you are pregnant."), ""),
        ("en", TEMPLATE.en.replace(".", " for your health."), ""),
        ("zh", TEMPLATE.zh.replace("。", "，因为您怀孕了。"), ""),
        ("zh", TEMPLATE.zh.replace("。", "，适合您的信仰。"), ""),
        ("en", TEMPLATE.en.replace(".", ", 50 off."), "number"),
        ("en", TEMPLATE.zh.replace("“", "“").replace("”", "”"), "another language"),
        ("zh", "You bought “Tea” and viewed “Pot”.", "another language"),
        ("en", TEMPLATE.en.replace(".", ", as Cup."), "another item"),
        ("en", TEMPLATE.en.replace(".", ", and the vase."), "another item"),
        ("zh", TEMPLATE.zh.replace("。", "，杯子。"), "another item"),
        ("en", TEMPLATE.en.replace(".", ", and it is on sale."), "says what"),
        ("en", TEMPLATE.en.replace("you bought", "you never bought"), "says what"),
        ("en", TEMPLATE.en.replace("you bought", "we bought"), "says what"),
        ("en", TEMPLATE.en.replace("bought", "bоught"), "says what"),  # a Cyrillic о
        ("en", TEMPLATE.en.replace(".", ", popular this week."), "says what"),
        ("zh", TEMPLATE.zh.replace("。", "，正在促销。"), "says what"),
        ("en", "Because you viewed “Tea” yesterday evening and bought “Pot” 3 days ago.", "changes what"),
        ("en", "Because you bought “Tea” 3 days ago and viewed “Pot” yesterday evening.", "changes what"),
        ("en", "Because you bought “Tea” and viewed “Pot” 3 days ago.", "changes what"),  # when was Tea?
        ("en", "Because you bought “Tea” yesterday morning and viewed “Pot” 3 days ago.", "changes what"),
        ("en", "Yesterday morning you bought “Tea” yesterday evening and viewed “Pot” 3 days ago.", "changes what"),
        ("en", "We suggest this this morning; you bought “Tea” and viewed “Pot”.", "changes what"),
    ],
)
def test_what_is_not_the_same_is_refused(code, rewritten, why) -> None:
    refusal = checked(rewritten, code)
    assert refusal is not None
    assert why in refusal


def test_a_time_that_could_be_of_either_neighbour_is_refused() -> None:
    template = both_languages([Cause("view", "Tea", 2.0, YESTERDAY + 19), Cause("view", "Pot", 1.0)], "").zh

    assert is_faithful("您昨晚浏览了“Tea”，浏览了“Pot”。", template, (), ZH) is None
    assert is_faithful("您浏览了“Tea”昨晚浏览了“Pot”。", template, (), ZH) is not None


@pytest.mark.parametrize("joined", ["Youbought “Tea”.", "You boughtand viewed “Tea”.", "Because youbought “Tea”."])
def test_words_are_told_apart_by_spaces(joined: str) -> None:
    template = both_languages([Cause("purchase", "Tea", 1.0)], "").en
    assert is_faithful(joined, template, (), EN) == "it says what the template does not"


@given(causes, language, st.integers(0, 2), titles)
def test_a_swapped_or_added_title_is_refused(chosen, spoken, at, title) -> None:
    assume(title not in [cause.title for cause in chosen])
    template = say(spoken, chosen, "")

    assert is_faithful(say(spoken, mutated(chosen, at, title=title), ""), template, (), spoken) is not None
    if len(chosen) < 3:
        added = [*chosen, Cause("view", title, 1.0)]
        assert is_faithful(say(spoken, added, ""), template, (), spoken) is not None
    if len(chosen) > 1:
        assert is_faithful(say(spoken, chosen[:-1], ""), template, (), spoken) is not None
        assert is_faithful(say(spoken, chosen[::-1], ""), template, (), spoken) is not None


@given(causes, language, st.integers(0, 2))
def test_a_changed_action_is_refused(chosen, spoken, at) -> None:
    action = OTHER_ACTION[chosen[at % len(chosen)].action]
    changed = say(spoken, mutated(chosen, at, action=action), "")
    assert is_faithful(changed, say(spoken, chosen, ""), (), spoken) is not None


@given(causes, language, st.integers(0, 2), st.integers(UNTOLD + 1, CODES - 1))
def test_a_changed_number_or_time_is_refused(chosen, spoken, at, when) -> None:
    template, changed = say(spoken, chosen, ""), say(spoken, mutated(chosen, at, when=when), "")
    assume(template != changed)  # hours of one part of the day are told with the same words
    assert is_faithful(changed, template, (), spoken) is not None


@given(causes, language, titles.filter(str.isalnum))
def test_an_added_clause_that_names_an_item_is_refused(chosen, spoken, title) -> None:
    template = say(spoken, chosen, "")
    for clause in (f", so we suggest {title}", f", {title}", f"，我们推荐{title}"):
        rewritten = template[:-1] + clause + template[-1]
        assert is_faithful(rewritten, template, (title,), spoken) is not None


@given(st.text(max_size=120), language)
def test_no_other_text_passes_for_the_template_nor_breaks_the_check(text, spoken) -> None:
    template = getattr(TEMPLATE, spoken.code)
    assert is_faithful(text, template, OTHERS, spoken) is not None
    assert is_faithful(f"{template} {text}x", template, OTHERS, spoken) is not None


# --- the vocabulary ---


@pytest.mark.parametrize("code", ["en", "zh"])
def test_words_that_claim_nothing_hold_no_action_time_claim_or_digit(code) -> None:
    words, spoken = vocabulary(code).words, languages()[code]
    verbs = {form.partition("{title}")[0].strip() for _, form in words.actions} - {"把", "将", "给"}
    verbs |= {spoken.causes[action][0][0].rstrip("“").strip() for action in ACTIONS_TOLD} - {"把"}
    for said in (*words.connecting, *words.subjects, *words.joiners):
        padded = f" {said} "
        assert not any(f" {verb} " in padded if code == "en" else verb in said for verb in verbs), said
        assert not any(time in said for time in time_texts(spoken)), said
        assert not any(c.isdigit() for c in said), said


@pytest.mark.parametrize("spoken", [EN, ZH], ids=["en", "zh"])
def test_no_text_is_said_of_two_actions(spoken) -> None:
    forms = [form.replace(" ", "") for _, form in vocabulary(spoken.code).words.actions]
    assert len(set(forms)) == len(forms)
    known = vocabulary(spoken.code).known
    for action, form in vocabulary(spoken.code).words.actions:
        assert known[form.replace("{title}", "\0").replace(" ", "")].value == action


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("[actions]", "[acts]"), "actions"),
        (("view = [", "look = ["), "actions"),
        (("browsed {title}", "browsed"), "browsed"),
        (("joiners = [", "joiners = [1, "), "joiners"),
        (("subjects", "subjects ="), "en.toml"),
    ],
)
def test_a_file_of_words_that_is_not_complete_is_refused_and_what_is_wrong_named(change, named) -> None:
    text = files("stream.reasons.rewriting").joinpath("words", "en.toml").read_text(encoding="utf-8")
    assert read_words("en", text).joiners
    with pytest.raises(InputFileError, match=named):
        read_words("en", text.replace(*change, 1))
