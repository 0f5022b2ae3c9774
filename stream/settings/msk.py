"""Tokens for Amazon MSK's IAM access control, made by Amazon's own package where that is installed."""

from __future__ import annotations

from importlib import import_module


def msk_token(region: str, _config: str = "") -> tuple[str, float]:
    """A signed token, and when it ends in seconds since 1970. `_config` is what librdkafka gives its callback.

    Raises:
        ImportError: aws-msk-iam-sasl-signer-python is not installed; looked for when a command begins.
    """
    signer = import_module("aws_msk_iam_sasl_signer")  # optional, and of interest to nobody else
    token, ends_ms = signer.MSKAuthTokenProvider.generate_auth_token(region)
    return str(token), float(ends_ms) / 1000
