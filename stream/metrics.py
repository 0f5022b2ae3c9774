"""Every metric Penchant exports, with its unit and what it is for. `deploy/docs/metrics.md` lists them; a test compares.

Labels have few values: never a user or an item id.
"""

from __future__ import annotations

import platform
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, start_http_server

from stream import __version__
from stream.errors import UsageError

LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
DURATION_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SIZE_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
GAP_BUCKETS = (1e-16, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6)
TOKEN_BUCKETS = (16, 64, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536)


class Metrics:
    """One instance per worker, on a registry of its own so that tests and several workers in a process do not meet."""

    def __init__(self) -> None:  # noqa: PLR0915  (one statement a metric)
        self.registry = registry = CollectorRegistry()

        # Input: what arrives, and what becomes of it.
        self.events = Counter(
            "penchant_events", "Events applied to state or skipped as known, by action", ["action"], registry=registry
        )
        self.rejected = Counter(
            "penchant_events_rejected",
            "Records sent to the dead-letter topic, by reason",
            ["reason"],
            registry=registry,
        )
        self.items_rejected = Counter(
            "penchant_items_rejected",
            "Catalogue records that were not understood, by reason",
            ["reason"],
            registry=registry,
        )
        self.fenced = Counter(
            "penchant_events_fenced", "Events skipped because the state already includes them", registry=registry
        )
        self.repeats = Counter("penchant_events_repeated", "Events skipped for their event_id", registry=registry)
        self.rekeyed = Counter(
            "penchant_events_rekeyed", "Events without a key, produced again under their user_id", registry=registry
        )
        self.unknown_items = Counter(
            "penchant_events_unknown_item", "Events about an item the catalogue does not know (yet)", registry=registry
        )
        self.lost = Counter(
            "penchant_records_lost",
            "Offsets missing between two chunks: records the broker dropped before they were read, or control records",
            registry=registry,
        )
        self.rewinds = Counter(
            "penchant_rewinds", "Times a partition was read again because a chunk did not arrive", registry=registry
        )
        self.chunk_records = Histogram(
            "penchant_chunk_records", "Records per chunk", ["topic"], buckets=SIZE_BUCKETS, registry=registry
        )
        self.fetched_bytes = Gauge(
            "penchant_fetched_bytes", "Records fetched and not yet applied; bounded by a setting", registry=registry
        )
        self.lag = Gauge(
            "penchant_lag_records", "Records in the partition not yet read", ["topic", "partition"], registry=registry
        )

        # Work: how long each stage takes.
        self.stage_seconds = Histogram(
            "penchant_stage_duration_seconds",
            "Time per chunk or batch, by stage: decode, update, credit, items, sequence, rank, publish, counterfactual",
            ["stage"],
            buckets=DURATION_BUCKETS_S,
            registry=registry,
        )
        self.sequence_age = Gauge(
            "penchant_sequence_model_age_seconds",
            "Event time since the newest event that the sequence model was trained on",
            registry=registry,
        )
        self.sequence_items = Gauge(
            "penchant_sequence_items", "Items the sequence model has a place for; 0 without a model", registry=registry
        )
        self.models_refused = Counter(
            "penchant_models_refused", "Published sequence models that this worker could not load", registry=registry
        )
        self.prequential = Counter(
            "penchant_prequential_questions",
            "First engagements of users whose last list is known, by whether the item was among its first 10",
            ["outcome"],
            registry=registry,
        )
        self.dirty_users = Gauge("penchant_dirty_users", "Users changed since the last commit", registry=registry)
        self.state_bytes = Gauge(
            "penchant_state_bytes", "RocksDB size on disk and in memtables, by table", ["table"], registry=registry
        )
        self.state_keys = Gauge(
            "penchant_state_keys", "Keys in RocksDB as it estimates them, by table", ["table"], registry=registry
        )
        self.restored = Counter(
            "penchant_restored_records",
            "Changelog records written to RocksDB by a recovery or to keep a standby copy, by table",
            ["table"],
            registry=registry,
        )
        self.overlay_bytes = Gauge(
            "penchant_overlay_bytes", "Memory of states changed or read since the last commit", registry=registry
        )
        self.commits = Counter("penchant_commits", "Durable commits", registry=registry)
        self.commit_seconds = Histogram(
            "penchant_commit_duration_seconds",
            "Time of a durable commit",
            buckets=DURATION_BUCKETS_S,
            registry=registry,
        )
        self.commit_age = Gauge(
            "penchant_commit_age_seconds", "Time since the last completed commit", registry=registry
        )

        # Output: what is published, and how fresh it is.
        self.refresh_queue = Gauge("penchant_refresh_queue_users", "Users waiting for a fresh list", registry=registry)
        self.refresh_age = Gauge(
            "penchant_refresh_oldest_seconds", "How long the longest-waiting user has waited", registry=registry
        )
        self.recommendations = Counter(
            "penchant_recommendations", "Lists published, by trigger", ["trigger"], registry=registry
        )
        self.attributions = Counter("penchant_attributions", "Attribution records published", registry=registry)
        self.outcomes = Counter(
            "penchant_outcomes",
            "Clicks, carts, purchases and refunds credited, by action and by evidence: named, impression, list, none",
            ["action", "evidence"],
            registry=registry,
        )
        self.click_examples = Gauge(
            "penchant_click_examples",
            "Impressions that the click probabilities of a partition's users were learned from, since the beginning",
            ["partition"],
            registry=registry,
        )
        self.strategy_feedback = Gauge(
            "penchant_strategy_feedback",
            "What ranking adds to the score of an item of a strategy for what the strategy earned, as log-odds",
            ["strategy"],
            registry=registry,
        )
        self.completeness_gap = Histogram(
            "penchant_completeness_gap",
            "How far score and the sum of contributions and parts are apart, as a share of the score: largest of a batch",
            buckets=GAP_BUCKETS,
            registry=registry,
        )
        self.freshness_seconds = Histogram(
            "penchant_event_to_recommendation_seconds",
            "From the Kafka timestamp of the oldest event a list newly reflects to handing the list to the producer",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.producer_queue = Gauge(
            "penchant_producer_queue_records", "Records not yet acknowledged by the broker", registry=registry
        )

        # The text encoder.
        self.vectors = Gauge("penchant_item_vectors", "Items that have a text vector", registry=registry)
        self.vectors_waiting = Gauge(
            "penchant_item_vectors_waiting", "Items whose text vector is being looked up or made", registry=registry
        )
        self.encoder_queue_texts = Gauge(
            "penchant_encoder_queue_texts", "Texts waiting for the encoder", registry=registry
        )
        self.encoder_queue_tokens = Gauge(
            "penchant_encoder_queue_tokens", "Tokens waiting for the encoder", registry=registry
        )
        self.encoder_queue_age = Gauge(
            "penchant_encoder_queue_oldest_seconds", "How long the longest-waiting text has waited", registry=registry
        )
        self.encoder_batch_texts = Histogram(
            "penchant_encoder_batch_texts", "Texts per batch", buckets=SIZE_BUCKETS, registry=registry
        )
        self.encoder_batch_tokens = Histogram(
            "penchant_encoder_batch_tokens", "Tokens per batch, padded", buckets=TOKEN_BUCKETS, registry=registry
        )
        self.encoder_padding = Counter(
            "penchant_encoder_padding_tokens",
            "Tokens that were only padding; divide by the sum of penchant_encoder_batch_tokens",
            registry=registry,
        )
        self.encoder_dispatches = Counter(
            "penchant_encoder_dispatches",
            "Batches, by reason: full, idle, waited, alone",
            ["reason"],
            registry=registry,
        )
        self.encoder_stage_seconds = Histogram(
            "penchant_encoder_stage_duration_seconds",
            "Time by stage: prepare (per call), queue (oldest text of a batch), encode (per batch)",
            ["stage"],
            buckets=DURATION_BUCKETS_S,
            registry=registry,
        )
        self.encoder_texts = Counter(
            "penchant_encoder_texts",
            "Texts answered with a vector, by how: encoded, cached, coalesced",
            ["outcome"],
            registry=registry,
        )
        self.encoder_refused = Counter(
            "penchant_encoder_texts_refused",
            "Texts answered without a vector, by reason",
            ["reason"],
            registry=registry,
        )
        self.encoder_bisections = Counter(
            "penchant_encoder_bisections", "Failing batches cut in two to find the text", registry=registry
        )
        self.encoder_restarts = Counter(
            "penchant_encoder_restarts", "Times the encoder was loaded anew after it died or hung", registry=registry
        )
        self.encoder_budget = Gauge(
            "penchant_encoder_budget_tokens",
            "Tokens a batch may have now; below the setting after the device ran out of memory",
            registry=registry,
        )
        self.encoder_alive = Gauge(
            "penchant_encoder_alive", "1 while texts that wait are being encoded, 0 when not", registry=registry
        )
        self.encoder_provider = Gauge(
            "penchant_encoder_provider", "1 for the provider the encoder runs on", ["provider"], registry=registry
        )

        # The worker itself.
        self.catalog_items = Gauge("penchant_catalog_items", "Items in the catalogue", registry=registry)
        self.stats_items = Gauge("penchant_statistics_items", "Items with statistics", registry=registry)
        self.partitions = Gauge("penchant_partitions", "Partitions of the events topic owned", registry=registry)
        self.stalled = Gauge(
            "penchant_stalled_seconds",
            "How long nothing has moved that should; at watchdog_stall_s the worker exits",
            registry=registry,
        )
        self.rebalances = Counter("penchant_rebalances", "Times partitions were revoked", registry=registry)
        self.build = Info("penchant_build", "Version of Penchant and Python", registry=registry)
        self.build.info({"version": __version__, "python": platform.python_version()})

    def serve(self, host: str, port: int) -> WSGIServer | None:
        """Start the endpoint; port 0 means none.

        Raises:
            UsageError: the address is taken.
        """
        if port == 0:
            return None
        try:
            server, _ = start_http_server(port, host, registry=self.registry)
        except OSError as error:
            raise UsageError(
                f"metrics endpoint {host}:{port} cannot be opened: {error.strerror}.",
                "choose another --metrics-port, or 0 for none",
            ) from None
        return server
