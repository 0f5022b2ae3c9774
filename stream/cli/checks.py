"""What `penchant doctor` can find out about this machine: nothing here asks Kafka, and nothing of a worker's is changed."""

from __future__ import annotations

import fcntl
import os
import platform
import resource
import shutil
import socket
import subprocess
from importlib import import_module, metadata
from pathlib import Path
from typing import Final, Literal, NamedTuple

from models.encoder.errors import ModelError
from models.encoder.opening import open_encoder
from stream.params import encoder_choice
from stream.settings import DEFAULT_CONFIG_FILE, Settings, penchant_variables
from stream.storage.disk import FIX, LOW_BYTES, free_bytes, needed_bytes
from stream.storage.rocks import MAX_OPEN_FILES

Status = Literal["ok", "warn", "fail", "skip"]

MINIMUMS: Final[dict[str, str]] = {
    "confluent-kafka": "2.16",
    "cramjam": "2.14",
    "faust-streaming": "0.15.3",
    "httptools": "0.7",
    "msgspec": "0.22",
    "numba": "0.62",
    "numpy": "2.1",
    "polars": "1.30",
    "prometheus-client": "0.22",
    "pydantic-settings": "2.9",
    "rich": "14",
    "rocksdict": "0.3.29",
    "starlette": "0.50",
    "structlog": "25.5",
    "typer": "0.20",
    "uvicorn": "0.38",
    "uvloop": "0.22",
}
"""Oldest versions that do, as in pyproject.toml; a test compares."""

NVIDIA_WAIT_S: Final = 5.0


class Check(NamedTuple):
    """One finding. `fix` is what to do about a `warn` or a `fail`; otherwise empty."""

    name: str
    status: Status
    detail: str
    fix: str = ""


def skipped(name: str, why: str = "not asked, see above") -> Check:
    """A question that was not asked."""
    return Check(name, "skip", why)


def check_sources(settings: Settings, flags: dict[str, object]) -> Check:
    """Where the settings in force come from; names only, for values may be secrets."""
    path = Path(os.environ.get("PENCHANT_CONFIG") or DEFAULT_CONFIG_FILE)
    variables = [name for name in penchant_variables() if name != "PENCHANT_CONFIG"]
    given = sorted(f"--{name.replace('_', '-')}" for name, value in flags.items() if value is not None)
    parts = [
        f"{len(settings.model_fields_set)} set, the rest default",
        f"file {path}" if path.is_file() else f"no {path}",
    ]
    parts += [f"flags {', '.join(given)}"] if given else []
    parts += [f"environment {', '.join(variables)}"] if variables else []
    return Check("settings", "ok", "; ".join(parts))


def check_versions() -> Check:
    """Python and the packages that a worker needs."""
    python = f"Python {platform.python_version()}"
    found: dict[str, str] = {}
    for name in MINIMUMS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            return Check("versions", "fail", f"{python}; {name} is not installed", "install Penchant again: uv sync")
    old = [f"{name} {found[name]}" for name, least in MINIMUMS.items() if _numbers(found[name]) < _numbers(least)]
    if old:
        return Check("versions", "fail", f"{python}; too old: {', '.join(old)}", "install Penchant again: uv sync")
    return Check("versions", "ok", ", ".join([python, *(f"{name} {version}" for name, version in found.items())]))


def check_codecs() -> Check:
    """Can the worker read what producers compressed?"""
    try:
        codec = import_module("aiokafka.codec")
    except ImportError as error:
        return Check("compression", "fail", f"aiokafka cannot be imported: {error}", "install Penchant again: uv sync")
    missing = [name for name in ("gzip", "snappy", "lz4", "zstd") if not getattr(codec, f"has_{name}")()]
    if missing:
        detail = f"records compressed with {', '.join(missing)} cannot be read"
        return Check("compression", "fail", detail, "install cramjam: uv sync")
    return Check("compression", "ok", "gzip, snappy, lz4 and zstd can be read")


def check_data_dir(path: Path) -> Check:
    """Can a worker keep its state here, and does one already?"""
    if path.exists() and not path.is_dir():
        return Check("data directory", "fail", f"{path} is a file", "set --data-dir to a directory")
    base = _existing(path)
    if not os.access(base, os.W_OK | os.X_OK):
        return Check("data directory", "fail", f"{base} cannot be written", "set --data-dir to a writable directory")
    owner = _lock_owner(path / "lock")
    if owner is not None:
        return Check(
            "data directory",
            "warn",
            f"{path} is in use by a worker (process {owner})",
            "nothing, if that worker is the one you mean; a second one needs a --data-dir of its own",
        )
    return Check("data directory", "ok", f"{path} is writable and free" if path.exists() else f"{path} will be created")


def check_disk(path: Path, write_buffer_bytes: int, free: int | None = None) -> Check:
    """Room for RocksDB; `free` bytes, else as much as there is."""
    free = free_bytes(path) if free is None else free
    detail = f"{free / 2**30:.1f} GiB free for {path}"
    if free < needed_bytes(write_buffer_bytes):
        return Check("disk", "fail", detail, FIX)
    return Check("disk", "warn", detail, FIX) if free < LOW_BYTES else Check("disk", "ok", detail)


def check_metrics_port(host: str, port: int) -> Check:
    """Can the Prometheus endpoint be opened?"""
    if port == 0:
        return Check("metrics", "skip", "switched off (metrics_port is 0)")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            return Check(
                "metrics",
                "warn",
                f"{host}:{port} cannot be opened ({(error.strerror or str(error)).lower()})",
                "nothing, if a worker is running there; else set --metrics-port",
            )
    return Check("metrics", "ok", f"{host}:{port} is free")


def check_open_files(partitions: int) -> Check:
    """RocksDB aborts the process where it may open no further file."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * partitions * MAX_OPEN_FILES + 1024
    detail = f"at most {limit:,}; {partitions} partitions may need {needed:,}"
    if limit != resource.RLIM_INFINITY and limit < needed:
        return Check("open files", "warn", detail, f"ulimit -n {needed} before starting the worker")
    return Check("open files", "ok", detail)


def check_encoder(settings: Settings) -> Check:
    """The text encoder, loaded as a worker would load it (the default one is converted if it never was)."""
    choice = encoder_choice(settings)
    if choice is None:
        return Check("encoder", "skip", "encoder_model is `none`: lists are ranked without text")
    if choice.remote_url is not None:
        return Check("encoder", "skip", f"{choice.remote_url} is asked when a worker starts")
    try:
        encoder = open_encoder(choice)
    except ModelError as error:
        return Check("encoder", "fail", error.message, error.fix)
    detail = f"{encoder.model_version} on {encoder.provider}, {encoder.dims} dimensions"
    encoder.close()
    if encoder.provider == "hashing":
        return Check("encoder", "warn", f"{detail}: it understands nothing", "set encoder_model to `default`")
    return Check("encoder", "ok", detail)


def check_accelerator() -> Check:
    """An NVIDIA GPU; only the encoder uses one."""
    use = "the encoder runs on one with the extra encoder-gpu"
    if shutil.which("nvidia-smi") is None:
        return Check("accelerator", "skip", f"no NVIDIA GPU to be seen; {use}")
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=NVIDIA_WAIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Check("accelerator", "skip", f"nvidia-smi is there but fails ({type(error).__name__}); {use}")
    return Check("accelerator", "ok", f"{'; '.join(answer.stdout.split(chr(10))).strip('; ')}; {use}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _existing(path: Path) -> Path:
    """The path or its nearest parent that is there."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def _lock_owner(lock: Path) -> str | None:
    """Process id in a lock file that a worker holds; None if it is free. A shared lock, and only for an instant."""
    try:
        with lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read(20).strip() or "unknown"
    except OSError:
        return None
    return None
