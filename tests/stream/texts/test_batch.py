"""One batch, whatever happens: every text gets its vector or its reason, and only the text to blame is blamed."""

from __future__ import annotations

import numpy as np
import pytest
from encoder_fakes import ScriptedEncoder, expected
from hypothesis import given
from hypothesis import strategies as st

from models.encoder.errors import OutOfMemoryError
from stream.texts.batch import GROW_AFTER, Budget, EncoderBrokenError, Refused, run_batch

HARM = {"BOOM": "failed", "NAN": "not_finite", "ZERO": "zero_norm"}


def run(encoder, texts, budget=None):
    probe = encoder.prepare(["a good text"], "passage")[0]
    return run_batch(encoder, encoder.prepare(texts, "passage"), budget or Budget(4096), probe)


def check(texts, answers):
    for text, answer in zip(texts, answers, strict=True):
        harm = next((HARM[word] for word in text.split() if word in HARM), None)
        if harm is None:
            np.testing.assert_allclose(answer, expected(text), atol=1e-6)
        else:
            assert answer.reason == harm, text


@given(
    st.lists(st.sampled_from(["red shoes", "blue", "BOOM now", "a NAN b", "ZERO", "x y z"]), min_size=1, max_size=40)
)
def test_every_harmless_text_gets_its_vector_and_every_harmful_one_its_reason(words):
    texts = [f"{word} {i}" for i, word in enumerate(words)]
    check(texts, run(ScriptedEncoder(), texts).answers)


def test_one_bad_text_among_many_is_found_in_logarithmically_many_calls():
    encoder = ScriptedEncoder()
    texts = [f"text {i}" for i in range(256)]
    texts[77] = "BOOM"
    outcome = run(encoder, texts)
    check(texts, outcome.answers)
    assert outcome.bisections == 8
    assert len(encoder.log) <= 2 + 1 + 2 * 8 + 1  # twice whole, the probe, two halves a level, once more alone


def test_a_failure_that_passes_blames_nobody():
    class Flaky(ScriptedEncoder):
        def encode(self, batch):
            if not self.log:
                self.log.append([])
                raise RuntimeError("a hiccup")
            return super().encode(batch)

    texts = ["one", "two"]
    outcome = run(Flaky(), texts)
    check(texts, outcome.answers)
    assert outcome.bisections == 0


@given(st.integers(1, 60), st.integers(8, 200))
def test_out_of_memory_cuts_the_batch_and_lowers_the_budget_without_blame(n, memory_tokens):
    encoder, budget = ScriptedEncoder(memory_tokens=memory_tokens), Budget(4096)
    texts = [f"some words {i}" for i in range(n)]  # 3 tokens each
    check(texts, run(encoder, texts, budget).answers)
    assert budget.tokens < 4096 if 3 * n > memory_tokens else budget.tokens == 4096


def test_a_single_text_that_is_too_large_for_the_device_is_refused():
    texts = ["short", " ".join(f"w{i}" for i in range(50))]
    answers = run(ScriptedEncoder(memory_tokens=40), texts).answers
    np.testing.assert_allclose(answers[0], expected("short"), atol=1e-6)
    assert answers[1].reason == "out_of_memory"


def test_a_broken_encoder_is_not_blamed_on_the_texts():
    encoder = ScriptedEncoder()
    encoder.is_broken = True
    with pytest.raises(EncoderBrokenError, match="no kernel image"):
        run(encoder, ["one", "two", "three"])
    assert len(encoder.log) == 3


def test_vectors_of_a_wrong_shape_are_no_vectors():
    class Short(ScriptedEncoder):
        def encode(self, batch):
            return super().encode(batch)[:-1]

    with pytest.raises(EncoderBrokenError):
        run(Short(), ["one", "two"])


def test_answers_do_not_keep_the_batch_alive():
    answers = run(ScriptedEncoder(), ["one", "two"]).answers
    assert all(answer.base is None for answer in answers)


def test_a_lowered_budget_comes_back_slowly_and_never_exceeds_the_setting():
    budget = Budget(1000)
    budget.halve()
    budget.halve()
    assert budget.tokens == 250
    for _ in range(GROW_AFTER):
        budget.good()
    assert budget.tokens == 500
    for _ in range(3 * GROW_AFTER):
        budget.good()
    assert budget.tokens == 1000
    for _ in range(100):
        budget.halve()
    assert budget.tokens == 64


def test_memory_error_is_out_of_memory_too():
    class Small(ScriptedEncoder):
        def encode(self, batch):
            if len(batch) > 1:
                raise MemoryError
            return super().encode(batch)

    texts = ["one", "two", "three"]
    check(texts, run(Small(), texts).answers)
    assert not issubclass(MemoryError, OutOfMemoryError)


def test_refusals_say_what_happened():
    (answer,) = run(ScriptedEncoder(), ["BOOM"]).answers
    assert answer == Refused("failed", "RuntimeError: no kernel image")
