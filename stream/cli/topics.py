"""`penchant topics`: what a person sees of `stream.kafka.topics`."""

from __future__ import annotations

from typing import Annotated, Final

from confluent_kafka.admin import AdminClient

from stream.cli import options
from stream.cli.apps import SETTINGS_NOTE, group_app, teach
from stream.cli.connection import connected
from stream.display.terminal import Cell, say, say_json, show_table, stderr, stdout, write_line
from stream.kafka.logs import cleanup_policies
from stream.kafka.noting import note_everywhere
from stream.kafka.rights import ROLES, Role, command, give_rights, rights_of
from stream.kafka.specs import topic_specs
from stream.kafka.topics import check_topics, create_topics, list_topics
from stream.settings import load_settings
from stream.state.log_mark import MEANT_KEY, pack_meant

POLICIES_WAIT_S: Final = 3.0
"""The embedded broker never answers the question for policies; nobody should wait long for a column."""

app = group_app("The topics that Penchant reads and writes: create them, list them.")


@app.command(
    "create",
    help=teach(
        "Create the topics that are missing, with the right partitions and compaction. Existing ones stay as they are.",
        "penchant topics create",
        "penchant topics create --partitions 12 --replication-factor 3",
        then="`penchant items load FILE`, then `penchant worker`.",
        note=SETTINGS_NOTE,
    ),
)
def create(
    bootstrap_servers: options.BootstrapServers = None,
    group_id: options.GroupId = None,
    shadow: options.Shadow = None,
    partitions: options.Partitions = None,
    replication_factor: options.ReplicationFactor = None,
) -> None:
    settings = connected(
        bootstrap_servers=bootstrap_servers,
        group_id=group_id,
        shadow=shadow,
        partitions=partitions,
        replication_factor=replication_factor,
    )
    created = create_topics(settings)
    for name in created:
        say(stdout(), f"created {name}")
    if not created:
        say(stdout(), f"all {len(topic_specs(settings))} topics are there already")
    say(stderr(), "Next: penchant items load FILE, then penchant worker.", "dim")


@app.command(
    "new-events-log",
    help=teach(
        "Go on although the events topic was deleted and made again, or restored: workers keep all states and read the topic "
        "that is there now from its beginning. Behaviours whose event id is remembered are not counted twice.",
        "penchant topics new-events-log",
        "penchant topics new-events-log --group-id penchant-staging",
        then="start the workers (or let their supervisor).",
        note=SETTINGS_NOTE,
    ),
)
def new_events_log(bootstrap_servers: options.BootstrapServers = None, group_id: options.GroupId = None) -> None:
    settings = connected(bootstrap_servers=bootstrap_servers, group_id=group_id)
    logs = check_topics(settings)
    events, changelog = settings.topic_events, settings.changelog_topic
    note_everywhere(settings, logs[changelog].partitions, MEANT_KEY, pack_meant(logs[events].topic_id))
    say(stdout(), f"{events} as it is now is meant: noted in {changelog}")
    say(stderr(), "Next: penchant worker.", "dim")


@app.command(
    "list",
    help=teach(
        "Show every topic that Penchant needs: its partitions, replicas, clean-up policy and what it holds.",
        "penchant topics list",
        "penchant topics list --bootstrap-servers kafka:9092",
        then="`penchant topics create` if one is missing.",
    ),
)
def list_(bootstrap_servers: options.BootstrapServers = None, group_id: options.GroupId = None) -> None:
    settings = connected(bootstrap_servers=bootstrap_servers, group_id=group_id)
    existing = list_topics(settings)
    specs = topic_specs(settings)
    patient = min(POLICIES_WAIT_S, settings.connect_timeout_s)
    admin = AdminClient(settings.client_config("topics"))
    policies = cleanup_policies(admin, [spec.name for spec in specs if spec.name in existing], patient)
    rows = []
    for spec in specs:
        topic = existing.get(spec.name)
        facts = (
            (Cell("missing", "fail"), Cell("–"), Cell("–"))
            if topic is None
            else (Cell(str(topic.partitions)), Cell(str(topic.replicas)), Cell(_told(policies.get(spec.name))))
        )
        rows.append((Cell(spec.name), *facts, Cell(spec.purpose, "skip")))
    show_table(stdout(), ("topic", "partitions", "replicas", "clean-up", "holds"), rows)
    if any(spec.name not in existing for spec in specs):
        say(stderr(), "Next: penchant topics create.", "dim")


@app.command(
    "rights",
    help=teach(
        "Show what each role needs of a Kafka that asks for rights, as commands for Kafka's own tool; with --give create them.",
        "penchant topics rights --role worker --principal User:penchant-worker",
        "penchant topics rights --role serve --principal User:CN=serve --give",
        "penchant topics rights --role producer --json | jq -r '.[].name' | sort -u",
        then="start the worker as that user; what it is refused it names, with the fix.",
        note=SETTINGS_NOTE,
    ),
)
def rights(
    bootstrap_servers: options.BootstrapServers = None,
    group_id: options.GroupId = None,
    shadow: options.Shadow = None,
    role: Annotated[
        Role, options.option("Whose: " + "; ".join(f"{r} is {w}" for r, w in ROLES.items()) + ".")
    ] = "worker",
    principal: Annotated[
        str | None, options.optional("Who is to have them. Default User:penchant-ROLE.", None, "USER")
    ] = None,
    give: Annotated[bool, options.flag("--give", "Create them; needs ALTER on the cluster.")] = False,
    json_: Annotated[bool, options.flag("--json", "One JSON array.")] = False,
) -> None:
    given = {"bootstrap_servers": bootstrap_servers, "group_id": group_id, "shadow": shadow}
    settings = connected(**given) if give else load_settings(**given)
    who, needed = principal or f"User:penchant-{role}", rights_of(settings, role)
    if give:
        give_rights(settings, needed, who)
        say(stderr(), f"{who} has {len(needed)} rights", "dim")
    elif json_:
        say_json(stdout(), [right._asdict() for right in needed])
    else:
        for right in needed:
            write_line(stdout(), command(right, who, settings.bootstrap_servers))


def _told(policy: frozenset[str] | None) -> str:
    return "not told" if policy is None else ",".join(sorted(policy))
