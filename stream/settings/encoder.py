"""The text encoder and its micro-batcher."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr

from stream.settings.bounds import Positive, PositiveFloat


class EncoderSettings(BaseModel):
    """The text encoder and its micro-batcher."""

    encoder_model: str = Field(
        "default",
        description="`default` (all-MiniLM-L6-v2), a directory made by `penchant encoder export`, `none` (rank without "
        "text), `hashing` (for tests: understands nothing), or the model's name at `encoder_remote_url`",
    )
    encoder_provider: Literal["auto", "cpu", "cuda", "tensorrt"] = Field(
        "auto", description="Where the encoder runs; what is named but not to be had stops the worker at its start"
    )
    encoder_device: Annotated[int, Field(ge=0)] = Field(0, description="Number of the GPU")
    encoder_threads: Annotated[int, Field(ge=0)] = Field(
        0, description="Threads of the encoder on the CPU; 0 = as many as cores"
    )
    encoder_cache_dir: Path = Field(
        Path("~/.cache/penchant"), description="Where the default model is kept after its conversion; workers share it"
    )
    encoder_remote_url: str | None = Field(
        None, description="An OpenAI-compatible embeddings service to ask instead, such as `http://tei:8080/v1`"
    )
    encoder_remote_api_key: SecretStr | None = Field(None, description="Bearer token of the embeddings service")
    encoder_remote_timeout_s: PositiveFloat = Field(10.0, description="Longest wait for the embeddings service")
    encoder_batch_tokens: Annotated[int, Field(ge=0)] = Field(
        0, description="Tokens of one batch, padding included; 0 = 2,048 on the CPU, 32,768 on a GPU, 8,192 remote"
    )
    encoder_batch_max_texts: Positive = Field(
        1024, description="Most texts in one batch; embeddings services often allow only 32"
    )
    encoder_batch_wait_ms: Annotated[float, Field(ge=0, le=5)] = Field(
        0.0, description="How long an idle encoder waits for more texts; only helps at low rates"
    )
    encoder_queue_max_texts: Positive = Field(32_768, description="Texts waiting for the encoder; more are refused")
    encoder_queue_max_tokens: Positive = Field(
        2_097_152, description="Tokens waiting for the encoder; more are refused"
    )
    encoder_timeout_s: PositiveFloat = Field(60.0, description="A text not encoded within this time is given up")
    encoder_ageing_s: Annotated[float, Field(ge=0)] = Field(
        5.0, description="How long periodic work lets newer urgent texts go first"
    )
    encoder_stall_s: PositiveFloat = Field(60.0, description="A batch that takes longer means that the encoder hangs")
    encoder_cache_max_texts: Annotated[int, Field(ge=0)] = Field(
        20_000, description="Vectors of recent texts kept in memory, 1.5 KB each"
    )
    text_vector_ttl_days: Annotated[int, Field(ge=0)] = Field(
        90, description="How long vectors of texts and queries stay on disk after they were last of use; 0 = for ever"
    )
    encoder_quarantine_s: Annotated[float, Field(ge=0)] = Field(
        600.0, description="How long a text that broke the encoder is refused at once"
    )
