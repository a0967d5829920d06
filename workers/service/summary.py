"""A run as a row of a list, from all that is known of it."""

from metaopt.client.models import Action, RunSummary, State
from workers.service.configuration import Facts
from workers.service.history import History, number
from workers.service.states import ACTIONS, Found
from workers.service.store import moment

FEW = 6  # significant digits of a sparkline


def summarise(
    run: str,
    facts: Facts,
    found: Found,
    history: History,
    began: float | None,
    updated: float,
    read_only: bool,
) -> RunSummary:
    """The row. When the run began and its folder was last written are seconds since 1970."""
    best = history.best()
    trains = found.state in (State.RUNNING, State.STALLED)
    return RunSummary(
        id=run,
        kind=facts.kind,
        state=found.state,
        reason=found.reason,
        step=history.step,
        num_steps=facts.num_steps,
        meta_loss=number(history.newest.get("meta_loss", float("nan"))),
        best=best[0] if best else None,
        began=None if began is None else moment(began),
        updated=moment(updated),
        seconds_left=_seconds_left(facts, history) if found.state is State.RUNNING else None,
        optimizer=facts.optimizer,
        estimator=facts.estimator,
        tasks=list(facts.tasks),
        workers=_workers(history) if trains else {},
        sparkline=[_few(mean) for mean in history.sparkline()],
        actions=_actions(facts, found.state, read_only),
    )


def _seconds_left(facts: Facts, history: History) -> float | None:
    if facts.num_steps is None or not history.longest:
        return None
    typical = sum(history.longest) / len(history.longest)
    return max(0.0, typical * (facts.num_steps - history.step))


def _workers(history: History) -> dict[str, int]:
    counts = {n: v for n, v in history.newest.items() if n.startswith("workers/")}
    return {name.removeprefix("workers/"): round(v) for name, v in counts.items() if v}


def _actions(facts: Facts, state: State, read_only: bool) -> list[Action]:
    impossible = {"train": (), "tune": ("export",), "unreadable": ("resume", "clone", "export")}
    allowed = ("export",) if read_only else ("stop", "resume", "clone", "scale", "export")
    return [a for a in ACTIONS[state] if a in allowed and a not in impossible[facts.kind]]


def _few(mean: float | None) -> float | None:
    return None if mean is None else float(f"{mean:.{FEW}g}")
