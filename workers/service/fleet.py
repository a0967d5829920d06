"""All runs, as they are known at this moment."""

import time
from collections.abc import Iterator

from metaopt.client.models import Run
from workers.service.configuration import facts
from workers.service.liveness import Liveness
from workers.service.states import ACTIONS, Progress, derive, parse_status
from workers.service.store import Store, moment


class Fleet:
    """The runs below a root."""

    def __init__(self, store: Store, liveness: Liveness):
        self._store, self._liveness = store, liveness

    def __contains__(self, run: str) -> bool:
        return run in self._store.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._store.names())

    def run(self, name: str) -> Run:
        """All about a run that exists."""
        config, launch = self._store.config(name), self._store.launch(name)
        status = parse_status(self._store.status(name))
        known, records = facts(config), self._store.metrics(name)
        written = records.written if records else None
        asked = launch.launch if launch else None
        progress = Progress(0, known.num_steps, written)
        look = self._liveness.look(name, status, asked)
        state = derive(status, asked, progress, look, time.time())
        return Run(
            id=name,
            kind=known.kind,
            state=state.state,
            reason=state.reason,
            step=0,
            num_steps=known.num_steps,
            updated=moment(written or time.time()),
            optimizer=known.optimizer,
            estimator=known.estimator,
            tasks=list(known.tasks),
            actions=list(ACTIONS[state.state]),
            config=config.text if config else "",
            launch=asked,
            checkpoints=self._store.checkpoints(name),
            evaluations=self._store.evaluations(name),
        )
