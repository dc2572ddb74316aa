"""The ``nssr`` command: ``serve``, ``train``, ``backup``, and without such a word the options of ``python -m nssr.main``."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from nssr.errors import UserError


def backup(arguments: Sequence[str]) -> int:
    """``nssr backup DIR COPY``: the databases of a service, consistent while it runs."""
    if len(arguments) != 2 or arguments[0].startswith("-"):
        raise UserError("nssr backup takes the folder of a service and a new folder for the copy: nssr backup DIR COPY")
    from nssr import db

    folder, copy = map(Path, arguments)
    names = [name for name in ("service.db", "symbolic.db") if (folder / name).is_file()]
    if not names:
        raise UserError(f"{folder} holds neither service.db nor symbolic.db; name the --data-dir of a service")
    try:
        copy.mkdir(parents=True)
    except FileExistsError:
        raise UserError(f"{copy} exists already; name a new folder, so that no older copy is lost") from None
    for name in names:
        db.backup(folder / name, copy / name)
        print(copy / name)
    return 0


def program() -> int:
    """The console script. Each command is imported when it is asked for: torch, FastAPI and sklearn are slow to load."""
    word, rest = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("", [])
    if word == "serve":
        from nssr import server

        return server.main(rest)
    if word == "train":
        from nssr import train_command

        return train_command.main(rest)
    if word == "backup":
        try:
            return backup(rest)
        except (UserError, sqlite3.Error, OSError) as refusal:
            print(f"nssr: {refusal}", file=sys.stderr)
            return 2
    from nssr import main

    return main.program()


if __name__ == "__main__":
    sys.exit(program())
