"""The settings of a command, and the wait for a broker before it begins."""

from __future__ import annotations

from typing import Any

from stream.display.terminal import stderr
from stream.errors import SettingsError
from stream.kafka.reach import wait_for_broker
from stream.kafka.security import check_security
from stream.settings import Settings, load_settings


def connected(**flags: Any) -> Settings:
    """Settings whose broker accepts connections.

    Raises:
        SettingsError: a setting or a flag is wrong.
        BrokerUnreachableError: as `wait_for_broker`.
    """
    settings = load_settings(**flags)
    reach(settings)
    return settings


def refuse_releases(settings: Settings) -> None:
    """What serves ranks with exact statistics so far; nobody is to believe otherwise.

    Raises:
        SettingsError: dp_epsilon is set.
    """
    if settings.dp_epsilon > 0.0:
        raise SettingsError(
            f"dp_epsilon is {settings.dp_epsilon:g}, but what serves ranks with exact item statistics.",
            "leave dp_epsilon at 0 here; `penchant evaluate rankings --models penchant_private` is what reads it",
        )


def reach(settings: Settings) -> None:
    """`wait_for_broker`; on a terminal a line tells what is waited for.

    Raises:
        SettingsError: no client can be made of the settings.
        BrokerUnreachableError: as `wait_for_broker`.
    """
    check_security(settings)
    with stderr().status("") as status:  # draws nothing where stderr is not a terminal

        def tell(problem: str) -> None:
            status.update(
                f"waiting for {settings.bootstrap_servers} ({problem}), at most {settings.connect_timeout_s:g} s"
            )

        wait_for_broker(settings, on_wait=tell)
