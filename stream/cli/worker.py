"""`penchant worker`: the worker, in this process."""

from __future__ import annotations

from stream.cli import options
from stream.cli.apps import SETTINGS_NOTE, command_app, teach
from stream.cli.connection import connected, refuse_releases
from stream.worker.app import run_worker

app = command_app()


@app.command(
    "worker",
    help=teach(
        "Read events, keep every user's interests, publish lists and reasons. Runs until SIGTERM or Ctrl-C, then commits.",
        "penchant worker",
        "penchant worker --bootstrap-servers kafka-1:9092,kafka-2:9092 \\\n"
        "    --data-dir /var/lib/penchant --log-level warning",
        then="in another terminal `penchant watch`, or curl http://127.0.0.1:9464/metrics. More workers with the same "
        "--group-id and a --data-dir of their own share the partitions.",
        note=SETTINGS_NOTE,
    ),
)
def worker(
    bootstrap_servers: options.BootstrapServers = None,
    group_id: options.GroupId = None,
    shadow: options.Shadow = None,
    data_dir: options.DataDir = None,
    commit_interval_s: options.CommitIntervalS = None,
    standby_replicas: options.StandbyReplicas = None,
    metrics_host: options.MetricsHost = None,
    metrics_port: options.MetricsPort = None,
    log_level: options.LogLevel = None,
    top_k: options.TopK = None,
    repeat_purchases: options.RepeatPurchases = None,
) -> None:
    settings = connected(
        bootstrap_servers=bootstrap_servers,
        group_id=group_id,
        shadow=shadow,
        data_dir=data_dir,
        commit_interval_s=commit_interval_s,
        standby_replicas=standby_replicas,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        log_level=log_level,
        top_k=top_k,
        repeat_purchases=repeat_purchases,
    )
    refuse_releases(settings)
    run_worker(settings)
