"""Exported models on ONNX Runtime: CPU, CUDA or TensorRT. The only importer of onnxruntime beside the export's checks.

The provider that was asked for is the one that runs, or opening fails: ONNX Runtime itself would fall back to the CPU with a
warning, and a hundred times slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from models.encoder.contract import Prepared, Role
from models.encoder.errors import EncoderError, ModelError, OutOfMemoryError
from models.encoder.manifest import GRAPH_FILES, TOKENIZER_FILE, Manifest, Precision, file_sha256, read_manifest
from models.encoder.tokens import Tokeniser, padded

Provider = Literal["auto", "cpu", "cuda", "tensorrt"]

_NAMES: Final[dict[str, str]] = {
    "cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider",
}  # fmt: skip
_OUT_OF_MEMORY: Final = ("out of memory", "failed to allocate", "bad_alloc", "alloc_failed", "bfcarena")


class OnnxEncoder:
    """An `Encoder` over an exported model directory."""

    def __init__(
        self,
        directory: Path,
        *,
        provider: Provider = "auto",
        precision: Precision | None = None,
        threads: int = 0,
        device: int = 0,
    ) -> None:
        """Load and check.

        Args:
            directory: what `penchant encoder export` wrote.
            provider: `auto` takes the GPU if ONNX Runtime can use one, else the CPU; TensorRT only when named.
            precision: None = fp16 on a GPU if it was exported, else fp32.
            threads: of one operation on the CPU; 0 = the cores this process may use.
            device: number of the GPU.

        Raises:
            ModelError: no such model, a damaged file, or the provider is not to be had.
        """
        runtime = import_runtime()
        manifest = read_manifest(directory)
        wanted = choose_provider(provider, runtime.get_available_providers())
        precision = precision or ("fp16" if wanted != "cpu" and "fp16" in manifest.graphs else "fp32")
        self._session = _session(runtime, _checked(directory, manifest, precision), wanted, threads, device)
        in_use = self._session.get_providers()[0]
        if in_use != _NAMES[wanted]:
            if provider != "auto":
                raise ModelError(
                    f"encoder provider {wanted} was asked for but ONNX Runtime runs {in_use}.",
                    "install the extra encoder-gpu and an NVIDIA driver, or set encoder_provider to auto or cpu",
                )
            wanted = "cpu"
            precision = "fp32"
            self._session = _session(runtime, _checked(directory, manifest, precision), wanted, threads, device)
        self.provider: str = wanted
        self.precision = precision
        self.manifest = manifest
        self.model_version = manifest.model_version(precision)
        self.dims, self.max_tokens = manifest.dims, manifest.max_tokens
        self._tokeniser = Tokeniser((directory / TOKENIZER_FILE).read_text(encoding="utf-8"), manifest.prompts)
        self._device = device

    def prepare(self, texts: Sequence[str], role: Role) -> list[Prepared]:
        """See `Encoder`."""
        return self._tokeniser.prepare(texts, role)

    def encode(self, batch: Sequence[Prepared]) -> NDArray[np.float32]:
        """See `Encoder`."""
        return self.run(*padded(batch))

    def run(self, ids: NDArray[np.int32], lengths: NDArray[np.int32]) -> NDArray[np.float32]:
        """`encode` for arrays that are padded already.

        Raises:
            OutOfMemoryError, EncoderError: the runtime's error, by kind.
        """
        try:
            if self.provider == "cpu":
                vectors: NDArray[np.float32] = self._session.run(["vectors"], {"input_ids": ids, "lengths": lengths})[0]
                return vectors
            return self._bound_run(ids, lengths)
        except MemoryError as error:
            raise OutOfMemoryError(str(error) or "MemoryError") from error
        except Exception as error:
            text = str(error)
            kind = OutOfMemoryError if any(sign in text.lower() for sign in _OUT_OF_MEMORY) else EncoderError
            raise kind(text[:300]) from error

    def close(self) -> None:
        """See `Encoder`."""
        del self._session

    def _bound_run(self, ids: NDArray[np.int32], lengths: NDArray[np.int32]) -> NDArray[np.float32]:
        """With IO binding: the output stays on the device until it is fetched once, no implicit copies between."""
        binding = self._session.io_binding()
        binding.bind_cpu_input("input_ids", ids)
        binding.bind_cpu_input("lengths", lengths)
        binding.bind_output("vectors", "cuda", self._device)
        self._session.run_with_iobinding(binding)
        vectors: NDArray[np.float32] = binding.copy_outputs_to_cpu()[0]
        return vectors


def choose_provider(asked: Provider, available: Sequence[str]) -> str:
    """`cpu`, `cuda` or `tensorrt`.

    Raises:
        ModelError: the one asked for is not part of the installed ONNX Runtime.
    """
    if asked == "auto":
        return "cuda" if _NAMES["cuda"] in available else "cpu"
    if _NAMES[asked] not in available:
        have = ", ".join(key for key, name in _NAMES.items() if name in available)
        raise ModelError(
            f"encoder provider {asked} is not in the installed ONNX Runtime, which has {have}.",
            "install the extra encoder-gpu instead of encoder-cpu, or set encoder_provider to auto or cpu",
        )
    return asked


def import_runtime() -> Any:
    """The module onnxruntime.

    Raises:
        ModelError: it is not installed.
    """
    try:
        import onnxruntime  # noqa: PLC0415  (optional, and a second to load)
    except ImportError as error:
        raise ModelError(
            f"there is no encoder: ONNX Runtime cannot be imported ({error}).",
            "install one of the extras encoder-cpu and encoder-gpu, or set encoder_model to `none` (rank without text) "
            "or to `hashing` (for tests: no understanding)",
        ) from None
    onnxruntime.disable_telemetry_events()  # nothing that serves tells others about it
    return onnxruntime


def session_options(runtime: Any, threads: int) -> Any:
    """Options of every session: all fusions, no spinning (it would take the cores from the event loop)."""
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads or _cores()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def _session(runtime: Any, path: Path, provider: str, threads: int, device: int) -> Any:
    providers: list[Any] = [_NAMES["cpu"]]
    if provider != "cpu":
        if hasattr(runtime, "preload_dlls"):
            runtime.preload_dlls()  # CUDA and cuDNN from the nvidia-* wheels; without it they must be on the loader's path
        options = {"device_id": device}
        cuda = {**options, "arena_extend_strategy": "kSameAsRequested", "cudnn_conv_algo_search": "HEURISTIC"}
        providers = [(_NAMES["cuda"], cuda), *providers]
    if provider == "tensorrt":
        cache = str(path.parent / "tensorrt")  # building engines takes minutes: once, not at each start
        trt = {**options, "trt_fp16_enable": True, "trt_engine_cache_enable": True, "trt_engine_cache_path": cache}
        providers = [(_NAMES["tensorrt"], trt), *providers]
    try:
        return runtime.InferenceSession(str(path), session_options(runtime, threads), providers=providers)
    except Exception as error:  # the runtime's own exception types share no base
        raise ModelError(
            f"{path} cannot be loaded on {provider}: {str(error)[:300]}",
            "export the model again, or change the provider",
        ) from error


def _checked(directory: Path, manifest: Manifest, precision: Precision) -> Path:
    graph = manifest.graphs.get(precision)
    if graph is None:
        have = ", ".join(sorted(manifest.graphs))
        raise ModelError(f"{directory} has no {precision} graph, only {have}.", f"export it with --{precision}")
    path = directory / GRAPH_FILES[precision]
    for file, expected in ((path, graph.sha256), (directory / TOKENIZER_FILE, manifest.tokenizer_sha256)):
        if not file.is_file() or file_sha256(file) != expected:
            raise ModelError(f"{file} is missing or not what the manifest says.", "export the model again")
    return path


def _cores() -> int:
    import os  # noqa: PLC0415

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
