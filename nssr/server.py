"""``nssr serve``, ``python -m nssr.server``: the service on a port. Arguments in, an address out; the rest is `nssr.service`.

Exit status 0 after SIGTERM or Ctrl-C, 2 where something given was refused.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nssr import __version__
from nssr.errors import UserError
from nssr.main import _complain, _Parser, _whole_number
from nssr.primitives import PACKS


def parser() -> argparse.ArgumentParser:
    p = _Parser(prog="nssr serve", description="Serves one library to a lab: tables, jobs, the page. See docs/service.md.",
                allow_abbrev=False)  # fmt: skip
    number = _whole_number(1, 1_000_000)
    p.add_argument("--data-dir", metavar="DIR", default="nssr-data", help="where everything is kept (default: nssr-data)")
    p.add_argument("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1, this machine alone)")
    p.add_argument("--port", type=_whole_number(0, 65535), default=8000, help="0: a free one (default: 8000)")
    p.add_argument("--token", help="the token of clients (default: NSSR_TOKEN, or a new one at each start)")
    p.add_argument("--no-auth", action="store_true", help="no token; on loopback only")
    p.add_argument("--allow-host", metavar="NAME", action="append", default=[], help="another name under which clients come")
    p.add_argument("--packs", metavar="NAMES", default="core", help="packs of primitives: core, science, ieee (default: core)")
    p.add_argument("--jobs", type=number, default=1, metavar="N", help="jobs at once (default: 1)")
    p.add_argument("--job-threads", type=number, default=max(1, (os.cpu_count() or 2) - 1), metavar="N",
                   help="threads of a job (default: all cores but one)")  # fmt: skip
    p.add_argument("--job-seconds", type=number, default=600, metavar="S", help="most seconds of a job (default: 600)")
    p.add_argument("--job-memory-mb", type=_whole_number(256, 10**7), default=4000, metavar="MB",
                   help="most memory of a job (default: 4000)")  # fmt: skip
    p.add_argument("--queue", type=number, default=32, metavar="N", help="most jobs that wait (default: 32)")
    p.add_argument("--max-body-mb", type=number, default=64, metavar="MB", help="largest CSV file (default: 64)")
    p.add_argument("--max-rows", type=_whole_number(3, 10**9), default=1_000_000, metavar="N",
                   help="most rows of a table (default: 1000000)")  # fmt: skip
    p.add_argument("--max-columns", type=number, default=1000, metavar="N", help="most columns of a table (default: 1000)")
    p.add_argument("--grace", type=_whole_number(0, 3600), default=10, metavar="S",
                   help="seconds that jobs get to end when the service stops (default: 10)")  # fmt: skip
    p.add_argument("--verbose", action="store_true", help="log more")
    p.add_argument("--version", action="version", version=f"nssr {__version__}")
    return p


def _settings(options: argparse.Namespace) -> Any:
    from nssr.jobs.supervisor import Limits
    from nssr.service.settings import Settings, is_loopback

    token = options.token or os.environ.get("NSSR_TOKEN") or secrets.token_urlsafe(24)
    if options.no_auth:
        if not is_loopback(options.host):
            raise UserError(f"--no-auth on {options.host} lets in whoever can reach it; leave it out, or listen at 127.0.0.1")
        if options.token:
            raise UserError("--token and --no-auth cannot be given together")
        token = None
    elif len(token) < 16 or not re.fullmatch(r"[\x21-\x7e]+", token):
        raise UserError("--token must have at least 16 characters, all of them printable ASCII without blanks")
    packs = tuple(word.strip() for word in options.packs.split(",") if word.strip())
    for pack in packs:
        if pack not in PACKS:
            raise UserError(f"--packs: there is no pack {pack!r}; choose from {', '.join(PACKS)}")
    return Settings(
        data_dir=Path(options.data_dir).absolute(), token=token, host=options.host, packs=packs,
        allowed_hosts=frozenset(name.lower() for name in options.allow_host), queue=options.queue,
        jobs=Limits(options.job_seconds, options.job_memory_mb, options.job_threads, options.jobs),
        body_mb=options.max_body_mb, json_mb=min(8, options.max_body_mb), rows=options.max_rows, columns=options.max_columns,
        grace_s=options.grace,
    )  # fmt: skip


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with contextlib.ExitStack() as closing:
            sock = closing.enter_context(socket.socket(family, socket.SOCK_STREAM))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            closing.pop_all()
        return sock
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"nothing can listen at {host}, port {port}: {reason}; choose another --port or --host") from None


def _serve(options: argparse.Namespace) -> int:
    try:
        import uvicorn

        from nssr.service import logs
        from nssr.service.app import create_app
        from nssr.service.patience import PatientProtocol
    except ModuleNotFoundError as error:
        raise UserError(f"the service needs {error.name}: pip install 'nssr[server]'") from None
    settings = _settings(options)
    sock = _listen(options.host, options.port)
    try:
        app, service = create_app(settings)
        logs.to_stderr(logging.DEBUG if options.verbose else logging.INFO)  # not before: a refusal leaves logging as it was
        host = f"[{options.host}]" if ":" in options.host else options.host
        address = f"http://{host}:{sock.getsockname()[1]}/"
        print(f"NSSR serves {settings.data_dir}", flush=True)
        print(f"Open {address}" + (f"?token={settings.token}" if settings.token else ""), flush=True)
        config = uvicorn.Config(
            app, http=PatientProtocol, access_log=False, log_config=None, server_header=False, timeout_keep_alive=15,
            timeout_graceful_shutdown=int(settings.grace_s) + 5, proxy_headers=False,
        )  # fmt: skip
        # uvicorn stops in peace and then raises the signal again; the peace was what was asked for.
        signal.signal(signal.SIGTERM, lambda number, frame: None)

        class Server(uvicorn.Server):
            def handle_exit(self, sig: int, frame: Any) -> None:
                service.supervisor.stop_soon()  # uvicorn waits for streams before it tells the application anything
                super().handle_exit(sig, frame)

        Server(config).run(sockets=[sock])
    finally:
        sock.close()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    try:
        return _serve(parser().parse_args(argv))
    except UserError as refusal:
        _complain(str(refusal))
        return 2
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
