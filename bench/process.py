"""What a process uses, read from /proc: the numbers of the system, not of the process itself."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Used:
    """`cpu` in seconds since the process began, memory in MB: `resident` now, `peak` the most so far."""

    cpu: float
    resident: float
    peak: float


def used(pid: int) -> Used:
    """What the process has used so far; raises `ProcessLookupError` where there is none."""
    try:
        fields = _stat(pid)
        status = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except FileNotFoundError as error:
        raise ProcessLookupError(f"there is no process {pid}") from error
    return Used((int(fields[11]) + int(fields[12])) / _TICKS, _megabytes(status, "VmRSS"), _megabytes(status, "VmHWM"))


async def imports_alone() -> float:
    """The memory of a process that has imported what our bot imports, and done nothing, in MB."""
    program = "import sys, bot.run, plugins.breakout.plugin; print(flush=True); sys.stdin.read()"
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    assert process.stdin is not None
    await process.stdout.readline()
    try:
        return used(process.pid).resident
    finally:
        process.stdin.close()
        await process.wait()


def age(pid: int) -> float:
    """Seconds since the process was started."""
    started = int(_stat(pid)[19]) / _TICKS
    return float(Path("/proc/uptime").read_text("ascii").split()[0]) - started


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may have blanks in it."""
    return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()


def _megabytes(status: str, name: str) -> float:
    line = next((line for line in status.splitlines() if line.startswith(f"{name}:")), f"{name}: 0 kB")
    return int(line.split()[1]) / 1024
