"""What the service takes under load, and whether its streams lose or double anything.

    python benchmarks/service_load.py [--minutes 10] [--clients 50] [--runs 20] [--json FILE]

A real `metaopt serve` reads live runs of 100,000 outer steps, to which records are added all the
time. Each client follows all runs over one stream, asks for the list and for the curves of a run
every other second, and hangs up and goes on from its cursor every twenty seconds or so. Every event
says which outer steps it covers: a step that no event covers is lost, one that two do is doubled.
Clients, service and whoever writes the records share this machine; who follows is in a process of
its own, so that what is measured of the answers is not how long that one is busy.
"""

import asyncio
import json as json_module
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import aiohttp
import measure
import numpy as np
import psutil
import tyro

sys.path.append(str(pathlib.Path(__file__).parents[1] / "tests"))

NAMES = ("meta_loss", "gradient_norm", "inner_steps_per_second", "staleness")
RECORDS_PER_SECOND = 2.0  # of each run
READY_SECONDS = 300.0


class Tally:
    """What the clients have met."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {"list": [], "metrics": []}
        self.counts: Counter[str] = Counter()


async def main(
    minutes: float = 10.0,
    clients: int = 50,
    runs: int = 20,
    steps: int = 100_000,
    json: pathlib.Path | None = None,
) -> None:
    """Measures and reports."""
    with tempfile.TemporaryDirectory() as path:
        root = pathlib.Path(path)
        folders = await asyncio.to_thread(write_runs, root / "runs", runs, steps)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "workers.cli", "serve", str(root / "runs")]
        command += ["--port", str(port), "--index", str(root / "index.sqlite")]
        with (root / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as service:
            try:
                rows = await load(service.pid, port, folders, clients, 60 * minutes, steps)
            finally:
                service.terminate()
                service.wait(30)
    title = f"{clients} clients of {runs} live runs of {steps:,} outer steps, {minutes:g} minutes"
    measure.report(title, rows, json)


def write_runs(root: pathlib.Path, runs: int, steps: int) -> list[Any]:
    """Runs that train, of so many outer steps."""
    from run_folders import Folder

    return [
        Folder(root, f"run-{index:02}", 10 * steps).status().write(1, steps)
        for index in range(runs)
    ]


async def load(
    pid: int, port: int, folders: list[Any], clients: int, seconds: float, steps: int
) -> list[dict[str, Any]]:
    """Waits until the service has read all, then sets the clients on it."""
    base, names = f"http://127.0.0.1:{port}", [folder.path.name for folder in folders]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(base, connector=connector, read_bufsize=2**20) as session:
        began = time.monotonic()
        await until_ready(session)
        ready = time.monotonic() - began
        tally, end = Tally(), time.monotonic() + seconds
        memory: list[float] = []
        busy = psutil.Process(pid).cpu_times()
        tasks = [ask(session, names, tally, end, index) for index in range(clients)]
        tasks += [write(folders, steps, end), watch(pid, memory, end)]
        with ProcessPoolExecutor(1, get_context("spawn")) as others:
            followed = others.submit(follow_all, base, names, clients, seconds)
            await asyncio.gather(*tasks)
            tally.counts.update(await asyncio.wrap_future(followed))
        now = psutil.Process(pid).cpu_times()
    quarter = max(len(memory) // 4, 1)
    rows = [
        {
            "request": kind,
            "requests": len(taken),
            "p50 ms": 1e3 * float(np.quantile(taken, 0.5)),
            "p99 ms": 1e3 * float(np.quantile(taken, 0.99)),
            "max ms": 1e3 * max(taken),
        }
        for kind, taken in tally.seconds.items()
    ]
    whole = {
        "ready after s": ready,
        "of a core": (now.user + now.system - busy.user - busy.system) / seconds,
        "MB, first quarter": float(np.median(memory[:quarter])) / 1e6,
        "MB, last quarter": float(np.median(memory[-quarter:])) / 1e6,
        **{name: tally.counts[name] for name in COUNTED},
    }
    return [row | whole for row in rows]


COUNTED = ("errors", "connections", "events", "steps covered", "steps lost", "steps doubled")


async def until_ready(session: aiohttp.ClientSession) -> None:
    """Returns when the service has read all folders."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        try:
            async with session.get("/readyz") as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.2)
    raise TimeoutError(f"the service is not ready after {READY_SECONDS:g} s")


async def ask(
    session: aiohttp.ClientSession, names: list[str], tally: Tally, end: float, seed: int
) -> None:
    """Asks for the list of runs and for the curves of one, in turns."""
    chance = random.Random(seed)
    await asyncio.sleep(chance.random() * 2)
    while time.monotonic() < end:
        run = chance.choice(names)
        curves = f"/v1/runs/{run}/metrics?points=500&" + "&".join(f"name={n}" for n in NAMES)
        for kind, path in (("list", "/v1/runs?limit=50"), ("metrics", curves)):
            began = time.perf_counter()
            async with session.get(path) as answer:
                await answer.read()
                tally.counts["errors"] += answer.status != 200
            tally.seconds[kind].append(time.perf_counter() - began)
            await asyncio.sleep(chance.uniform(0.5, 1.5))


def follow_all(base: str, names: list[str], clients: int, seconds: float) -> Counter[str]:
    """Follows with all clients, and counts; the whole of another process."""

    async def all_clients() -> Counter[str]:
        tally, end = Tally(), time.monotonic() + seconds
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(base, connector=connector, read_bufsize=2**20) as session:
            await asyncio.gather(*(follow(session, names, tally, end, i) for i in range(clients)))
        return tally.counts

    return asyncio.run(all_clients())


async def follow(
    session: aiohttp.ClientSession, names: list[str], tally: Tally, end: float, seed: int
) -> None:
    """Follows all runs, and goes on from its cursor whenever it has hung up."""
    chance, cursor, reached = random.Random(-1 - seed), "", {}
    query = "&".join([*(f"run={n}" for n in names), *(f"name={n}" for n in NAMES)])
    while time.monotonic() < end:
        hang_up = min(end, time.monotonic() + chance.expovariate(1 / 20))
        tally.counts["connections"] += 1
        headers = {"Last-Event-ID": cursor} if cursor else {}
        timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
        async with session.get(f"/v1/stream?{query}", headers=headers, timeout=timeout) as stream:
            tally.counts["errors"] += stream.status != 200
            event: dict[str, str] = {}
            async for line in stream.content:
                text = line.decode().rstrip("\n")
                if text:
                    key, _, value = text.partition(": ")
                    event[key] = value
                    continue
                if event.get("event") == "metrics":
                    take(json_module.loads(event["data"]), reached, tally)
                cursor, event = event.get("id", cursor), {}
                if time.monotonic() > hang_up:
                    break


def take(data: dict[str, Any], reached: dict[str, int], tally: Tally) -> None:
    """Counts what an event covers."""
    first, last = data["first"], data["last"]
    expected = reached.get(data["run"], first - 1) + 1
    reached[data["run"]] = last
    tally.counts["events"] += 1
    tally.counts["steps covered"] += last - first + 1
    tally.counts["steps lost"] += max(first - expected, 0)
    tally.counts["steps doubled"] += max(expected - first, 0)


async def write(folders: list[Any], steps: int, end: float) -> None:
    """Adds records to all runs, and their heartbeats."""
    while time.monotonic() < end:
        began = time.monotonic()
        steps += 1
        for folder in folders:
            folder.write(steps, steps)
            if steps % 10 == 0:
                folder.status()
        await asyncio.sleep(max(0.0, 1 / RECORDS_PER_SECOND - (time.monotonic() - began)))


async def watch(pid: int, memory: list[float], end: float) -> None:
    """The memory of the service, every second."""
    process = psutil.Process(pid)
    while time.monotonic() < end:
        memory.append(process.memory_info().rss)
        await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(tyro.cli(main))
