"""Encoders that fail in every way that encoders fail, and the means to wait without sleeping."""

from __future__ import annotations

import threading

import numpy as np

from models.encoder.errors import OutOfMemoryError
from models.encoder.hashing_encoder import HashingEncoder


class ScriptedEncoder(HashingEncoder):
    """The hashing encoder with texts that do harm.

    Words: `BOOM` raises, `NAN` and `ZERO` give such rows, `KILL` ends the thread (SystemExit), `HANG` waits for `release`.
    More than `memory_tokens` padded tokens are out of memory. `log` holds the texts of every call. While `gate` is cleared,
    calls wait.
    """

    def __init__(self, memory_tokens=10**9, dims=16, max_tokens=64):
        super().__init__(dims, max_tokens)
        self.memory_tokens = memory_tokens
        self.log = []
        self.gate, self.release, self.entered = threading.Event(), threading.Event(), threading.Event()
        self.gate.set()
        self.is_broken = False
        self.is_closed = False

    def encode(self, batch):
        texts = [each.text for each in batch]
        self.log.append(texts)
        self.entered.set()
        assert self.gate.wait(30)
        words = [text.split() for text in texts]
        if self.is_broken or any("BOOM" in each for each in words):
            raise RuntimeError("no kernel image")
        if any("KILL" in each for each in words):
            raise SystemExit("killed")
        if any("HANG" in each for each in words):
            self.release.wait(30)
        if max(each.tokens for each in batch) * len(batch) > self.memory_tokens:
            raise OutOfMemoryError("CUDA out of memory")
        rows = super().encode(batch)
        for row, each in zip(rows, words, strict=True):
            if "NAN" in each:
                row[0] = np.nan
            if "ZERO" in each:
                row[:] = 0
        return rows

    def close(self):
        self.is_closed = True


def expected(text, dims=16, max_tokens=64):
    """What any encoder here must say about a harmless text."""
    encoder = HashingEncoder(dims, max_tokens)
    return encoder.encode(encoder.prepare([text], "passage"))[0]
