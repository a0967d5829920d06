"""A pool on a Ray cluster: one actor per worker."""

from collections.abc import Iterable, Sequence
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayError, RayTaskError

from workers import wire
from workers.host import WorkerHost
from workers.ray_cluster import start_ray, stop_ray
from workers.remote_pool import RemotePool
from workers.transport import Died, Transport
from workers.worker import WorkerSpec


class RayActors(Transport):
    """Actors of one core, spread over the nodes; they end with this process.

    Ray itself restarts and retries nothing. A call made again on an actor whose state is gone would
    give a wrong estimate, and a new actor is there a second before Ray would restart the old one.
    """

    def __init__(self, address: str = "local", num_workers: int = 1):
        """Connects to Ray at `address` as `start_ray` does, unless this process is connected."""
        self._owns_ray = not ray.is_initialized()
        if self._owns_ray:
            start_ray(address, num_workers)
        # Once: Ray's control store keeps a record of each, and has to be there to take it.
        self._actor_class = ray.remote(WorkerHost)
        self._actors: dict[int, Any] = {}
        self._pending: dict[ray.ObjectRef, tuple[int, str]] = {}

    def launch(self, worker: int, spec: bytes = b"", num_gpus: float = 0.0) -> None:
        actor = self._actor_class.options(
            num_cpus=1,
            num_gpus=num_gpus,
            scheduling_strategy="SPREAD",
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=2,  # a call, and a probe meanwhile
            max_pending_calls=4,
            enable_task_events=False,
        )
        self._actors[worker] = actor.remote(spec, num_gpus)

    def submit(self, worker: int, method: str, *arguments: Any) -> None:
        # References are resolved only where they are arguments themselves.
        reference = self._actors[worker].call.remote(method, *arguments)
        self._pending[reference] = worker, method

    def wait(self, timeout: float) -> Iterable[tuple[int, str, Any]]:
        ready, _ = ray.wait(list(self._pending), num_returns=1, timeout=timeout)
        if ready and len(self._pending) > 1:  # what came meanwhile
            ready, _ = ray.wait(list(self._pending), num_returns=len(self._pending), timeout=0)
        for reference, outcome in zip(ready, _outcomes(ready), strict=True):
            if call := self._pending.pop(reference, None):
                yield *call, outcome

    def stop(self, worker: int) -> None:
        if actor := self._actors.pop(worker, None):
            ray.kill(actor)
        self._pending = {ref: call for ref, call in self._pending.items() if call[0] != worker}

    def publish(self, message: wire.Packed) -> Any:
        encoded = wire.encoded(message)
        if isinstance(encoded, bytes):
            return encoded  # in each call: to put it, and to find it, takes longer than to send it
        return ray.put(encoded)  # sent to a node once, not to each of its workers

    def close(self) -> None:
        for worker in list(self._actors):
            self.stop(worker)
        if self._owns_ray:
            stop_ray()
            self._owns_ray = False


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


def _outcomes(references: Sequence[ray.ObjectRef]) -> Sequence[Any]:
    """What came of calls that are over; fetched all at once, if all is well."""
    try:
        return ray.get(references)
    except RayError:
        return [_outcome(reference) for reference in references]


def _outcome(reference: ray.ObjectRef) -> Any:
    try:
        return ray.get(reference)
    except RayTaskError:  # a fault of the code, not of the cluster
        raise
    except RayError as error:
        preempted = isinstance(error, ActorDiedError) and error.preempted
        reason = " ".join(str(error).split())
        return Died(reason.partition(" Some common causes include")[0], preempted)
