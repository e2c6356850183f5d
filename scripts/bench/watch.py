"""Runs a program and measures time, CPU seconds and memory of it and its child processes."""

import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")

# Seconds between two looks at the memory. The kernel takes tens of milliseconds to add up the pages of a large process.
INTERVAL = 2.0


def children(pid: int) -> list[int]:
    """The process and its visible descendants."""
    found = [pid]
    for process in found:
        try:
            for task in Path(f"/proc/{process}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except (OSError, ValueError):
            pass
    return found


def resident(pid: int) -> float:
    """Memory of a process tree in MiB; shared pages count once."""
    total = 0
    for process in children(pid):
        try:
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:
            pass
    return total / 1024


def cpu(pid: int) -> float:
    """CPU seconds of a process tree so far, including reaped children."""
    total = 0
    for process in children(pid):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15]))
        except OSError:
            pass
    return total / TICKS


def busy() -> float:
    """Busy CPU seconds of all processors so far, including time stolen by the host."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return sum(int(fields[i]) for i in (0, 1, 2, 5, 6, 7)) / TICKS


@dataclass
class Run:
    """Costs of a program since it started its work."""

    start_s: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_mib: float = 0.0
    others: float = 0.0
    stopped: bool = False
    events: list[dict] = field(default_factory=list)


def run(command: list, begins, log: Path, env: dict | None = None, seconds: float | None = None) -> Run:
    """Runs `command`, which prints JSON lines, until it ends; after `seconds` it is killed. `begins` recognises the line that marks the
    start of the work."""
    result = Run()
    with log.open("ab") as errors:
        started = time.monotonic()
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=errors,
                                   stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})
        ended = threading.Event()

        def stop():
            result.stopped = True
            process.kill()

        timer = threading.Timer(seconds, stop) if seconds is not None else None
        if timer:
            timer.start()

        def watch():
            while not ended.wait(INTERVAL):
                result.peak_mib = max(result.peak_mib, resident(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        begun = None
        try:
            for line in process.stdout:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if not isinstance(event, dict):
                    continue
                result.events.append(event)
                if begun is None and begins(event):
                    begun = (time.monotonic(), cpu(process.pid), busy())
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            process.kill()
            raise
        finally:
            if timer:
                timer.cancel()
            ended.set()
            watcher.join()
    if result.stopped and begun is None:
        return result
    if not result.stopped and (process.returncode != 0 or begun is None):
        raise SystemExit(f"{command[0]} failed with {process.returncode}; its output is at the end of {log}")
    now, all_busy = time.monotonic(), busy()
    result.start_s = begun[0] - started
    result.wall_s = now - begun[0]
    result.cpu_s = usage.ru_utime + usage.ru_stime - begun[1]
    result.others = max(0.0, (all_busy - begun[2] - result.cpu_s) / result.wall_s)
    return result
