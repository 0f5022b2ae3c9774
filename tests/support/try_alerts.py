"""Tries alerts for real: a fault is made in a running shop, Prometheus sees it, the remedy is applied, the alert ends.

    PYTHONPATH=.:tests/support:tests/adversary python tests/support/try_alerts.py [ALERT ...]

The rules are those of deploy/prometheus with windows a fraction as long. What was seen goes to the alert's page in
deploy/docs/runbook, between its two marks.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx
from broker_process import BrokerProcess
from embeddings_service import EmbeddingsService
from kafka_server import free_ports
from observed_world import SERVE_JOB, WORKER_JOB, Shoppers
from places import DOCS
from prometheus_process import PrometheusProcess
from serve_process import ServeProcess
from serve_world import ITEMS, PARTITIONS, PEOPLE, behaviours, event, item
from worker_process import Topics, WorkerProcess

from stream.kafka.specs import topic_specs
from stream.settings.placements import PlacementSettings

FIRES_S, ENDS_S, SETTLES_S = 120, 300, 120
PEOPLE_MANY = 20_000
BEGIN, END = "<!-- tried: begin -->", "<!-- tried: end -->"


class Shop:
    """Broker, worker, serve and shoppers; each can be broken."""

    def __init__(self, folder: Path, running: ExitStack) -> None:
        self.folder = folder
        self.disk = folder / "disk"
        self.disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5400m", "none", str(self.disk)], check=True)
        running.callback(subprocess.run, ["umount", "-l", str(self.disk)], check=False)
        self.certificate = folder / "authority.pem"
        self.make_certificate(365)
        specs = {spec.name: PARTITIONS for spec in topic_specs(Topics("127.0.0.1:1", "tried").settings)}
        self.broker = running.enter_context(BrokerProcess(specs))
        self.topics = Topics(self.broker.bootstrap_servers, "tried", partitions=PARTITIONS)
        self.topics.produce(self.topics.settings.topic_items, map(item, range(ITEMS)))
        self.topics.produce(self.topics.settings.topic_events, behaviours())
        self.worker = running.enter_context(self.make_worker())
        self.serve_port = free_ports(1)[0]
        self.serve = running.enter_context(
            ServeProcess(self.topics.settings, folder / "serve", self.serve_port, serve_max_requests=2)
        )
        self.shoppers = running.enter_context(Shoppers(self.topics, self.serve))
        self.shoppers.broken_share = 1e-6

    def make_worker(self, **settings: object) -> WorkerProcess:
        made = WorkerProcess(
            self.topics.settings,
            self.disk / "worker",
            ssl_ca_location=self.certificate,
            **({"encoder_model": "hashing"} | settings),
        )
        if hasattr(self, "worker"):
            made.port = self.worker.port
            made._env["PENCHANT_METRICS_PORT"] = str(made.port)
        return made

    def make_certificate(self, days: int) -> None:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", str(days), "-subj", "/CN=a",
             "-keyout", str(self.folder / "a.key"), "-out", str(self.certificate)],
            check=True, capture_output=True,
        )  # fmt: skip

    def replace_worker(self, **settings: object) -> None:
        """Stop it in order, start it with other settings."""
        with suppress(Exception):
            self.worker.terminate()
        self.worker = self.make_worker(**settings)
        self.worker.start()

    def end_worker(self) -> None:
        self.worker.__exit__()

    def is_well(self) -> bool:
        metrics = self.worker.metrics()
        try:
            serves = self.serve.is_ready()
        except httpx.HTTPError:
            return False
        return (
            metrics.get('penchant_ready{role="worker"}') == 1
            and metrics.get("penchant_commit_age_seconds", 99) < 5
            and serves
        )

    def settle(self) -> None:
        deadline = time.monotonic() + SETTLES_S
        while not self.is_well():
            assert time.monotonic() < deadline, (
                f"the shop is not well: {self.worker.log[-1500:]} {self.serve.log[-500:]}"
            )
            time.sleep(0.2)


Begin = Callable[[Shop], Callable[[], None] | None]


class Trial(NamedTuple):
    """One alert's fault and remedy."""

    alert: str
    fault: str
    begin: Begin
    remedy: str
    mend: Callable[[Shop], None]
    divisor: float = 60


def _nothing(shop: Shop) -> None:
    """It mends itself, or with the fault's end."""


class _Repeated:
    """Does something again and again in a thread, until it is called."""

    def __init__(self, *each: Callable[[], None]) -> None:
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._go_on, args=(one,), daemon=True) for one in each]
        for thread in self._threads:
            thread.start()

    def _go_on(self, one: Callable[[], None]) -> None:
        while not self._ended.is_set():
            one()

    def __call__(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(30)


def _kill_worker(shop: Shop) -> None:
    shop.worker.kill()


def _restart_often(shop: Shop) -> None:
    for _ in range(3):
        shop.worker.kill()
        shop.worker.start()
        shop.worker.wait_for("it is scraped", lambda: bool(shop.worker.metrics()))
        time.sleep(3)


def _alone(shop: Shop) -> None:
    shop.worker.kill()
    shop.broker.hold()
    shop.worker.start()


def _restart_serve(shop: Shop) -> None:
    shop.serve.kill()
    shutil.rmtree(shop.serve.data_dir)
    shop.serve.start()


def _flood(shop: Shop) -> Callable[[], None]:
    """More people than lists can be made for."""
    return _Repeated(_flooding(shop))


def _starve(shop: Shop) -> Callable[[], None]:
    """The same, and the worker has a quarter of its time."""

    def squeeze() -> None:
        process = shop.worker.process
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.15)
        process.send_signal(signal.SIGCONT)
        time.sleep(0.05)

    return _Repeated(squeeze, _flooding(shop))


def _flooding(shop: Shop) -> Callable[[], None]:
    turn = iter(range(1 << 60))

    def flood() -> None:
        now_ms = round(time.time() * 1000)
        numbers = [next(turn) for _ in range(2000)]
        with suppress(AssertionError):
            records = [event(f"v{n % PEOPLE_MANY}", n % ITEMS, event_time=now_ms) for n in numbers]
            shop.topics.produce(shop.topics.settings.topic_events, records)
        time.sleep(0.1)

    return flood


def _crowd(shop: Shop) -> Callable[[], None]:
    def ask() -> None:
        with suppress(httpx.HTTPError), httpx.Client(base_url=shop.serve.url, timeout=10) as client:
            for _ in range(50):
                client.get("/v1/users/u1/recommendations")

    return _Repeated(*[ask] * 8)


def _break_events(shop: Shop) -> None:
    shop.shoppers.broken_share = 0.5


def _mend_events(shop: Shop) -> None:
    shop.shoppers.broken_share = 1e-6


def _lose_records(shop: Shop) -> None:
    shop.worker.kill()
    wide = [
        event(f"u{n % PEOPLE}", n % ITEMS, query="x" * 700, event_time=round(time.time() * 1000)) for n in range(60_000)
    ]
    shop.topics.produce(shop.topics.settings.topic_events, wide)
    shop.worker.start()


def _spoil_state(shop: Shop) -> None:
    """What is stored for a person cannot be read, and the worker has to read it from the changelog."""
    shop.worker.kill()
    shop.topics.produce(
        shop.topics.settings.changelog_topic, [(b"u1", b"spoilt"), (b"u2", b"spoilt"), (b"u3", b"spoilt")]
    )
    shutil.rmtree(shop.worker.data_dir)
    shop.worker.start()


def _unspoil_state(shop: Shop) -> None:
    shop.worker.kill()
    shop.topics.produce(shop.topics.settings.changelog_topic, [(b"u1", None), (b"u2", None), (b"u3", None)])
    shutil.rmtree(shop.worker.data_dir)
    shop.worker.start()


def _explore_nothing(shop: Shop) -> None:
    shop.replace_worker(
        placements={
            "home": PlacementSettings.model_validate({"explore": {"slots": 2, "max_exposures": 0, "max_age_h": 0}})
        }
    )


def _explore_again(shop: Shop) -> None:
    shop.replace_worker(
        placements={"home": PlacementSettings.model_validate({"explore": {"slots": 2, "max_exposures": 1_000_000}})}
    )


_service = EmbeddingsService(free_ports(1)[0])


def _lose_encoder(shop: Shop) -> None:
    """Its service answers nobody any more, and new items come."""
    _service.start()
    shop.replace_worker(encoder_model="m", encoder_remote_url=_service.url)
    shop.settle()
    _service.stop()
    shop.topics.produce(shop.topics.settings.topic_items, [item(n, title=f"new {n}") for n in range(ITEMS, 3 * ITEMS)])


def _fill_disk(shop: Shop) -> None:
    with (shop.disk / "other").open("wb") as file:
        for _ in range(500):
            file.write(bytes(1 << 20))


HELD = "the broker answers nobody (SIGSTOP; connections stay)"
GOES_ON = "the broker goes on"
FLOOD = "events of 20,000 people come, up to 20,000 a second"
ENDS = "the flood ends"
SPOILT = "three users' state is overwritten in the changelog, and the worker has lost its copy"
UNSPOILT = "the three records are deleted (tombstones), the worker started without a copy: those users begin anew"
NEW_FILE = "a new file"


def _hold(shop: Shop) -> None:
    shop.broker.hold()


def _let_go(shop: Shop) -> None:
    shop.broker.let_go()


def _certify(days: int) -> Callable[[Shop], None]:
    return lambda shop: shop.make_certificate(days)


def _start_worker(shop: Shop) -> None:
    shop.worker.start()


def _free_disk(shop: Shop) -> None:
    (shop.disk / "other").unlink()


TRIALS = (
    Trial("PenchantWorkerDown", "the worker is killed, and nobody starts it", _kill_worker, "it is started", _start_worker),
    Trial("PenchantNoCommits", HELD, _hold, GOES_ON, _let_go),
    Trial("PenchantServeNotReady", HELD, _hold, GOES_ON, _let_go),
    Trial("PenchantRecoveryTakesLong", f"a worker starts while {HELD}", _alone, GOES_ON, _let_go, 120),
    Trial("PenchantDeadLetters", "every second event of a page is not JSON", _break_events, "the page is mended", _mend_events),
    Trial("PenchantDiskFills", "another program writes 500 MB to a disk of 5.4 GB", _fill_disk, "they are removed", _free_disk),
    Trial("PenchantCertificateExpires", "a certificate ends in 10 d", _certify(10), NEW_FILE, _certify(365)),
    Trial("PenchantTurnsRequestsAway", "eight clients ask where serve_max_requests = 2", _crowd, "they stop", _nothing),
    Trial("PenchantAvailabilityBudgetBurns", "eight clients, two at a time", _crowd, "they stop", _nothing, 720),
    Trial("PenchantShedsLoad", FLOOD, _flood, ENDS, _nothing),
    Trial("PenchantFreshnessBudgetBurns", FLOOD, _flood, ENDS, _nothing, 720),
    Trial("PenchantExplorationOutOfBounds", "two places explore, and no item may (explore.max_exposures = 0, max_age_h = 0)",
          _explore_nothing, "explore.max_exposures = 1000000", _explore_again, 720),
    Trial("PenchantRecordsLost", "the worker is away; the embedded broker keeps 15 MiB of 45 MB that come", _lose_records,
          "none for what is lost; the alert ends when an hour has passed without more", _nothing, 120),
    Trial("PenchantQuarantine", SPOILT, _spoil_state, UNSPOILT, _unspoil_state),
    Trial("PenchantCorrectnessBudgetBurns", SPOILT, _spoil_state, UNSPOILT, _unspoil_state, 720),
    Trial("PenchantEncoderDown", "the embeddings service is away, and 120 new items come", _lose_encoder,
          "it is started", lambda shop: _service.start()),
    Trial("PenchantLagGrows", f"{FLOOD}, and the worker has a quarter of its time", _starve, ENDS, _nothing),
    Trial("PenchantRestarts", "the worker is killed and started three times", _restart_often, "it runs on", _nothing, 12),
)  # fmt: skip


def try_one(shop: Shop, trial: Trial) -> str:
    """What was seen, as lines of a transcript."""
    shop.settle()
    folder = Path(tempfile.mkdtemp(prefix="prometheus-", dir=shop.folder))
    targets = {WORKER_JOB: f"127.0.0.1:{shop.worker.port}", SERVE_JOB: shop.serve.url.removeprefix("http://")}
    with PrometheusProcess(folder, targets, trial.divisor) as prometheus:
        prometheus.wait_for("it has seen both", lambda: len(prometheus.query("penchant_ready == 1")) == 2)
        time.sleep(max(8, 300 / trial.divisor))
        before = prometheus.alerts().get(trial.alert, "inactive")
        started = time.monotonic()
        lines = [
            f"# windows and waits of the rules divided by {trial.divisor:g}; scraped and evaluated each second",
            f"  0 s  {before}",
            f"  0 s  fault: {trial.fault}",
        ]
        states = _states(prometheus, trial.alert, started, lines)
        end = trial.begin(shop)
        states("firing", FIRES_S)
        summary = _summary(prometheus, trial.alert)
        lines.append(f"       {summary}")
        lines.append(f"{time.monotonic() - started:3.0f} s  remedy: {trial.remedy}")
        if end is not None:
            end()
        trial.mend(shop)
        states("inactive", ENDS_S)
    return "\n".join(lines)


def _states(
    prometheus: PrometheusProcess, alert: str, started: float, lines: list[str]
) -> Callable[[str, float], None]:
    last = ["inactive"]

    def until(wanted: str, timeout_s: float) -> None:
        def seen() -> bool:
            state = prometheus.alerts().get(alert, "inactive")
            if state != last[0]:
                last[0] = state
                lines.append(f"{time.monotonic() - started:3.0f} s  {state}")
            return state == wanted

        prometheus.wait_for(f"{alert} is {wanted}", seen, timeout_s)

    return until


def _summary(prometheus: PrometheusProcess, alert: str) -> str:
    firing = (each for each in prometheus.ask("alerts")["alerts"] if each["labels"]["alertname"] == alert)
    return next(
        (f"[{e['labels']['severity']}] {e['annotations']['summary']}" for e in firing if e["state"] == "firing"), ""
    )


def write(alert: str, transcript: str) -> None:
    page = DOCS / "runbook" / f"{alert}.md"
    block = f"{BEGIN}\n\n```text\n{transcript}\n```\n\n{END}"
    if page.exists():
        text = page.read_text()
        page.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: block, text, flags=re.DOTALL))


@contextmanager
def running_shop() -> Iterator[Shop]:
    with tempfile.TemporaryDirectory(prefix="tried-") as folder, ExitStack() as running:
        shop = Shop(Path(folder), running)
        running.callback(shop.end_worker)
        yield shop


def main() -> int:
    wanted = set(sys.argv[1:])
    failed = []
    with running_shop() as shop:
        for trial in TRIALS:
            if wanted and trial.alert not in wanted:
                continue
            try:
                transcript = try_one(shop, trial)
            except Exception:  # noqa: BLE001  (the next is tried all the same)
                traceback.print_exc()
                failed.append(trial.alert)
                shop.broker.let_go()
                with suppress(Exception):
                    shop.replace_worker()
                continue
            (Path(tempfile.gettempdir()) / f"{trial.alert}.tried").write_text(transcript)
            write(trial.alert, transcript)
            print(f"== {trial.alert}\n{transcript}\n", flush=True)
    print("failed:", failed or "none")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
