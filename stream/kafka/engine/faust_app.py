"""Faust, told how to run: what the settings mean to it and to aiokafka, and which of its parts are ours."""

from __future__ import annotations

import ssl
from typing import Any

import faust
from faust.auth import OAuthCredentials
from yarl import URL

from stream.kafka.engine.bounded_batches import bound_batches
from stream.kafka.engine.table import STORE_SCHEME
from stream.kafka.engine.tokens import token_provider
from stream.kafka.engine.transport import CHUNK_SCHEME, ChunkSchema, KeepingFlowControl
from stream.settings import Settings

STREAM_BUFFER_CHUNKS = 16

PARTITION_FETCH_MAX_BYTES = 4 << 20
"""aiokafka keeps this much of each partition beside the fetch buffer. A larger record comes all the same, alone (KIP-74)."""

REQUEST_TIMEOUT_S = 90.0
"""Faust's default; it refuses a longer session timeout than that, and joining a group takes as long as the rebalance."""

HEARTBEAT_S = 0.5
"""A worker hears of a rebalance in the answer to a heartbeat, and the partitions of one that has died wait for it."""


def make_faust_app(settings: Settings) -> Any:
    """The application, without topics, tables and agents."""
    app = faust.App(
        settings.group_id,
        broker=[URL(f"{CHUNK_SCHEME}://{server}") for server in settings.bootstrap_servers.split(",")],
        broker_client_id=settings.client_id("reader"),
        broker_credentials=_credentials(settings),
        consumer_group_instance_id=settings.group_instance_id,
        broker_request_timeout=max(REQUEST_TIMEOUT_S, settings.session_timeout_s, settings.rebalance_timeout_s + 5),
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=min(HEARTBEAT_S, settings.session_timeout_s / 3),
        broker_rebalance_timeout=settings.rebalance_timeout_s,
        broker_max_poll_records=settings.chunk_max_records,
        broker_commit_interval=86_400,  # commits are the Committer's
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=min(settings.fetch_max_bytes, PARTITION_FETCH_MAX_BYTES),
        stream_buffer_maxsize=STREAM_BUFFER_CHUNKS,
        store=f"{STORE_SCHEME}://",
        Schema=ChunkSchema,
        datadir=str(settings.data_dir / "faust"),
        key_serializer="raw",
        value_serializer="raw",
        table_standby_replicas=settings.standby_replicas,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=settings.partitions,
        web_enabled=False,
        # An exception in an agent acknowledges the chunk; a restarted agent would go on behind a hole.
        agent_supervisor="mode.supervisors.CrashingSupervisor",
    )
    app.flow_control = KeepingFlowControl()
    changelogs = {settings.changelog_topic, settings.topic_item_stats}
    bound_batches(settings.fetch_buffer_max_bytes, lambda topic: topic not in changelogs)
    app.transport.fetch_max_wait_ms = settings.fetch_max_wait_ms
    app.transport.fetch_max_bytes = settings.fetch_max_bytes
    app.transport.fetch_buffer_max_bytes = settings.fetch_buffer_max_bytes
    app.transport.client_rack = settings.client_rack
    return app


def _credentials(settings: Settings) -> Any:
    """aiokafka's side of what `Settings.security_config` says to librdkafka."""
    context = _tls(settings) if settings.uses_tls else None
    if not settings.uses_sasl:
        return None if context is None else faust.SSLCredentials(context)
    match settings.sasl_mechanism:
        case "OAUTHBEARER" | "AWS_MSK_IAM":
            return OAuthCredentials(oauth_cb=token_provider(settings), ssl_context=context)
        case "GSSAPI":
            return faust.GSSAPICredentials(
                kerberos_service_name=settings.sasl_kerberos_service_name, ssl_context=context, mechanism="GSSAPI"
            )
        case _:
            assert settings.sasl_password is not None
            return faust.SASLCredentials(
                username=settings.sasl_username,
                password=settings.sasl_password.get_secret_value(),
                ssl_context=context,
                mechanism=settings.sasl_mechanism,
            )


def _tls(settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ssl_ca_location and str(settings.ssl_ca_location))
    context.check_hostname = settings.ssl_endpoint_identification == "https"
    if settings.ssl_certificate_location is not None:
        password = settings.ssl_key_password.get_secret_value() if settings.ssl_key_password else None
        context.load_cert_chain(settings.ssl_certificate_location, settings.ssl_key_location, password)
    return context
