"""What the machine has, told with the metrics: disk, memory, how long certificates are good for. Looked up as it is asked."""

from __future__ import annotations

import shutil
import ssl
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from stream.metrics import Metrics, Probe
from stream.settings import Settings
from stream.settings.memory import available_bytes
from stream.storage.disk import free_bytes

CERTIFICATES: Final = (
    "ssl_ca_location",
    "ssl_certificate_location",
    "sasl_oauth_ca_location",
    "serve_tls_certificate",
    "serve_tls_client_ca",
)
"""Settings that name a PEM file of certificates."""

UNREADABLE: Final = 0.0
"""As the end of a certificate that cannot be read: long ago, so whoever watches is told."""

_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def tell_of_machine(metrics: Metrics, settings: Settings, role: str, data_dir: Path, why_not_ready: Probe) -> None:
    """From now on the metrics say it. `role`: what this process is; `why_not_ready`: None while it is."""
    worker = metrics.worker
    worker.ready.labels(role).set_function(lambda: float(why_not_ready() is None))
    worker.free_bytes.set_function(partial(free_bytes, data_dir))
    worker.disk_bytes.set_function(partial(disk_bytes, data_dir))
    worker.memory_limit.set(available_bytes())
    metrics.output.explore_max.set(explore_share_max(settings))
    for name in CERTIFICATES:
        if (path := getattr(settings, name)) is not None:
            worker.certificate_expiry.labels(name).set_function(partial(expiry_s, path))


def disk_bytes(path: Path) -> int:
    """Size of the disk of `path`, or of where it is going to be."""
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).total


def explore_share_max(settings: Settings) -> float:
    """Of the places of a placement, as anybody has it, the largest share that explores."""
    return max(
        (
            each.explore.slots * each.explore.rate / (each.slots or settings.top_k)
            for _, each in settings.placements_of_all()
        ),
        default=0.0,
    )


def expiry_s(path: Path) -> float:
    """Unix time at which the first certificate of a PEM file ends; `UNREADABLE` where none can be read."""
    try:
        text = path.read_text(errors="replace")
        found = [f"{_BEGIN}{part.partition(_END)[0]}{_END}\n" for part in text.split(_BEGIN)[1:]]
        return min((_not_after_s(ssl.PEM_cert_to_DER_cert(pem)) for pem in found), default=UNREADABLE)
    except (OSError, ValueError, IndexError):
        return UNREADABLE


class _Element(NamedTuple):
    """One element of DER: its tag, and where in the bytes its content is."""

    tag: int
    begins: int
    ends: int


def _not_after_s(der: bytes) -> float:
    """RFC 5280, 4.1: Certificate > TBSCertificate > Validity > notAfter. `ssl` reads this of an authority's only.

    Raises:
        ValueError, IndexError: it is no certificate.
    """
    at = _element(der, _element(der, 0).begins).begins
    version = _element(der, at)
    fields = 4 if version.tag == _VERSION else 3  # [version], serial number, signature, issuer
    for _ in range(fields):
        at = _element(der, at).ends
    validity = _element(der, at)
    time = _element(der, _element(der, validity.begins).ends)
    text = der[time.begins : time.ends].decode("ascii")
    if time.tag == _UTC_TIME:  # two digits of the year: 50 and more are of the last century
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _element(der: bytes, at: int) -> _Element:
    length, begins = der[at + 1], at + 2
    if length & 0x80:
        n_bytes = length & 0x7F
        length, begins = int.from_bytes(der[begins : begins + n_bytes]), begins + n_bytes
    return _Element(der[at], begins, begins + length)
