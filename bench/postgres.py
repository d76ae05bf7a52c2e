"""A PostgreSQL for one Synapse, where it is installed: real servers have one, and it takes longer than SQLite."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bot.testing.synapse import HOST

NOBODY = "nobody"
"""PostgreSQL refuses to run as root; where we are root, it runs as this user."""


def missing() -> str:
    """Why there is none to be had; empty where there is."""
    if not all(map(shutil.which, ("initdb", "pg_ctl", "postgres"))):
        return "PostgreSQL is not installed (initdb, pg_ctl and postgres in the PATH)"
    if importlib.util.find_spec("psycopg2") is None:
        return "Synapse cannot speak to PostgreSQL here (pip install psycopg2-binary)"
    return ""


@contextmanager
def database(folder: Path) -> Iterator[dict[str, Any]]:
    """A server in a folder of its own, as what Synapse's configuration says of it; it ends with the block."""
    folder.mkdir(parents=True)
    user = NOBODY if os.getuid() == 0 else None
    if user:
        shutil.chown(folder, user)
        folder.parent.chmod(0o711)  # a temporary folder of ours, that others must pass through
    data, port = folder / "data", _free_port()

    def call(*command: str) -> None:
        # The output goes to a file: a server that is started keeps what it has of ours open.
        with (folder / "output.log").open("ab") as log:
            subprocess.run(command, check=True, user=user, cwd=folder, stdout=log, stderr=log)

    call("initdb", "-D", str(data), "-U", "synapse", "-A", "trust", "-E", "UTF8", "--locale=C")
    options = f"-p {port} -k {folder} -c listen_addresses={HOST}"
    call("pg_ctl", "-D", str(data), "-w", "-o", options, "-l", str(folder / "postgres.log"), "start")
    try:
        call("createdb", "-h", HOST, "-p", str(port), "-U", "synapse", "-T", "template0", "synapse")
        login = {"user": "synapse", "dbname": "synapse", "host": HOST, "port": port, "cp_min": 5, "cp_max": 10}
        yield {"name": "psycopg2", "args": login}
    finally:
        call("pg_ctl", "-D", str(data), "-m", "immediate", "stop")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
