"""Text vectors in a worker: kept in step with the catalogue, from the disk where they can be, and never of two models."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
from kafka_records import event_record
from tracker_harness import Harness

from models.encoder.hashing_encoder import HashingEncoder
from models.encoder.text import HASH_BYTES, clean_text, item_text, text_hash
from models.hashing import query_hash
from models.items.catalog import Catalog, CatalogItem
from models.items.index import ItemIndex
from models.items.vectors import vector_bytes
from stream.metrics import Metrics
from stream.storage.rocks import DataDirectory
from stream.texts.batch import Refused
from stream.texts.catalogue import CatalogueVectors
from stream.texts.last_used import LastUsed
from stream.texts.queries import QueryVectors
from stream.texts.vector_store import VectorStore
from stream.wire.reasons import item_reasons

MIB = 1 << 20


class FakeBatcher:
    """The hashing encoder without a thread; remembers what it was asked for, and refuses what it is told to."""

    def __init__(self, dims=32):
        self.encoder = HashingEncoder(dims)
        self.asked = []
        self.refuse = {}

    async def encode(self, texts, *, role="passage", priority=0, timeout_s=None):
        self.asked.extend(texts)
        answers = []
        for text in texts:
            reasons = self.refuse.get(text, [])
            if reasons:
                answers.append(Refused(reasons.pop(0)))
            else:
                answers.append(self.encoder.encode(self.encoder.prepare([text], role))[0])
        return answers


class World:
    """A catalogue, a disk and what keeps its vectors."""

    def __init__(self, directory, model="m1", dims=32):
        self.directory = directory
        self.catalog = Catalog.empty(ItemIndex())
        self.batcher = FakeBatcher(dims)
        self.swaps = 0
        self.is_read = True
        self.vectors = CatalogueVectors(
            self.batcher.encode, model, dims, 64, VectorStore(directory.stores("vectors")[0], LastUsed(0)),
            directory.path / "vectors" / "serving.json", lambda: self.catalog, lambda: self.is_read, Metrics().texts,
            self.on_swap,
        )  # fmt: skip

    def on_swap(self):
        self.swaps += 1

    def change(self, **titles):
        changes = {
            item: None if title is None else CatalogItem(item_id=item, title=title) for item, title in titles.items()
        }
        self.catalog = self.catalog.apply(changes)
        from models.hashing import item_hash  # noqa: PLC0415

        indices = self.catalog.index.lookup(np.array([item_hash(item) for item in changes], np.uint64))
        self.vectors.changed(indices.tolist())
        return indices.tolist()

    async def settle(self):
        task = asyncio.ensure_future(self.vectors.run())
        for _ in range(400):
            await asyncio.sleep(0.01)
            if not self.vectors.waiting and not self.vectors._work.is_set():
                break
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    def title_vector(self, text):
        return self.batcher.encoder.encode(self.batcher.encoder.prepare([text], "passage"))[0]


@pytest.fixture
def directory(tmp_path):
    opened = DataDirectory(tmp_path, 8 * MIB, 8 * MIB)
    yield opened
    opened.close()


async def test_new_changed_and_removed_items(directory):
    world = World(directory)
    tea, cup = world.change(tea="Green tea", cup="Blue cup")
    await world.settle()
    serving = world.vectors.spaces.serving
    assert serving.get(np.array([tea]))[0] == pytest.approx(world.title_vector("Green tea"), abs=1e-3)
    world.change(tea="Black coffee", cup=None)
    await world.settle()
    assert serving.get(np.array([tea]))[0] == pytest.approx(world.title_vector("Black coffee"), abs=1e-3)
    assert serving.has(np.array([tea, cup])).tolist() == [True, False]


async def test_a_text_is_encoded_once_however_often_the_worker_starts(directory):
    World(directory).vectors._store._store.close()
    first = World(directory)
    first.change(tea="Green tea", cup="Blue cup")
    await first.settle()
    assert sorted(first.batcher.asked) == ["Blue cup", "Green tea"]
    first.vectors._store._store.close()
    second = World(directory)
    second.change(tea="Green tea", cup="Blue cup", pot="Iron pot")
    await second.settle()
    assert second.batcher.asked == ["Iron pot"]
    assert second.vectors.spaces.serving.size == 3


async def test_what_was_refused_for_want_of_room_is_tried_again_and_what_cannot_be_encoded_is_not(
    directory, monkeypatch
):
    monkeypatch.setattr("stream.texts.catalogue.RETRY_S", 0.01)
    world = World(directory)
    world.batcher.refuse = {"Green tea": ["queue_full", "too_late"], "Blue cup": ["failed"]}
    tea, cup = world.change(tea="Green tea", cup="Blue cup")
    await world.settle()
    assert world.vectors.spaces.serving.has(np.array([tea, cup])).tolist() == [True, False]
    assert world.batcher.asked.count("Green tea") == 3
    assert world.batcher.asked.count("Blue cup") == 1


async def test_another_models_vectors_serve_only_when_all_are_there_and_never_mixed(directory):
    old = World(directory, "m1", 32)
    old.change(tea="Green tea", cup="Blue cup")
    await old.settle()
    old.vectors._store._store.close()
    new = World(directory, "m2", 16)
    assert new.vectors.spaces.serving.model_version == "m1"
    seen = []

    async def watched(texts, **kwargs):
        seen.append((new.vectors.spaces.serving.model_version, new.vectors.spaces.serving.size))
        return await FakeBatcher.encode(new.batcher, texts, **kwargs)

    new.vectors._encode = watched
    new.change(tea="Green tea", cup="Blue cup")
    await new.settle()
    assert seen == [("m1", 2)], "the old vectors served, all of them, while the new ones were made"
    serving = new.vectors.spaces.serving
    assert (serving.model_version, serving.dims, serving.size, new.swaps) == ("m2", 16, 2, 1)
    text = [text_hash(clean_text("Green tea", 64))]
    deadline = asyncio.get_running_loop().time() + 10.0
    while new.vectors._store.get(text, "m1", 32)[1].any():  # a thread deletes them
        assert asyncio.get_running_loop().time() < deadline, "the old ones are not kept for ever"
        await asyncio.sleep(0.01)
    assert new.vectors._store.get(text, "m2", 16)[1].all()
    new.vectors._store._store.close()
    assert World(directory, "m2", 16).vectors.spaces.coming is None


async def test_before_the_catalogue_has_been_read_no_set_of_vectors_is_complete(directory, monkeypatch):
    monkeypatch.setattr("stream.texts.catalogue.SWAP_POLL_S", 0.01)
    old = World(directory, "m1")
    old.change(tea="Green tea")
    await old.settle()
    old.vectors._store._store.close()
    new = World(directory, "m2")
    new.is_read = False
    task = asyncio.ensure_future(new.vectors.run())  # starts before anything of the catalogue has come
    await asyncio.sleep(0.05)
    new.change(tea="Green tea")
    await asyncio.sleep(0.1)
    assert new.vectors.spaces.serving.model_version == "m1"
    assert new.vectors.spaces.serving.size == 1
    new.is_read = True
    await asyncio.sleep(0.1)
    assert (new.vectors.spaces.serving.model_version, new.swaps) == ("m2", 1)
    new.change(cup="Blue cup")
    await asyncio.sleep(0.1)
    assert new.vectors.spaces.serving.size == 2
    task.cancel()


async def test_a_query_gets_its_vector_once_and_keeps_its_text(directory):
    batcher, ready = FakeBatcher(), []
    stores = directory.stores("queries")

    def opened():
        return QueryVectors(
            batcher.encode,
            "m1",
            32,
            stores[1],
            query_hash,
            lambda p, user: ready.append((p, user)),
            Metrics().texts,
            LastUsed(0),
        )

    queries = opened()
    queries.asked(3, [(b"ann", "green tea"), (b"bob", "   ")])
    task = asyncio.ensure_future(queries.run())
    for _ in range(200):
        await asyncio.sleep(0.01)
        if ready:
            break
    task.cancel()
    assert ready == [(3, b"ann")]
    for each in (queries, opened()):
        found = each.get([query_hash("green tea"), query_hash("never asked")])
        assert list(found) == [query_hash("green tea")]
        assert found[query_hash("green tea")].text == "green tea"
        assert found[query_hash("green tea")].vector == pytest.approx(
            batcher.encoder.encode(batcher.encoder.prepare(["green tea"], "query"))[0], abs=1e-3
        )


async def test_queries_beyond_the_bound_are_counted_as_refused(directory, monkeypatch):
    monkeypatch.setattr("stream.texts.queries.MAX_WAITING", 1)
    metrics = Metrics()
    queries = QueryVectors(
        FakeBatcher().encode,
        "m1",
        32,
        directory.stores("queries")[0],
        query_hash,
        lambda *_: None,
        metrics.texts,
        LastUsed(0),
    )
    queries.asked(0, [(b"ann", "tea"), (b"bob", "cup"), (b"eve", " ")])
    assert metrics.registry.get_sample_value("penchant_encoder_texts_refused_total", {"reason": "queue_full"}) == 1


async def test_vectors_of_texts_that_the_catalogue_has_not_had_for_long_go_from_the_disk_after_a_start(directory):
    stores, day = directory.stores("aged"), 1000
    world = World(directory)

    def opened():
        used = LastUsed(90, lambda: day)
        world.catalog = Catalog.empty(ItemIndex())
        world.vectors = CatalogueVectors(
            world.batcher.encode, "m1", 32, 64, VectorStore(stores[0], used), directory.path / "serving.json",
            lambda: world.catalog, lambda: world.is_read, Metrics().texts, world.on_swap,
        )  # fmt: skip
        return world

    async def served(world, **titles):
        world.change(**titles)
        task = asyncio.ensure_future(world.vectors.run())
        for _ in range(200):
            await asyncio.sleep(0.01)
            if not world.vectors.waiting and world.vectors._looked_through:
                break
        await asyncio.sleep(0.1)
        task.cancel()

    await served(opened(), cup="Red cup", pan="Iron pan")
    day += 89
    await served(opened(), cup="Red cup", pan="Steel pan")  # the text of before is of no use any more
    assert len(list(stores[0].items())) == 3
    day += 30
    await served(opened(), cup="Red cup", pan="Steel pan")
    texts = [clean_text(item_text(CatalogItem(item_id="x", title=title)), 64) for title in ("Red cup", "Steel pan")]
    left = {key[-HASH_BYTES:] for key, _ in stores[0].items()}
    assert left == {text_hash(text) for text in texts}


async def test_queries_that_nobody_has_needed_for_long_go_from_the_disk(directory):
    batcher, stores, day = FakeBatcher(), directory.stores("queries"), 1000

    def opened():
        return QueryVectors(
            batcher.encode, "m1", 32, stores[0], query_hash, lambda *_: None, Metrics().texts, LastUsed(90, lambda: day)
        )

    def forgotten(queries):
        return asyncio.wait_for(asyncio.ensure_future(queries.forget_unused()), 0.2)

    def left():
        return {query.text for query in opened().get([query_hash(text) for text in ("tea", "cup", "pan")]).values()}

    queries = opened()
    queries.asked(0, [(b"ann", "tea"), (b"bob", "cup")])
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.ensure_future(queries.run()), 0.3)
    (_key, value), *_ = stores[0].items()
    written_by_0_2 = value[:-3]
    day += 60
    assert set(queries.get([query_hash("tea")])) == {query_hash("tea")}  # a list needs it, from memory
    stores[0].write([(queries._key(query_hash("pan")), written_by_0_2[:64] + b"pan")], None)
    day += 60
    with suppress(TimeoutError):
        await forgotten(opened())
    day -= 60  # else to look would be of use
    assert {query.text for query in map(queries._unpack, (value for _, value in stores[0].items()))} == {"tea", "pan"}
    day += 160
    with suppress(TimeoutError):
        await forgotten(opened())
    assert left() == set()


async def test_at_the_bound_of_memory_further_items_go_without_a_vector_and_a_new_model_serves_all_the_same(directory):
    world = World(directory)
    metrics = Metrics()

    def vectors_of(model, most):
        stores = directory.stores(f"bounded-{model}")
        return CatalogueVectors(
            world.batcher.encode, model, 32, 64, VectorStore(stores[0], LastUsed(0)), directory.path / "bounded.json",
            lambda: world.catalog, lambda: True, metrics.texts, world.on_swap, max_bytes=most * vector_bytes(32),
        )  # fmt: skip

    def without_room():
        return metrics.registry.get_sample_value("penchant_item_vectors_without_room")

    world.vectors = vectors_of("m1", 3)
    task = asyncio.ensure_future(world.vectors.run())
    world.change(**{f"i{n}": f"Item {n}" for n in range(5)})
    await asyncio.sleep(0.2)
    assert (world.vectors.spaces.serving.size, without_room()) == (3, 2)
    world.change(i0=None, i4="Item four")  # one goes, and one that had no room comes again
    await asyncio.sleep(0.2)
    assert (world.vectors.spaces.serving.size, without_room()) == (3, 1)
    task.cancel()

    world.vectors = vectors_of("m2", 2)
    task = asyncio.ensure_future(world.vectors.run())
    world.vectors.changed(range(5))
    await asyncio.sleep(0.3)
    assert world.vectors.spaces.serving.model_version == "m2"
    task.cancel()


# --- in the tracker


def published_by(harness):
    batch = harness.tracker.queue.next_batch(4000)
    return harness.tracker.refresh(0, batch.due, harness.now_ms, 0.0)


@pytest.fixture
def harness(tmp_path):
    made = Harness(tmp_path)
    yield made
    made.directory.close()


async def with_texts(harness, titles):
    batcher = FakeBatcher(64)
    vectors = CatalogueVectors(
        batcher.encode, "m1", 64, 64, VectorStore(harness.directory.stores("vectors")[0], LastUsed(0)),
        harness.directory.path / "serving.json", lambda: harness.tracker.knowledge.catalog, lambda: True, Metrics().texts,
        lambda: None,
    )  # fmt: skip
    queries = QueryVectors(
        batcher.encode,
        "m1",
        64,
        harness.directory.stores("queries")[0],
        query_hash,
        lambda *_: None,
        Metrics().texts,
        LastUsed(0),
    )
    harness.tracker.knowledge.texts = SimpleNamespace(
        items=vectors.spaces.serving, queries=queries, changed=vectors.changed
    )
    changes = {item: CatalogItem(item_id=item, title=title) for item, title in titles.items()}
    tracker = harness.tracker
    tracker.knowledge.catalog = tracker.knowledge.catalog.apply(changes)
    indices = tracker.knowledge.index.lookup(
        np.array([tracker.knowledge.names.hash_of(item) for item in changes], np.uint64)
    )
    vectors.changed(indices.tolist())
    tasks = [asyncio.ensure_future(vectors.run()), asyncio.ensure_future(queries.run())]
    await asyncio.sleep(0.1)
    return tasks


TITLES = {
    "sencha": "green tea sencha leaves", "matcha": "green tea matcha powder", "drill": "cordless power drill",
    "saw": "circular power saw", "vase": "glass vase",
}  # fmt: skip


async def test_an_item_that_nobody_has_touched_reaches_those_whose_interest_it_is_by_its_text(harness):
    tasks = await with_texts(harness, TITLES)
    harness.events(("ann", "purchase", "sencha"), ("bob", "purchase", "drill"))
    lists = {p.list.record.user_id: p for p in published_by(harness)}
    for task in tasks:
        task.cancel()
    first = {user: published.list.record.items[0] for user, published in lists.items()}
    assert (first["ann"].item_id, first["bob"].item_id) == ("matcha", "saw")
    assert first["ann"].parts["interest"] > 0
    assert first["ann"].strategy == "interest"
    reason = item_reasons(lists["ann"].reasons.record)[0]
    assert [c.item_id for c in reason.contributions] == ["sencha"]
    assert reason.contributions[0].contribution == pytest.approx(first["ann"].parts["interest"], abs=5.1e-7)
    assert lists["ann"].reasons.gap < 1e-12
    assert "sencha" in reason.sentences["en"]
    assert lists["ann"].list.record.model.encoder == "m1"


async def test_what_was_searched_for_decides_and_is_said(harness):
    tasks = await with_texts(harness, TITLES)
    query = event_record(1, "ann", action="query", item_id=None, text="power saw")
    intake = harness.tracker.read(harness.users, [query])
    harness.tracker.apply(harness.users, intake, 0.0)
    await asyncio.sleep(0.1)
    (published,) = published_by(harness)
    for task in tasks:
        task.cancel()
    assert published.list.record.items[0].item_id == "saw"
    reason = item_reasons(published.reasons.record)[0]
    assert reason.sentences["en"] == "Because you searched for “power saw” just now."
    assert reason.contributions[0].item_id == "power saw"
    assert published.reasons.gap < 1e-12
