"""What a service is started with."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass, field
from pathlib import Path

from nssr.jobs.supervisor import Limits


@dataclass(frozen=True)
class Settings:
    """``token`` None: everybody who reaches the port may do everything, which is refused beyond loopback.

    ``body_mb`` is for tables; other bodies are held to ``json_mb``, since they are in memory as a whole. ``table_mb`` is for
    all tables together.
    """

    data_dir: Path
    token: str | None
    host: str = "127.0.0.1"
    allowed_hosts: frozenset[str] = frozenset()
    packs: tuple[str, ...] = ("core",)
    jobs: Limits = field(default_factory=Limits)
    queue: int = 32
    body_mb: int = 64
    json_mb: int = 8
    table_mb: int = 2000
    rows: int = 1_000_000
    columns: int = 1000
    datasets: int = 1000
    requests: int = 400
    grace_s: float = 10.0
    read_timeout_s: float = 20.0
    predict_rows: int = 10_000
    predict_s: float = 5.0

    @property
    def library(self) -> Path:
        return self.data_dir / "symbolic.db"

    def knows_host(self, header: str) -> bool:
        """Whether a Host header names this service. A page elsewhere that has made its own name point here (DNS rebinding)
        sends that name; it cannot send an address, so addresses are fine."""
        name = _without_port(header).strip("[]").rstrip(".").lower()
        try:
            ipaddress.ip_address(name)
            return True
        except ValueError:
            return name in {"localhost", self.host.lower(), socket.gethostname().lower(), *self.allowed_hosts}


def _without_port(header: str) -> str:
    if header.startswith("["):
        return header.split("]")[0]
    return header.rsplit(":", 1)[0] if header.count(":") == 1 else header


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
