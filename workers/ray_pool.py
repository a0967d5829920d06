"""A pool on a Ray cluster: one actor per worker.

Ray finds a place for each worker and says what became of it. What they compute goes over a channel
of our own: Ray takes some milliseconds for a call, and more to keep an array for whoever may ask.
"""

import time
from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayError, RayTaskError

from workers.connected import Connected
from workers.host import WorkerHost
from workers.ray_cluster import start_ray, stop_ray
from workers.reception import Reception
from workers.remote_pool import RemotePool
from workers.transport import Died
from workers.worker import WorkerSpec

LOOK_SECONDS = 0.5  # between questions to Ray which actors are gone
REASON_SECONDS = 5.0  # that Ray has to say why, when a channel broke


class RayActors(Connected):
    """Actors of one core, spread over the nodes; they end with this process.

    Ray itself restarts and retries nothing. A call made again on an actor whose state is gone would
    give a wrong estimate, and a new actor is there a second before Ray would restart the old one.
    """

    def __init__(self, address: str = "local", num_workers: int = 1):
        """Connects to Ray at `address` as `start_ray` does, unless this process is connected."""
        super().__init__()
        self._owns_ray = not ray.is_initialized()
        if self._owns_ray:
            start_ray(address, num_workers)
        self._reception = Reception(ray.util.get_node_ip_address(), self._selector, self._connect)
        # Once: Ray's control store keeps a record of each, and has to be there to take it.
        self._actor_class = ray.remote(WorkerHost)
        self._actors: dict[int, Any] = {}
        self._lives: dict[ray.ObjectRef, int] = {}  # resolved when the actor is no more
        self._broken: dict[int, tuple[float, str]] = {}  # until when Ray may say why
        self._next_look = 0.0

    def launch(self, worker: int, spec: bytes = b"", num_gpus: float = 0.0) -> None:
        actor = self._actor_class.options(
            num_cpus=1,
            num_gpus=num_gpus,
            scheduling_strategy="SPREAD",
            max_restarts=0,
            max_task_retries=0,
            enable_task_events=False,
        )
        self._actors[worker] = actor.remote(spec, num_gpus)
        token = self._reception.expect(worker)
        self._lives[self._actors[worker].serve_at.remote(self._reception.address, token)] = worker

    def stop(self, worker: int) -> None:
        if actor := self._actors.pop(worker, None):
            ray.kill(actor)
        self._lives = {life: of for life, of in self._lives.items() if of != worker}
        self._broken.pop(worker, None)
        self._reception.expect_no_more(worker)
        super().stop(worker)

    def close(self) -> None:
        for worker in list(self._actors):
            self.stop(worker)
        self._reception.close()
        super().close()
        if self._owns_ray:
            stop_ray()
            self._owns_ray = False

    def _look(self, timeout: float) -> None:
        super()._look(min(timeout, 0.05 if self._broken else LOOK_SECONDS))
        now = time.monotonic()
        if self._broken or now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._bury(now)

    def _attend(self, worker: Any, connection: Any, events: int) -> None:
        if not self._reception.attend(connection):
            super()._attend(worker, connection, events)

    def _broke(self, worker: int, why: str) -> None:
        self._broken[worker] = time.monotonic() + REASON_SECONDS, why

    def _bury(self, now: float) -> None:
        """Learns from Ray which actors are no more, and why."""
        ended, _ = ray.wait(list(self._lives), num_returns=len(self._lives), timeout=0)
        for life in ended:
            worker = self._lives.pop(life)
            self._broken.pop(worker, None)
            self._disconnect(worker)
            self._died(worker, _why(life))
        for worker, (until, why) in list(self._broken.items()):
            if now > until:
                del self._broken[worker]
                self._died(worker, Died(f"its connection broke {why}".rstrip()))


class RayPool(RemotePool):
    """One actor of one core per worker: see `RayActors`."""

    def __init__(
        self,
        specs: Sequence[WorkerSpec],
        address: str = "local",
        asynchronous: bool = False,
        **options: Any,
    ):
        """Connects to Ray at `address` as `RayActors` does; the rest is as `RemotePool` says."""
        super().__init__(RayActors(address, len(specs)), specs, asynchronous, **options)


def _why(life: ray.ObjectRef) -> Died:
    """Why an actor is no more, of which this is the one call."""
    try:
        ray.get(life)
    except RayTaskError as error:  # in our own code: it could not reach us
        return Died(str(error).strip().splitlines()[-1])
    except RayError as error:
        preempted = isinstance(error, ActorDiedError) and error.preempted
        reason = " ".join(str(error).split())
        return Died(reason.partition(" Some common causes include")[0], preempted)
    return Died("its process ended")
