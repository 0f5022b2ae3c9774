"""Every metric Penchant exports, with its unit and what it is for. The reference in deploy/docs lists them; a test compares.

Labels have few values: never a user or an item id.
"""

from __future__ import annotations

import hmac
import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, start_http_server

from stream import __version__
from stream.errors import UsageError

Probe = Callable[[], str | None]
"""Why not, in a few words; None: yes. Called in a thread of the endpoint's."""

LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 2.5, 5, 10, 30, 60, 300, 3600)
DURATION_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SIZE_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
GAP_BUCKETS = (1e-16, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6)
TOKEN_BUCKETS = (16, 64, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536)


class _New:
    """Makes metrics on one registry. `labels`: names of the labels."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=self._registry)

    def gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(name, meaning, labels, registry=self._registry)

    def histogram(self, name: str, meaning: str, *labels: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(name, meaning, labels, buckets=buckets, registry=self._registry)


class InputMetrics:
    """What arrives, and what becomes of it."""

    def __init__(self, new: _New) -> None:
        self.events = new.counter("penchant_events", "Events applied to state or skipped as known, by action", "action")
        self.rejected = new.counter(
            "penchant_events_rejected", "Records sent to the dead-letter topic, by reason", "reason"
        )
        self.items_rejected = new.counter(
            "penchant_items_rejected", "Catalogue records that were not understood, by reason", "reason"
        )
        self.mended = new.counter(
            "penchant_events_mended", "Events accepted without what was odd in an optional field, by field", "field"
        )
        self.items_mended = new.counter(
            "penchant_items_mended",
            "Catalogue records accepted without what was odd in such a field, by field",
            "field",
        )
        self.fenced = new.counter("penchant_events_fenced", "Events skipped because the state already includes them")
        self.repeats = new.counter("penchant_events_repeated", "Events skipped for their event_id")
        self.rekeyed = new.counter(
            "penchant_events_rekeyed",
            "Events without a key or in another partition than their key's, produced again under their user_id",
        )
        self.withheld = new.counter(
            "penchant_events_withheld",
            "Events that were not used because their person asked for it, by why: restricted, objecting, erased",
            "why",
        )
        self.requests = new.counter(
            "penchant_privacy_requests", "Requests of people that were carried out, by kind", "request"
        )
        self.foreign = new.counter(
            "penchant_events_foreign", "Events in another partition than that of their key by the setting partitioner"
        )
        self.unknown_items = new.counter(
            "penchant_events_unknown_item", "Events about an item the catalogue does not know (yet)"
        )
        self.lost = new.counter(
            "penchant_records_lost",
            "Records the broker dropped before they were read, also while no worker ran; or control records between two chunks",
        )
        self.statistics_refused = new.counter(
            "penchant_statistics_refused", "Records of item statistics that could not be read and were passed over"
        )
        self.engagements_uncounted = new.counter(
            "penchant_engagements_uncounted",
            "First engagements that count for no item, beyond engagements_max_per_user_day of one user",
        )
        self.items_uncounted = new.counter(
            "penchant_items_uncounted",
            "Deltas of items that are not kept, beyond unknown_items_max that the catalogue does not know",
        )
        self.unknown_item_statistics = new.gauge(
            "penchant_unknown_item_statistics", "Items with statistics that the catalogue does not know"
        )
        self.rewinds = new.counter(
            "penchant_rewinds", "Times a partition was read again because a chunk did not arrive"
        )
        self.chunk_records = new.histogram("penchant_chunk_records", "Records per chunk", "topic", buckets=SIZE_BUCKETS)
        self.fetched_bytes = new.gauge(
            "penchant_fetched_bytes", "Records fetched and not yet applied; bounded by a setting"
        )
        self.lag = new.gauge("penchant_lag_records", "Records in the partition not yet read", "topic", "partition")


class WorkMetrics:
    """How long each stage takes, and what is kept meanwhile."""

    def __init__(self, new: _New) -> None:
        self.stage_seconds = new.histogram(
            "penchant_stage_duration_seconds",
            "Time per chunk or batch, by stage: decode, update, credit, items, sequence, rank, publish, counterfactual",
            "stage",
            buckets=DURATION_BUCKETS_S,
        )
        self.sequence_age = new.gauge(
            "penchant_sequence_model_age_seconds",
            "Event time since the newest event that the sequence model was trained on",
        )
        self.sequence_items = new.gauge(
            "penchant_sequence_items", "Items the sequence model has a place for; 0 without a model"
        )
        self.rules = new.gauge("penchant_rules", "Rules of the placements that count, see `penchant rules list`")
        self.explorable = new.gauge(
            "penchant_explorable_items", "Items of which little is known, or that came last, and that may be explored"
        )
        self.graduated = new.counter(
            "penchant_items_graduated",
            "Items that reached explore.max_exposures; every worker counts those of all partitions",
        )
        self.rules_refused = new.counter(
            "penchant_rules_refused", "Records of rules that are none, or conditions that could not be told of an item"
        )
        self.models_refused = new.counter(
            "penchant_models_refused", "Published sequence models that this worker could not load"
        )
        self.prequential = new.counter(
            "penchant_prequential_questions",
            "First engagements of users whose last list is known, by whether the item was among its first 10",
            "outcome",
        )
        self.dirty_users = new.gauge("penchant_dirty_users", "Users changed since the last commit")
        self.state_bytes = new.gauge("penchant_state_bytes", "RocksDB size on disk and in memtables, by table", "table")
        self.state_keys = new.gauge("penchant_state_keys", "Keys in RocksDB as it estimates them, by table", "table")
        self.restored = new.counter(
            "penchant_restored_records",
            "Changelog records written to RocksDB by a recovery or to keep a standby copy, by table",
            "table",
        )
        self.overlay_bytes = new.gauge(
            "penchant_overlay_bytes", "Memory of states changed or read since the last commit"
        )
        self.expired_users = new.counter("penchant_users_expired", "Users who were forgotten after user_ttl_days")
        self.expired_items = new.counter(
            "penchant_items_expired", "Items whose statistics were forgotten after unknown_item_ttl_days"
        )
        self.memory_bytes = new.gauge("penchant_memory_bytes", "Memory in use, by part", "part")
        self.commits = new.counter("penchant_commits", "Durable commits")
        self.commit_seconds = new.histogram(
            "penchant_commit_duration_seconds", "Time of a durable commit", buckets=DURATION_BUCKETS_S
        )
        self.commit_age = new.gauge("penchant_commit_age_seconds", "Time since the last completed commit")


class OutputMetrics:
    """What is published, and how fresh it is."""

    def __init__(self, new: _New) -> None:
        self.refresh_queue = new.gauge("penchant_refresh_queue_users", "Users waiting for a fresh list")
        self.event_users = new.gauge(
            "penchant_refresh_event_users",
            "Users waiting for a fresh list because of an event of theirs, and not owed one",
        )
        self.refresh_age = new.gauge(
            "penchant_refresh_oldest_seconds",
            "How long the longest-waiting user has waited, of those who are not owed a list",
        )
        self.late = new.counter(
            "penchant_lists_late",
            "Times that a list could not be made within list_deadline_s, and was owed from then on",
        )
        self.owed_users = new.gauge("penchant_owed_users", "Users who are owed a list because it is late")
        self.owed_age = new.gauge(
            "penchant_owed_oldest_seconds",
            "Since the Kafka timestamp of the event that has been without a list for longest, of users who are owed one",
        )
        self.owed_seconds = new.histogram(
            "penchant_owed_list_seconds",
            "From the Kafka timestamp of the oldest event that an owed list reflects to handing the list to the producer",
            buckets=LATENCY_BUCKETS_S,
        )
        self.recommendations = new.counter("penchant_recommendations", "Lists published, by trigger", "trigger")
        self.attributions = new.counter(
            "penchant_attributions", "Records of reasons published: one a list that has reasons"
        )
        self.placement_lists = new.counter(
            "penchant_placement_lists", "Lists of other placements than `home` published", "placement"
        )
        self.places = new.counter("penchant_places", "Places of published lists, by strategy", "strategy")
        self.explore_max = new.gauge(
            "penchant_explore_share_max",
            "Largest share of a placement's places that explore, by the settings: rate times explored places by places",
        )
        self.outcomes = new.counter(
            "penchant_outcomes",
            "Clicks, carts, purchases and refunds credited, by action and by evidence: named, impression, list, none",
            "action",
            "evidence",
        )
        self.click_examples = new.gauge(
            "penchant_click_examples",
            "Impressions that the click probabilities of a partition's users were learned from, since the beginning",
            "partition",
        )
        self.newcomers = new.gauge(
            "penchant_newcomers", "Newcomers whose first choices say which list newcomers get; older ones count less"
        )
        self.newcomer_list = new.gauge(
            "penchant_newcomer_list", "1 for the count that makes the lists of people without history", "expert"
        )
        self.newcomer_gain = new.gauge(
            "penchant_newcomer_gain",
            "Mean NDCG@10 that newcomers' first choices had in each list, above that by all-time counts",
            "expert",
        )
        self.newcomer_gain_error = new.gauge(
            "penchant_newcomer_gain_error", "Standard error of penchant_newcomer_gain", "expert"
        )
        self.newcomer_context = new.gauge(
            "penchant_newcomer_context",
            "1 for what of the moment the lists of people without history are made for",
            "made_for",
        )
        self.newcomer_context_gain = new.gauge(
            "penchant_newcomer_context_gain",
            "Mean NDCG@10 of newcomers' first choices in the list that serves made for it, above the same made for nothing",
            "made_for",
        )
        self.newcomer_context_gain_error = new.gauge(
            "penchant_newcomer_context_gain_error", "Standard error of penchant_newcomer_context_gain", "made_for"
        )
        self.few_items_judgements = new.gauge(
            "penchant_few_items_judgements",
            "Choices of people with fewer than five items that say what is added for them; older ones count less",
        )
        self.few_items_added = new.gauge(
            "penchant_few_items_added",
            "Weight with which the list of newcomers is added to the scores of people with fewer than five items",
        )
        self.few_items_gain = new.gauge(
            "penchant_few_items_gain",
            "Mean NDCG@10 of what such people took in their list with each weight, above that with none",
            "added",
        )
        self.few_items_gain_error = new.gauge(
            "penchant_few_items_gain_error", "Standard error of penchant_few_items_gain", "added"
        )
        self.strategy_feedback = new.gauge(
            "penchant_strategy_feedback",
            "What ranking adds to the score of an item of a strategy for what the strategy earned, as log-odds",
            "strategy",
        )
        self.quarantined = new.counter(
            "penchant_quarantined",
            "Times that a user went without something because of what is stored for them or made of it, by what: state, "
            "ledger, list, reasons",
            "cause",
        )
        self.completeness_gap = new.histogram(
            "penchant_completeness_gap",
            "How far score and the sum of contributions and parts are apart, as a share of the score: largest of a batch",
            buckets=GAP_BUCKETS,
        )
        self.freshness_seconds = new.histogram(
            "penchant_event_to_recommendation_seconds",
            "From the Kafka timestamp of the oldest event a list newly reflects to handing the list to the producer; without "
            "events whose list was owed",
            buckets=LATENCY_BUCKETS_S,
        )
        self.producer_queue = new.gauge("penchant_producer_queue_records", "Records not yet acknowledged by the broker")


class TextMetrics:
    """The text encoder and the vectors it makes."""

    def __init__(self, new: _New) -> None:
        self.vectors = new.gauge("penchant_item_vectors", "Items that have a text vector")
        self.vectors_waiting = new.gauge(
            "penchant_item_vectors_waiting", "Items whose text vector is being looked up or made"
        )
        self.vectors_without_room = new.gauge(
            "penchant_item_vectors_without_room", "Items that go without a text vector, beyond vectors_max_bytes"
        )
        self.encoder_queue_texts = new.gauge("penchant_encoder_queue_texts", "Texts waiting for the encoder")
        self.encoder_queue_tokens = new.gauge("penchant_encoder_queue_tokens", "Tokens waiting for the encoder")
        self.encoder_queue_age = new.gauge(
            "penchant_encoder_queue_oldest_seconds", "How long the longest-waiting text has waited"
        )
        self.encoder_batch_texts = new.histogram(
            "penchant_encoder_batch_texts", "Texts per batch", buckets=SIZE_BUCKETS
        )
        self.encoder_batch_tokens = new.histogram(
            "penchant_encoder_batch_tokens", "Tokens per batch, padded", buckets=TOKEN_BUCKETS
        )
        self.encoder_padding = new.counter(
            "penchant_encoder_padding_tokens",
            "Tokens that were only padding; divide by the sum of penchant_encoder_batch_tokens",
        )
        self.encoder_dispatches = new.counter(
            "penchant_encoder_dispatches", "Batches, by reason: full, idle, waited, alone", "reason"
        )
        self.encoder_stage_seconds = new.histogram(
            "penchant_encoder_stage_duration_seconds",
            "Time by stage: prepare (per call), queue (oldest text of a batch), encode (per batch)",
            "stage",
            buckets=DURATION_BUCKETS_S,
        )
        self.encoder_texts = new.counter(
            "penchant_encoder_texts", "Texts answered with a vector, by how: encoded, cached, coalesced", "outcome"
        )
        self.encoder_refused = new.counter(
            "penchant_encoder_texts_refused", "Texts answered without a vector, by reason", "reason"
        )
        self.encoder_bisections = new.counter(
            "penchant_encoder_bisections", "Failing batches cut in two to find the text"
        )
        self.encoder_restarts = new.counter(
            "penchant_encoder_restarts", "Times the encoder was loaded anew after it died or hung"
        )
        self.encoder_budget = new.gauge(
            "penchant_encoder_budget_tokens",
            "Tokens a batch may have now; below the setting after the device ran out of memory",
        )
        self.encoder_alive = new.gauge(
            "penchant_encoder_alive", "1 while texts that wait are being encoded, 0 when not"
        )
        self.encoder_provider = new.gauge(
            "penchant_encoder_provider", "1 for the provider the encoder runs on", "provider"
        )


class WorkerMetrics:
    """The worker itself."""

    def __init__(self, new: _New) -> None:
        self.catalog_items = new.gauge("penchant_catalog_items", "Items in the catalogue")
        self.stats_items = new.gauge("penchant_statistics_items", "Items with statistics")
        self.items_without_neighbours = new.gauge(
            "penchant_items_without_neighbours", "Items whose neighbours have no room, beyond statistics_max_bytes"
        )
        self.partitions = new.gauge("penchant_partitions", "Partitions of the events topic owned")
        self.journal_bytes = new.gauge(
            "penchant_journal_bytes",
            "Written to the journal; 0 without `journal_dir`, and it stays where a journal ended",
        )
        self.stalled = new.gauge(
            "penchant_stalled_seconds", "How long nothing has moved that should; at watchdog_stall_s the worker exits"
        )
        self.ready = new.gauge(
            "penchant_ready", "1 while the process is ready, 0 while not, by what it is: worker, serve", "role"
        )
        self.free_bytes = new.gauge("penchant_disk_free_bytes", "Room on the disk of the data directory")
        self.disk_bytes = new.gauge("penchant_disk_size_bytes", "Size of the disk of the data directory")
        self.memory_limit = new.gauge(
            "penchant_memory_limit_bytes", "Memory of the machine, or of the container where that has less"
        )
        self.certificate_expiry = new.gauge(
            "penchant_certificate_expiry_timestamp_seconds",
            "Unix time at which the first certificate of a file ends, by the setting that names the file; 0: it cannot be read",
            "certificate",
        )
        self.rebalances = new.counter("penchant_rebalances", "Times partitions were revoked")
        self.throttled = new.counter(
            "penchant_kafka_throttled_seconds",
            "Time that brokers held answers back because a client exceeded a quota, over this worker's writers and replicas",
        )


class ServeMetrics:
    """`penchant serve`."""

    def __init__(self, new: _New) -> None:
        self.requests = new.counter(
            "penchant_http_requests", "Requests answered, by route and status", "route", "status"
        )
        self.seconds = new.histogram(
            "penchant_http_request_duration_seconds",
            "From a request's head to the last byte of its answer, by route; without streams",
            "route",
            buckets=DURATION_BUCKETS_S,
        )
        self.in_work = new.gauge("penchant_http_requests_in_work", "Requests that are being answered")
        self.turned_away = new.counter(
            "penchant_http_requests_turned_away", "Requests answered 429, beyond serve_max_requests"
        )
        self.lists = new.counter(
            "penchant_served_lists", "Lists answered, by how: published, or ranked for the request", "how"
        )
        self.not_fresh = new.counter(
            "penchant_served_lists_not_fresh",
            "Lists answered that did not reflect the event that was asked for in time",
        )
        self.events = new.counter("penchant_http_events", "Events accepted over HTTP and acknowledged by the broker")
        self.lag = new.gauge(
            "penchant_followed_lag_records", "Records of a followed topic that are not yet here", "topic"
        )
        self.ready = new.gauge("penchant_serve_ready", "1 while topics are followed to their ends, 0 when not")


class Metrics:
    """One instance per worker, on a registry of its own so that tests and several workers in a process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # `process_resident_memory_bytes` and its kind, where there is /proc
        new = _New(self.registry)
        self.input, self.work, self.output = InputMetrics(new), WorkMetrics(new), OutputMetrics(new)
        self.texts, self.worker, self.http = TextMetrics(new), WorkerMetrics(new), ServeMetrics(new)
        build = Info("penchant_build", "Version of Penchant and Python", registry=self.registry)
        build.info({"version": __version__, "python": platform.python_version()})

    def serve(
        self, host: str, port: int, probes: Mapping[str, Probe] | None = None, token: str | None = None
    ) -> WSGIServer | None:
        """Start the endpoint; port 0 means none. `/metrics` has the metrics, each path of `probes` what that answers, and
        nothing else is there.

        Args:
            host, port: where it listens.
            probes: answered to everybody: they say whether the worker lives, and nothing of what it knows.
            token: what whoever asks for `/metrics` has to show as `Authorization: Bearer TOKEN`; None: nothing.

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
        server.set_app(_routed(server.get_app(), probes or {}, token))
        return server


def _routed(metrics: Any, probes: Mapping[str, Probe], token: str | None = None) -> Any:
    """The WSGI application. That of prometheus_client answers every path with the metrics, so any probe would be green."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        path = environ["PATH_INFO"]
        if path == "/metrics" and _is_let_in(environ, token):
            return metrics(environ, start_response)
        if path == "/metrics":
            status, text = "401 Unauthorized", "the token is missing or wrong. Fix: send `Authorization: Bearer TOKEN`"
        elif path in probes:
            why_not = probes[path]()
            status, text = ("200 OK", "ok") if why_not is None else ("503 Service Unavailable", why_not)
        else:
            status, text = "404 Not Found", f"there is {', '.join(['/metrics', *probes])}"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else f"{text}\n".encode()]

    return answer


def _is_let_in(environ: Mapping[str, Any], token: str | None) -> bool:
    shown = str(environ.get("HTTP_AUTHORIZATION", ""))
    return token is None or hmac.compare_digest(shown.encode(), f"Bearer {token}".encode())
