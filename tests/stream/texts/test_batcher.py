"""The micro-batcher: every accepted text is answered, whatever dies; equal texts share one computation."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager

import numpy as np
import pytest
from encoder_fakes import ScriptedEncoder, expected

from models.encoder.errors import ModelError
from stream.errors import InvariantError, ModelUnusableError
from stream.metrics import Metrics
from stream.texts import encoder_thread
from stream.texts.batcher import BatcherOptions, MicroBatcher, Priority, Refused

DEADLINE_S = 30.0


@asynccontextmanager
async def batcher(encoder=None, *, make=None, **options):
    """A running batcher; `batcher.metrics` are its own."""
    made = MicroBatcher(
        make or (lambda: encoder), BatcherOptions(**options), metrics := Metrics().texts
    )  # fmt: skip
    made.metrics = metrics
    await asyncio.wait_for(made.start(), DEADLINE_S)
    if encoder is not None:
        encoder.log.clear()
        encoder.entered.clear()
    try:
        yield made
    finally:
        if encoder is not None:
            encoder.gate.set()
            encoder.release.set()
        await asyncio.wait_for(made.stop(1.0), DEADLINE_S)


async def ask(made, texts, **how):
    return await asyncio.wait_for(made.encode(texts, **how), DEADLINE_S)


async def until(condition):
    """Wait for something that another thread brings about."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110  (nothing there could set an event)
            await asyncio.sleep(0.001)


def same(answer, text):
    np.testing.assert_allclose(answer, expected(text), atol=1e-6)


def value(metric, *labels):
    return (metric.labels(*labels) if labels else metric)._value.get()


async def test_answers_come_in_the_order_of_the_texts():
    texts = [f"text {i} " + "word " * (i % 7) for i in range(700)]
    async with batcher(ScriptedEncoder(), max_tokens=256) as made:
        for text, answer in zip(texts, await ask(made, texts), strict=True):
            same(answer, text)
        assert await ask(made, []) == []


async def test_equal_texts_share_one_computation_within_a_call_between_calls_and_later():
    encoder = ScriptedEncoder()
    async with batcher(encoder) as made:
        encoder.gate.clear()
        busy = asyncio.ensure_future(ask(made, ["busy"]))
        await until(encoder.entered.is_set)
        calls = [asyncio.ensure_future(ask(made, ["red  shoes", "red shoes", f"other {i}"])) for i in range(5)]
        await until(lambda: made.health().queue_texts == 6)
        encoder.gate.set()
        for answers in await asyncio.gather(*calls):
            same(answers[0], "red shoes")
            assert answers[0] is answers[1]
        await busy
        await ask(made, [" red shoes\n"])
        encoded = [text for texts in encoder.log for text in texts]
        assert sorted(encoded) == sorted(["busy", "red shoes", *(f"other {i}" for i in range(5))])
        assert value(made.metrics.encoder_texts, "encoded") == 7
        assert value(made.metrics.encoder_texts, "cached") == 1


async def test_cached_vectors_cannot_be_changed_by_those_who_get_them():
    async with batcher(ScriptedEncoder()) as made:
        (vector,) = await ask(made, ["red"])
        with pytest.raises(ValueError, match="read-only"):
            vector[0] = 1.0


async def test_the_cache_is_bounded_and_keeps_what_was_used_last():
    encoder = ScriptedEncoder()
    async with batcher(encoder, cache_max_texts=2) as made:
        for text in ("a", "b", "a", "c", "a", "b"):
            await ask(made, [text])
        assert encoder.log == [["a"], ["b"], ["c"], ["b"]]


async def test_texts_that_break_models_are_cleaned_or_refused_and_cost_no_other_text_anything():
    nasty = ["", " \n\t", "\x00\x01", "\ud800", "a\ud83d b", "x" * 1_000_000, "word " * 200_000, "\u200b", "ok"]
    async with batcher(ScriptedEncoder()) as made:
        answers = await ask(made, nasty)
        reasons = [answer.reason if isinstance(answer, Refused) else None for answer in answers]
        assert reasons == ["empty", "empty", "empty", "empty", None, None, None, "empty", None]
        same(answers[8], "ok")
        assert value(made.metrics.encoder_refused, "empty") == 5


async def test_bad_texts_are_found_and_quarantined_for_a_while_only():
    now = [0.0]
    encoder = ScriptedEncoder()
    made = MicroBatcher(lambda: encoder, BatcherOptions(quarantine_s=600), Metrics().texts, clock=lambda: now[0])
    await made.start()
    try:
        answers = await ask(made, ["one", "BOOM", "two", "NAN"])
        same(answers[0], "one")
        same(answers[2], "two")
        assert (answers[1].reason, answers[3].reason) == ("failed", "not_finite")
        encoder.log.clear()
        assert [answer.reason for answer in await ask(made, ["BOOM", "NAN"])] == ["quarantined", "quarantined"]
        assert encoder.log == []
        now[0] = 601.0
        assert (await ask(made, ["BOOM"]))[0].reason == "failed"
    finally:
        await made.stop(1.0)


async def test_a_full_queue_refuses_with_a_reason_and_serves_the_rest():
    encoder = ScriptedEncoder()
    async with batcher(encoder, queue_max_texts=3) as made:
        encoder.gate.clear()
        busy = asyncio.ensure_future(ask(made, ["busy"]))
        await until(encoder.entered.is_set)
        call = asyncio.ensure_future(ask(made, [f"text {i}" for i in range(5)]))
        await until(lambda: made.health().queue_texts == 3)
        encoder.gate.set()
        answers = await call
        await busy
        assert [getattr(answer, "reason", None) for answer in answers] == [None, None, None, "queue_full", "queue_full"]


async def test_the_queue_is_bounded_in_tokens_too():
    encoder = ScriptedEncoder()
    async with batcher(encoder, queue_max_tokens=10) as made:
        encoder.gate.clear()
        busy = asyncio.ensure_future(ask(made, ["busy"]))
        await until(encoder.entered.is_set)
        call = asyncio.ensure_future(ask(made, ["a b c d e f", "g h i j k l", "m n"]))
        await until(lambda: made.health().queue_tokens == 8)
        encoder.gate.set()
        assert [getattr(answer, "reason", None) for answer in await call] == [None, "queue_full", None]
        await busy


async def test_a_deadline_answers_even_while_the_encoder_is_stuck():
    encoder = ScriptedEncoder()
    async with batcher(encoder) as made:
        encoder.gate.clear()
        assert (await ask(made, ["slow"], timeout_s=0.05))[0].reason == "too_late"
        waits = asyncio.ensure_future(ask(made, ["slow"]))  # joins the same computation
        encoder.gate.set()
        same((await waits)[0], "slow")
        assert [text for texts in encoder.log for text in texts] == ["slow"]


async def test_what_cannot_be_done_in_time_is_refused_at_once():
    encoder = ScriptedEncoder()
    async with batcher(encoder, max_tokens=64) as made:
        made._thread._fit.add(64, 1.0)
        answers = await ask(made, ["word " * 60, "word " * 59], priority=Priority.PERIODIC, timeout_s=0.5)
        assert {answer.reason for answer in answers} == {"too_late"}
        assert encoder.log == []


async def test_a_cancelled_call_withdraws_only_what_nobody_else_wants():
    encoder = ScriptedEncoder()
    async with batcher(encoder) as made:
        encoder.gate.clear()
        busy = asyncio.ensure_future(ask(made, ["busy"]))
        await until(encoder.entered.is_set)
        leaving = asyncio.ensure_future(ask(made, ["mine", "shared"]))
        staying = asyncio.ensure_future(ask(made, ["shared", "his"]))
        await until(lambda: made.health().queue_texts == 3)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        encoder.gate.set()
        same((await staying)[0], "shared")
        await busy
        assert sorted(text for texts in encoder.log for text in texts) == ["busy", "his", "shared"]


async def test_urgent_texts_go_before_periodic_ones():
    encoder = ScriptedEncoder()
    async with batcher(encoder, max_texts=1, ageing_s=1000.0) as made:
        encoder.gate.clear()
        busy = asyncio.ensure_future(ask(made, ["busy"]))
        await until(encoder.entered.is_set)
        periodic = asyncio.ensure_future(ask(made, ["p1", "p2", "both"], priority=Priority.PERIODIC))
        await until(lambda: made.health().queue_texts == 3)
        urgent = asyncio.ensure_future(ask(made, ["u1", "both"]))
        await until(lambda: made.health().queue_texts == 4)
        encoder.gate.set()
        await asyncio.gather(busy, periodic, urgent)
        assert encoder.log == [["busy"], ["both"], ["u1"], ["p1"], ["p2"]] or encoder.log == [
            ["busy"], ["u1"], ["both"], ["p1"], ["p2"]
        ]  # fmt: skip


async def test_a_killed_thread_loses_nothing_and_the_killer_is_found():
    made_encoders = []

    def make():
        made_encoders.append(ScriptedEncoder())
        return made_encoders[-1]

    async with batcher(make=make) as made:
        texts = [*(f"text {i}" for i in range(20)), "KILL"]
        answers = await ask(made, texts)
        for text, answer in zip(texts[:20], answers[:20], strict=True):
            same(answer, text)
        assert answers[20].reason == "killed_encoder"
        assert (await ask(made, ["KILL"]))[0].reason == "quarantined"
        same((await ask(made, ["afterwards"]))[0], "afterwards")
        assert len(made_encoders) == 3
        assert all(encoder.is_closed for encoder in made_encoders[:2])
        assert value(made.metrics.encoder_restarts) == 2
        assert made.health().is_alive


async def test_texts_answered_just_before_the_thread_died_are_not_encoded_again():
    async with batcher(make=ScriptedEncoder) as made:
        finished = []
        real = made._thread._finished

        def remember(generation, running, outcome, at):
            finished.append(running)
            real(generation, running, outcome, at)

        made._thread._finished = remember
        await ask(made, ["one", "two"])
        made._thread._running = finished[-1]  # what the thread last said it was doing
        for entry in finished[-1].taken.entries:
            entry.waiters = [(None, 0)]
        made._thread._died(made._thread._generation, SystemExit("killed"))
        assert made._thread._backlog.texts == 0
        same((await ask(made, ["three"]))[0], "three")


async def test_a_thread_that_hangs_is_left_behind_and_its_texts_are_encoded_by_the_next():
    encoders = [ScriptedEncoder(), ScriptedEncoder()]
    remaining = list(encoders)
    encoders[1].release.set()  # the second encoder does not hang
    async with batcher(make=lambda: remaining.pop(0), stall_s=0.05) as made:
        answers = await ask(made, ["HANG a while", "innocent"])
        same(answers[1], "innocent")
        same(answers[0], "HANG a while")
        encoders[0].release.set()
        await until(lambda: encoders[0].is_closed)
        assert not encoders[1].is_closed


async def test_a_broken_encoder_is_loaded_anew_and_no_text_is_blamed():
    encoders = [ScriptedEncoder(), ScriptedEncoder()]
    remaining = list(encoders)
    async with batcher(make=lambda: remaining.pop(0)) as made:
        encoders[0].is_broken = True
        same((await ask(made, ["one"]))[0], "one")
        assert value(made.metrics.encoder_restarts) == 1


async def test_an_encoder_that_cannot_be_kept_alive_refuses_until_it_is_back(monkeypatch):
    monkeypatch.setattr(encoder_thread, "DOWN_WAIT_S", 0.05)
    encoders, is_there = [], True

    def make():
        if not is_there:
            raise ModelError("nobody answers.", "start it")
        encoders.append(ScriptedEncoder())
        return encoders[-1]

    async with batcher(make=make) as made:
        is_there = False
        encoders[0].is_broken = True
        (answer,) = await ask(made, ["one"])
        assert answer.reason == "encoder_down"
        assert not made.health().is_alive
        assert (await ask(made, ["two"]))[0].reason == "encoder_down"
        await asyncio.sleep(0.3)  # tried again in vain, more than once
        assert (await ask(made, ["two"]))[0].reason == "encoder_down"
        is_there = True
        await until(lambda: made.health().is_alive)
        same((await ask(made, ["two"]))[0], "two")
        await made.stop(0.0)
        assert (await ask(made, ["three"]))[0].reason == "stopped"


async def test_an_encoder_that_was_away_for_days_is_still_tried_again(monkeypatch):
    monkeypatch.setattr(encoder_thread, "DOWN_WAIT_S", 1e-4)
    monkeypatch.setattr(encoder_thread, "DOWN_WAIT_MAX_S", 1e-4)
    encoders, tries = [], 0

    def make():
        nonlocal tries
        tries += 1
        if 1 < tries < 1200:  # a wait that was doubled so often is no number any more
            raise ModelError("nobody answers.", "start it")
        encoders.append(ScriptedEncoder())
        return encoders[-1]

    async with batcher(make=make) as made:
        encoders[0].is_broken = True
        assert (await ask(made, ["one"]))[0].reason == "encoder_down"
        await until(lambda: made.health().is_alive)
        same((await ask(made, ["two"]))[0], "two")


async def test_an_encoder_that_comes_back_as_another_one_is_away_until_it_is_itself_again(monkeypatch):
    monkeypatch.setattr(encoder_thread, "DOWN_WAIT_S", 0.05)
    encoders, version = [], "fake/1"

    def make():
        encoders.append(ScriptedEncoder())
        encoders[-1].model_version = version
        return encoders[-1]

    async with batcher(make=make) as made:
        version = "other/7"
        encoders[0].is_broken = True
        (answer,) = await ask(made, ["one"])
        assert (answer.reason, "other/7" in answer.detail) == ("encoder_down", True)
        assert not made.health().is_alive
        version = "fake/1"
        await until(lambda: made.health().is_alive)
        same((await ask(made, ["one"]))[0], "one")
        await until(lambda: all(each.is_closed for each in encoders[:-1]))


async def test_stopping_encodes_what_waits_and_refuses_what_comes():
    encoder = ScriptedEncoder()
    async with batcher(encoder) as made:
        encoder.gate.clear()
        waiting = asyncio.ensure_future(ask(made, ["one", "two"]))
        await until(encoder.entered.is_set)
        stopping = asyncio.ensure_future(made.stop(DEADLINE_S))
        await asyncio.sleep(0)
        assert (await ask(made, ["three"]))[0].reason == "stopped"
        encoder.gate.set()
        await stopping
        same((await waiting)[1], "two")
        assert encoder.is_closed


async def test_stopping_with_a_stuck_encoder_refuses_what_waits():
    encoder = ScriptedEncoder()
    async with batcher(encoder) as made:
        encoder.gate.clear()
        waiting = asyncio.ensure_future(ask(made, ["one"]))
        await until(encoder.entered.is_set)
        await made.stop(0.0)
        assert (await waiting)[0].reason == "stopped"


async def test_starting_says_what_is_wrong():
    def refuse():
        raise ModelError("no model.", "install one")

    with pytest.raises(ModelUnusableError, match=r"no model\. Fix: install one"):
        await MicroBatcher(refuse, BatcherOptions(), Metrics().texts).start()
    broken = ScriptedEncoder()
    broken.is_broken = True
    with pytest.raises(InvariantError, match="no kernel image"):
        await MicroBatcher(lambda: broken, BatcherOptions(), Metrics().texts).start()


async def test_the_warm_up_finds_out_that_the_budget_is_too_large_for_the_device():
    class Local(ScriptedEncoder):
        provider = "cpu"

    async with batcher(Local(memory_tokens=300), max_tokens=4096) as made:
        assert made._thread.budget_tokens < 4096
        answers = await ask(made, [f"text {i}" for i in range(500)])
        same(answers[499], "text 499")


async def test_health_is_bad_while_texts_wait_and_nothing_ends():
    now = [0.0]
    encoder = ScriptedEncoder()
    made = MicroBatcher(lambda: encoder, BatcherOptions(), Metrics().texts, clock=lambda: now[0])
    await made.start()
    try:
        now[0] = 1000.0
        assert made.health().is_alive  # nothing waits
        encoder.gate.clear()
        encoder.entered.clear()
        call = asyncio.ensure_future(ask(made, ["one"]))
        await until(encoder.entered.is_set)
        assert made.health().is_alive
        now[0] = 1061.0
        assert not made.health().is_alive
        encoder.gate.set()
        await call
        assert made.health().is_alive
    finally:
        encoder.gate.set()
        await made.stop(1.0)


async def test_a_tokeniser_that_breaks_on_one_text_costs_only_that_text():
    class Picky(ScriptedEncoder):
        def prepare(self, texts, role):
            if "bad" in texts:
                raise TypeError("surrogates not allowed")
            return super().prepare(texts, role)

    async with batcher(Picky()) as made:
        answers = await ask(made, ["good", "bad"])
        same(answers[0], "good")
        assert answers[1] == Refused("failed", "TypeError: surrogates not allowed")


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_comes_and_dies_every_text_of_every_call_is_answered(seed):
    rng = random.Random(seed)
    harms = ["", "BOOM", "NAN", "ZERO", "KILL"]
    async with batcher(make=lambda: ScriptedEncoder(memory_tokens=100), max_tokens=128, cache_max_texts=20) as made:

        async def call():
            texts = [
                f"{rng.choice(harms) if rng.random() < 0.02 else 'word'} {rng.randrange(200)} " * rng.randrange(1, 4)
                for _ in range(rng.randrange(1, 40))
            ]
            task = asyncio.ensure_future(made.encode(texts, priority=rng.choice(list(Priority)), timeout_s=DEADLINE_S))
            if rng.random() < 0.1:
                await asyncio.sleep(0)
                task.cancel()
            done = await asyncio.gather(task, return_exceptions=True)
            if isinstance(done[0], asyncio.CancelledError):
                return
            for text, answer in zip(texts, done[0], strict=True):
                if not isinstance(answer, Refused):
                    same(answer, " ".join(text.split()))
                else:
                    assert any(harm and harm in text for harm in harms) or answer.reason == "encoder_down"

        await asyncio.wait_for(asyncio.gather(*(call() for _ in range(60))), 2 * DEADLINE_S)
        assert made._entries == {}
        assert made._thread._backlog.texts == made._thread._backlog.tokens == 0
