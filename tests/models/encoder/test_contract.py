"""Every encoder keeps the contract; clean texts; the remote one retries what passes and nothing else."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.encoder.errors import EncoderError, ModelError
from models.encoder.hashing_encoder import HashingEncoder
from models.encoder.opening import EncoderChoice, open_encoder
from models.encoder.remote_encoder import RETRIES, RemoteEncoder
from models.encoder.text import clean_text, item_text, text_hash
from models.encoder.tokens import estimated_tokens, padded
from models.items.catalog import CatalogItem

# --- texts ------------------------------------------------------------------------------------------------------------


@given(st.text(st.characters(codec=None), max_size=200))
def test_a_clean_text_is_clean_bounded_hashable_and_stays_as_it_is(text):
    clean = clean_text(text, 8)
    assert clean == " ".join(clean.split())
    assert len(clean) <= 8 * 32
    assert len(text_hash(clean)) == 16
    assert clean_text(clean, 8) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("", ""),
        (" \x00\n\t ", ""),
        ("\ud800", ""),
        ("red\u0000 \ud83dshoes", "red shoes"),
        ("cafe\u0301", "café"),
        ("  two   spaces ", "two spaces"),
        ("🎧 ok", "🎧 ok"),
    ],
)
def test_what_breaks_tokenisers_is_taken_out(text, clean):
    assert clean_text(text, 256) == clean


def test_a_megabyte_costs_no_more_than_its_beginning():
    assert clean_text("a b " * 250_000, 256) == clean_text("a b " * 4096, 256)


def test_an_items_text_is_everything_its_producer_said():
    item = CatalogItem("i", "Red shoes", ("Shoes", "Sport"), "For running.", None, "a runner at dawn")
    assert item_text(item) == "Red shoes. Shoes, Sport. For running. a runner at dawn"
    assert item_text(CatalogItem("i", "Red shoes", description=" ")) == "Red shoes"


def test_the_hash_is_the_one_that_is_stored():
    assert text_hash("red shoes").hex() == "7b5c9b0689a05c27e9bd422bcbbd08e3"


# --- the hashing encoder ----------------------------------------------------------------------------------------------


@given(st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=10))
def test_the_hashing_encoder_is_deterministic_and_its_rows_are_units_whatever_else_is_in_the_batch(texts):
    encoder = HashingEncoder(32)
    batch = encoder.prepare(texts, "passage")
    rows = encoder.encode(batch)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    for each, row in zip(batch, rows, strict=True):
        np.testing.assert_array_equal(HashingEncoder(32).encode([each])[0], row)


def test_texts_that_share_words_are_near_in_the_hashing_encoder():
    encoder = HashingEncoder()
    a, b, c = encoder.encode(encoder.prepare(["red running shoes", "blue running shoes", "耳机"], "passage"))
    assert a @ b > 0.4 > abs(a @ c)


# --- the remote encoder -----------------------------------------------------------------------------------------------


class Service:
    """An embeddings service on this machine. `replies` are statuses (with optional headers) given before it works."""

    def __init__(self):
        self.replies, self.requests = [], []
        self.change = lambda data: data
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.requests.append((self.path, self.headers.get("Authorization"), body))
                status, headers = service.replies.pop(0) if service.replies else (200, {})
                if status == 0:
                    self.close_connection = True
                    return
                data = [
                    {"object": "embedding", "index": i, "embedding": [3.0 * len(text), 4.0 * len(text)]}
                    for i, text in enumerate(body["input"])
                ]
                answer = json.dumps(
                    {"data": service.change(data[::-1])} if status == 200 else {"error": "busy"}
                ).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def service():
    made = Service()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def remote(service):
    waits = []
    encoder = RemoteEncoder(service.url, "m", api_key="k", timeout_s=10, sleep=waits.append, prompts={"query": "q: "})
    encoder.waits = waits
    service.requests.clear()
    yield encoder
    encoder.close()


def ask(encoder, *texts):
    return encoder.encode(encoder.prepare(texts, "passage"))


def test_the_remote_encoder_asks_as_openai_does_and_normalises(service, remote):
    np.testing.assert_allclose(ask(remote, "a", "bb"), [[0.6, 0.8]] * 2, atol=1e-6)
    path, authorization, body = service.requests[0]
    assert (path, authorization) == ("/v1/embeddings", "Bearer k")
    assert body == {"model": "m", "input": ["a", "bb"], "encoding_format": "float"}
    assert remote.dims == 2
    assert remote.model_version == "remote:m/2-256"
    assert remote.prepare(["x"], "query")[0].text == "q: x"


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/embeddings", ""])
def test_the_url_may_be_the_base_or_the_endpoint(service, path):
    RemoteEncoder(service.url + path, "m").close()
    assert service.requests[0][0] == "/v1/embeddings"


def test_what_passes_is_tried_again_waiting_longer_or_as_told(service, remote):
    service.replies = [(503, {}), (429, {"Retry-After": "2"}), (0, {})]
    assert ask(remote, "a").shape == (1, 2)
    assert len(service.requests) == 4
    assert remote.waits == [0.2, 2.0, 0.8]


def test_the_tries_are_bounded_and_what_will_not_pass_is_not_tried_again(service, remote):
    service.replies = [(500, {})] * (RETRIES + 1)
    with pytest.raises(EncoderError, match="status 500"):
        ask(remote, "a")
    service.replies, service.requests[:] = [(401, {})], []
    with pytest.raises(EncoderError, match="status 401"):
        ask(remote, "a")
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: data[:1], "1 vectors for 2 texts"),
        (lambda data: [{**each, "index": 0} for each in data], "2 vectors for 2 texts"),
        (lambda data: [{**data[0], "embedding": [1.0]}, data[1]], "different lengths"),
        (lambda data: [{**each, "embedding": [1.0]} for each in data], "from 2 to 1 dimensions"),
        (lambda data: "no", "not one of /v1/embeddings"),
    ],
)
def test_an_answer_that_is_not_one_vector_per_text_is_an_error(service, remote, change, says):
    service.change = change
    with pytest.raises(EncoderError, match=says):
        ask(remote, "a", "bb")


def test_a_service_that_is_not_there_is_said_at_the_start():
    with pytest.raises(ModelError, match="no embeddings from 127"):
        RemoteEncoder("http://127.0.0.1:1", "m", sleep=lambda _: None)
    with pytest.raises(ModelError, match="not an http"):
        RemoteEncoder("ftp://x", "m")


@pytest.mark.parametrize(("text", "tokens"), [("", 2), ("abcdefgh", 4), ("无线", 4), ("word " * 1000, 256)])
def test_tokens_of_others_are_estimated(text, tokens):
    assert estimated_tokens(text, 256) == tokens


# --- choosing and padding ---------------------------------------------------------------------------------------------


def test_the_hashing_encoder_comes_only_when_it_is_named():
    assert open_encoder(EncoderChoice("hashing")).provider == "hashing"
    with pytest.raises(ModelError, match="encoder_model 'nowhere'"):
        open_encoder(EncoderChoice("nowhere"))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20))
def test_padding_keeps_every_id_in_its_place(lengths):
    encoder = HashingEncoder()
    batch = encoder.prepare([" ".join(f"w{i}" for i in range(n)) for n in lengths], "passage")
    ids, found = padded(batch)
    assert found.tolist() == lengths
    assert ids.shape == (len(lengths), max(lengths))
    for row, each in zip(ids, batch, strict=True):
        np.testing.assert_array_equal(row[: each.ids.size], each.ids)
        assert not row[each.ids.size :].any()
