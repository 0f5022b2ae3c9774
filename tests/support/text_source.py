"""Vectors of titles without an encoder of a worker's: there as soon as the catalogue says something else."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from models.encoder.hashing_encoder import HashingEncoder
from models.hashing import query_hash
from models.items.vectors import ItemVectors
from stream.texts.queries import Query


class InstantTexts:
    """A `TextSource` of a `Knowledge`."""

    def __init__(self, knowledge, dims=32, approximate_from=100_000):
        self.knowledge, self.encoder = knowledge, HashingEncoder(dims)
        self.items = ItemVectors("m", dims, approximate_from)
        self.known = {}
        self.queries = SimpleNamespace(model_version="m", asked=self.asked, get=self.get)
        knowledge.texts = self

    def encode(self, texts):
        return self.encoder.encode(self.encoder.prepare(texts, "passage"))

    def changed(self, indices):
        there = {index: self.knowledge.catalog.item(index) for index in indices if index >= 0}
        kept = [index for index, item in there.items() if item is not None]
        if kept:
            titles = [there[index].title for index in kept]
            self.items.put(np.array(kept, np.int32), self.encode(titles))
        gone = [index for index, item in there.items() if item is None]
        self.items.remove(np.array(gone, np.int32))

    def asked(self, _partition, queries):
        for _, text in queries:
            self.known[query_hash(text)] = Query(text, self.encode([text])[0])

    def get(self, hashes):
        return {each: self.known[each] for each in hashes if each in self.known}
