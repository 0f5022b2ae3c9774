"""The part of the dashboard about processes: what arrives, what it costs, what the machine has left."""

from __future__ import annotations

from typing import Final

from panel import ATTENTION, BAD, GOOD, Panel, Row, quantile, rate

INPUT: Final = Row(
    "Input: what arrives",
    (
        Panel(
            "Events", "Applied to state, a second.", ((rate("penchant_events_total", "action"), "{{action}}"),), "ops"
        ),
        Panel(
            "Lag",
            "Records not yet applied. It may breathe; it must not grow for minutes.",
            (("sum by (topic) (penchant_lag_records{$of})", "{{topic}}"),),
            steps=((10_000, ATTENTION), (100_000, BAD)),
        ),
        Panel(
            "Refused events",
            "Went to the dead-letter topic, by reason. `penchant dead-letter list` shows them.",
            ((rate("penchant_events_rejected_total", "reason"), "{{reason}}"),),
            "ops",
            steps=((0.1, ATTENTION),),
        ),
        Panel(
            "Odd but used",
            "Events without what was odd in a field, about unknown items, repeated, fenced; records that were lost unread.",
            (
                (rate("penchant_events_unknown_item_total", "job"), "unknown item"),
                (rate("penchant_events_repeated_total", "job"), "repeated"),
                (rate("penchant_events_fenced_total", "job"), "fenced"),
                (rate("penchant_records_lost_total", "job"), "lost"),
            ),
            "ops",
        ),
        Panel(
            "Catalogue",
            "Items, and items with statistics.",
            (
                ("max(penchant_catalog_items{$of})", "in the catalogue"),
                ("max(penchant_statistics_items{$of})", "with statistics"),
            ),
        ),
        Panel(
            "Held back by quotas",
            "Share of the time that brokers hold answers back. Not about 0: raise the quota of this client.",
            ((rate("penchant_kafka_throttled_seconds_total", "instance"), "{{instance}}"),),
            "percentunit",
            steps=((0.05, ATTENTION), (0.2, BAD)),
        ),
    ),
)
WORK: Final = Row(
    "Work: what it costs",
    (
        Panel(
            "Time of a stage",
            "99 % of chunks and batches take no longer. What grows here first is what is short.",
            ((quantile(0.99, "penchant_stage_duration_seconds", ", stage"), "{{stage}}"),),
            "s",
        ),
        Panel(
            "Commits",
            "A second, and how long one takes.",
            (
                (rate("penchant_commits_total", "instance"), "a second {{instance}}"),
                (quantile(0.99, "penchant_commit_duration_seconds"), "99 % take, s"),
            ),
        ),
        Panel(
            "Users changed, not committed",
            "Falls to 0 with each commit.",
            (("sum by (instance) (penchant_dirty_users{$of})", "{{instance}}"),),
        ),
        Panel(
            "Partitions and rebalances",
            "Partitions of each worker; a step in rebalances is a start, a stop or a lost worker.",
            (
                ("sum by (instance) (penchant_partitions{$of})", "partitions {{instance}}"),
                ("sum(penchant_rebalances_total{$of})", "rebalances"),
            ),
        ),
        Panel(
            "State",
            "RocksDB on disk and in memtables.",
            (("sum by (table) (penchant_state_bytes{$of})", "{{table}}"),),
            "bytes",
        ),
        Panel(
            "Stalled",
            "How long nothing has moved that should. At watchdog_stall_s (120 s) the worker ends itself.",
            (("max by (instance) (penchant_stalled_seconds{$of})", "{{instance}}"),),
            "s",
            steps=((30, ATTENTION), (60, BAD)),
        ),
    ),
)
TEXTS: Final = Row(
    "Texts: the encoder",
    (
        Panel(
            "Texts",
            "Answered with a vector, by how; `cached` costs nothing.",
            ((rate("penchant_encoder_texts_total", "outcome"), "{{outcome}}"),),
            "ops",
        ),
        Panel(
            "Waiting texts",
            "And how long the oldest has waited, s.",
            (
                ("sum(penchant_encoder_queue_texts{$of})", "texts"),
                ("max(penchant_encoder_queue_oldest_seconds{$of})", "oldest, s"),
            ),
        ),
        Panel(
            "Time of a stage",
            "99 % of calls and batches take no longer.",
            ((quantile(0.99, "penchant_encoder_stage_duration_seconds", ", stage"), "{{stage}}"),),
            "s",
        ),
        Panel(
            "Provider",
            "What the encoder of each process runs on. It was cuda and is cpu: the driver is gone.",
            (("max by (instance, provider) (penchant_encoder_provider{$of})", "{{instance}} {{provider}}"),),
            width=12,
        ),
        Panel(
            "Vectors",
            "Items with a text vector, waiting for one, and without room for one.",
            (
                ("max(penchant_item_vectors{$of})", "made"),
                ("max(penchant_item_vectors_waiting{$of})", "waiting"),
                ("max(penchant_item_vectors_without_room{$of})", "without room"),
            ),
            width=12,
        ),
    ),
)
SERVE: Final = Row(
    "penchant serve",
    (
        Panel(
            "Requests", "Answered, a second.", ((rate("penchant_http_requests_total", "route"), "{{route}}"),), "ops"
        ),
        Panel(
            "Time of an answer",
            "99 % take no longer.",
            ((quantile(0.99, "penchant_http_request_duration_seconds", ", route"), "{{route}}"),),
            "s",
            steps=((0.025, ATTENTION), (0.25, BAD)),
        ),
        Panel(
            "Turned away and not fresh",
            "429 beyond serve_max_requests; lists that did not reflect the event that was asked for in time.",
            (
                (rate("penchant_http_requests_turned_away_total", "job"), "turned away {{job}}"),
                (rate("penchant_served_lists_not_fresh_total", "job"), "not fresh {{job}}"),
            ),
            "ops",
            steps=((0.1, ATTENTION),),
        ),
        Panel(
            "Behind the topics",
            "Records of followed topics that are not yet here.",
            (("max by (topic) (penchant_followed_lag_records{$of})", "{{topic}}"),),
            width=12,
        ),
        Panel(
            "Lists by how",
            "Published by a worker, or ranked for the request.",
            ((rate("penchant_served_lists_total", "how"), "{{how}}"),),
            "ops",
            width=12,
        ),
    ),
)
RESOURCES: Final = Row(
    "Resources",
    (
        Panel(
            "Memory of the process",
            "As a share of what the machine or the container has.",
            (
                (
                    "process_resident_memory_bytes{$of} / on (job, instance) penchant_memory_limit_bytes",
                    "{{instance}}",
                ),
            ),
            "percentunit",
            steps=((0.8, ATTENTION), (0.9, BAD)),
        ),
        Panel(
            "Memory by part",
            "Each has a bound, and something that happens there.",
            (("sum by (part) (penchant_memory_bytes{$of})", "{{part}}"),),
            "bytes",
        ),
        Panel(
            "CPU",
            "Cores in use.",
            ((rate("process_cpu_seconds_total", "instance"), "{{instance}}"),),
        ),
        Panel(
            "Disk",
            "Room on the disk of the data directory. Below 5 GiB a worker warns; a full disk ends it.",
            (("penchant_disk_free_bytes{$of}", "{{instance}}"),),
            "bytes",
        ),
        Panel(
            "Open files",
            "As a share of what the process may have.",
            (("process_open_fds{$of} / process_max_fds{$of}", "{{instance}}"),),
            "percentunit",
            steps=((0.5, ATTENTION), (0.8, BAD)),
        ),
        Panel(
            "Certificates",
            "Time until the first certificate of a file ends. Nothing is here without TLS.",
            (
                (
                    "min by (certificate) (penchant_certificate_expiry_timestamp_seconds{$of}) - time()",
                    "{{certificate}}",
                ),
            ),
            "s",
            steps=((259_200, ATTENTION), (1_209_600, GOOD)),
        ),
    ),
)
