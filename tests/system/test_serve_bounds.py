"""`penchant serve` held to its bounds: who may ask, by what, how much and how slowly."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from places import ROOT
from serve_process import ServeProcess
from worker_process import Topics

from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.specs import topic_specs

READ, ADMIN = "read-token-do-not-print", "admin-token-do-not-print"


@pytest.fixture(scope="module")
def topics() -> Iterator[Topics]:
    specs = {spec.name: 1 for spec in topic_specs(Topics("127.0.0.1:1", "bounds").settings)}
    with EmbeddedBroker(specs) as broker:
        yield Topics(broker.bootstrap_servers, "bounds", partitions=1)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a server and a client of it."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority",
            "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip
    for name in ("server", "client"):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
                "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2",
                "-copy_extensions", "copy", "-out", f"{name}.pem")  # fmt: skip
    return folder


def test_tokens_are_wanted_and_never_shown(topics: Topics, tmp_path: Path):
    with ServeProcess(topics.settings, tmp_path / "serve", serve_read_token=READ, serve_admin_token=ADMIN) as serve:
        serve.until_ready()
        read, admin = ({"authorization": f"Bearer {token}"} for token in (READ, ADMIN))
        assert "token" in serve.get("/v1/users/u/recommendations", 401)["detail"]
        serve.get("/v1/users/u/recommendations", headers=read)
        assert serve.client.get("/metrics").status_code == 401
        assert serve.client.get("/metrics", headers=read).status_code == 200
        assert serve.client.put("/v1/rules", json={"key": "x", "rule": None}, headers=read).status_code == 401
        assert serve.client.put("/v1/rules", json={"key": "x", "rule": None}, headers=admin).status_code == 200
        assert serve.client.post("/v1/users/u/link", headers=read).status_code == 401
        path = serve.client.post("/v1/users/u/link", headers=admin).json()["path"]
        serve.get(f"/v1{path}")  # the link is the key
        assert serve.client.get("/explorer/").status_code == 200
        assert serve.terminate() == 0
        assert READ not in serve.log
        assert ADMIN not in serve.log


def test_without_a_certificate_of_ours_nobody_connects(topics: Topics, tmp_path: Path, certificates: Path):
    files = {
        "serve_tls_certificate": certificates / "server.pem",
        "serve_tls_key": certificates / "server.key",
        "serve_tls_client_ca": certificates / "ca.pem",
    }
    with ServeProcess(topics.settings, tmp_path / "serve", **files) as serve:
        assert serve.url.startswith("https://")
        strange = ssl.create_default_context(cafile=certificates / "ca.pem")
        with pytest.raises(httpx.HTTPError), httpx.Client(verify=strange) as asking:
            asking.get(f"{serve.url}/health/live")
        ours = ssl.create_default_context(cafile=certificates / "ca.pem")
        ours.load_cert_chain(certificates / "client.pem", certificates / "client.key")
        with httpx.Client(verify=ours) as asking:
            assert asking.get(f"{serve.url}/health/live").status_code == 200


def connect(serve: ServeProcess) -> socket.socket:
    host, port = serve.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def closed(connection: socket.socket) -> bool:
    """Whether the other side ends it, whatever it says before."""
    try:
        while connection.recv(65_536):
            pass
    except ConnectionError:
        return True
    return True


def test_connections_that_say_nothing_or_never_end_are_closed(topics: Topics, tmp_path: Path):
    with ServeProcess(topics.settings, tmp_path / "serve") as serve:
        serve.until_ready()
        silent, slow, endless = connect(serve), connect(serve), connect(serve)
        slow.sendall(b"GET /health/live HTTP/1.1\r\nhost: x\r\n")
        body = connect(serve)
        body.sendall(b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        garbage = connect(serve)
        garbage.sendall(b"\x16\x03\x01" * 100)
        try:
            for n in range(10_000):
                endless.sendall(b"x-%d: " % n + b"y" * 1000 + b"\r\n" if n else b"GET / HTTP/1.1\r\n")
        except ConnectionError:
            pass
        assert serve.is_ready()
        for each in (garbage, endless, silent, slow, body):
            assert closed(each)
            each.close()
        assert serve.is_ready()
        assert "Traceback" not in serve.log


def test_beyond_what_it_takes_at_once_it_says_come_again(topics: Topics, tmp_path: Path):
    with ServeProcess(topics.settings, tmp_path / "serve", serve_max_requests=4) as serve:
        serve.until_ready()
        waiting: list[socket.socket] = []

        def is_full() -> bool:
            """Asks for one more that waits, unless there is no room: a question of ours may have had its place."""
            if serve.client.get("/v1/users/u/recommendations").status_code == 429:
                return True
            waiting.append(connect(serve))
            question = b"GET /v1/users/u/recommendations?min_offset=999&wait_ms=10000 HTTP/1.1\r\nhost: x\r\n\r\n"
            waiting[-1].sendall(question)
            return False

        serve.wait_for("it is full", is_full)
        refused = serve.client.get("/v1/users/u/recommendations")
        assert int(refused.headers["retry-after"]) >= 1
        assert serve.is_ready()  # probes are answered all the same
        for each in waiting:
            each.close()
        serve.wait_for(
            "there is room again", lambda: serve.client.get("/v1/users/u/recommendations").status_code == 200
        )


def test_what_waits_when_it_ends_is_answered(topics: Topics, tmp_path: Path):
    with ServeProcess(topics.settings, tmp_path / "serve") as serve:
        serve.until_ready()
        connection = connect(serve)
        connection.sendall(b"GET /v1/users/u/recommendations?min_offset=999&wait_ms=2000 HTTP/1.1\r\nhost: x\r\n\r\n")
        serve.wait_for("it waits", lambda: "penchant_http_requests_in_work 2.0" in serve.client.get("/metrics").text)
        assert serve.terminate() == 0
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
        connection.close()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"fresh":false' in answer


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"SERVE_HOST": "0.0.0.0"}, "serve_read_token"),
        ({"SERVE_TLS_KEY": "x.pem"}, "belong together"),
        ({"SERVE_TLS_KEY": "no.pem", "SERVE_TLS_CERTIFICATE": "no.pem"}, "cannot be used"),
        ({"SERVE_DATA_DIR": "/proc/nowhere"}, "cannot be written"),
        ({"SERVE_PORT": "70000"}, "SERVE_PORT"),
    ],
)
def test_what_cannot_be_is_one_line_with_the_fix(topics: Topics, tmp_path: Path, changed, said):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PENCHANT_")}
    own = {name: getattr(topics.settings, name) for name in topics.settings.model_fields_set}
    environment |= {f"PENCHANT_{name.upper()}": str(value) for name, value in own.items()}
    environment |= {"PENCHANT_SERVE_PORT": "0", "PENCHANT_SERVE_DATA_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environment |= {f"PENCHANT_{name}": value for name, value in changed.items()}
    done = subprocess.run(
        [sys.executable, "-m", "stream", "serve"],
        check=False,
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Fix:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_told(topics: Topics, tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        serve = ServeProcess(topics.settings, tmp_path / "serve", port=taken.getsockname()[1])
        with pytest.raises(AssertionError, match=r"(?s)ended \(2\).*cannot be listened on"):
            serve.start()
