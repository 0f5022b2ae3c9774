"""Vectors from an OpenAI-compatible `/v1/embeddings` endpoint: text-embeddings-inference, vLLM, Triton, Ollama, or a vendor's.

Called from the encoder thread, so it blocks: one request at a time, every wait bounded. 429, 5xx and broken connections are
tried again a few times, waiting longer each time (or as `Retry-After` says); other answers are not.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.encoder.contract import Prepared, Role
from models.encoder.errors import EncoderError, ModelAwayError, ModelError
from models.encoder.tokens import estimated_tokens

RETRIES: Final = 3
FIRST_WAIT_S: Final = 0.2
LONGEST_WAIT_S: Final = 5.0
MAX_ANSWER_BYTES: Final = 256 << 20
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class _Embedding(msgspec.Struct):
    embedding: list[float]
    index: int


class _Answer(msgspec.Struct):
    data: list[_Embedding]


class _Reply(NamedTuple):
    status: int
    retry_after: str | None
    body: bytes


class RemoteEncoder:
    """An `Encoder` that asks somebody else."""

    provider = "remote"

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 10.0,
        max_tokens: int = 256,
        prompts: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Ask once, for the number of dimensions.

        Args:
            url: the service's base (`http://host:8080` or `.../v1`) or the endpoint itself.
            model: the `model` of the request; part of the version of the vectors.
            api_key: sent as a bearer token.
            timeout_s: for connecting and for each read of one request.
            max_tokens: texts are cut to about this many tokens before they are sent.
            prompts: role -> what is put before the text.
            sleep: waits between tries.

        Raises:
            ModelError: the URL is none.
            ModelAwayError: the service does not answer with embeddings.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ModelError(f"encoder_remote_url {url!r} is not an http(s) URL.", "give e.g. http://127.0.0.1:8080/v1")
        self._path = _endpoint(parts)
        self._parts, self._model, self._api_key = parts, model, api_key
        self._timeout_s, self._sleep = timeout_s, sleep
        self._prompts = prompts or {}
        self._connection: http.client.HTTPConnection | None = None
        self.max_tokens = max_tokens
        try:
            self.dims = self._ask(["dimensions"]).shape[1]
        except EncoderError as error:
            raise ModelAwayError(f"no embeddings from {parts.hostname}: {error}.", "check encoder_remote_url") from None
        self.model_version = f"remote:{model}/{self.dims}-{max_tokens}"

    def prepare(self, texts: Sequence[str], role: Role) -> list[Prepared]:
        """See `Encoder`; tokens are estimated."""
        nothing = np.zeros(0, np.int32)
        prompt = self._prompts.get(role, "")
        return [Prepared(prompt + text, nothing, estimated_tokens(prompt + text, self.max_tokens)) for text in texts]

    def encode(self, batch: Sequence[Prepared]) -> NDArray[np.float32]:
        """See `Encoder`.

        Raises:
            EncoderError: no usable answer within the tries.
        """
        vectors = self._ask([each.text[: 4 * self.max_tokens] for each in batch])
        if vectors.shape[1] != self.dims:
            raise EncoderError(f"the service changed from {self.dims} to {vectors.shape[1]} dimensions")
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float32] = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
        return unit

    def close(self) -> None:
        """See `Encoder`."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, texts: list[str]) -> NDArray[np.float32]:
        body = msgspec.json.encode({"model": self._model, "input": texts, "encoding_format": "float"})
        reason = "no try was made"
        for attempt in range(RETRIES + 1):
            wait_s = FIRST_WAIT_S * 2**attempt
            try:
                reply = self._post(body)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            else:
                if reply.status == 200:
                    return _vectors(reply.body, len(texts))
                reason = f"status {reply.status}: {reply.body[:200].decode(errors='replace')}"
                if reply.status not in _AGAIN:
                    break
                if reply.retry_after and reply.retry_after.isdecimal():
                    wait_s = float(reply.retry_after)
            if attempt < RETRIES:
                self._sleep(min(wait_s, LONGEST_WAIT_S))
        raise EncoderError(reason)

    def _post(self, body: bytes) -> _Reply:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(str(self._parts.hostname), self._parts.port, timeout=self._timeout_s)
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        self._connection.request("POST", self._path, body, headers)
        answer = self._connection.getresponse()
        text = answer.read(MAX_ANSWER_BYTES + 1)
        if len(text) > MAX_ANSWER_BYTES:
            raise http.client.HTTPException(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        return _Reply(answer.status, answer.headers.get("Retry-After"), text)


def _endpoint(parts: SplitResult) -> str:
    path = parts.path.rstrip("/")
    if not path.endswith("/embeddings"):
        path += "/embeddings" if path.endswith("/v1") else "/v1/embeddings"
    return f"{path}?{parts.query}" if parts.query else path


def _vectors(body: bytes, n: int) -> NDArray[np.float32]:
    try:
        data = msgspec.json.decode(body, type=_Answer).data
    except msgspec.MsgspecError as error:
        raise EncoderError(f"the answer is not one of /v1/embeddings ({error})") from None
    rows = [each.embedding for each in sorted(data, key=lambda each: each.index)]
    if [each.index for each in data] != list(range(n)) and sorted(each.index for each in data) != list(range(n)):
        raise EncoderError(f"{len(data)} vectors for {n} texts")
    if len({len(row) for row in rows}) != 1 or not rows[0]:
        raise EncoderError("vectors of different lengths")
    return np.array(rows, np.float32)
