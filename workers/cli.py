"""The `metaopt` command.

A command is a frozen dataclass with `run() -> int`; its fields are its flags. Its module is
imported when it is called for: help is instant, and Ray starts before JAX does anything.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple, Protocol

USAGE_ERROR = 2
INTERRUPTED = 130


class Command(Protocol):
    """What a sub-command is, once its flags are known."""

    def run(self) -> int:
        """Does the work; returns the exit status."""
        ...


class Entry(NamedTuple):
    """Where a command is found, and what it is for."""

    module: str  # in workers.commands
    name: str  # of the dataclass, or of a function from flags to the dataclass
    summary: str


COMMANDS = {
    "train": Entry("train", "parse", "meta-train a learned optimizer"),
    "tune": Entry("tune", "parse", "tune the hyper-parameters of training by their gradient"),
    "resume": Entry("resume", "parse", "go on with a run from its newest checkpoint"),
    "submit": Entry("submit", "parse", "start a run as a job of a Ray cluster"),
    "status": Entry("job", "Status", "show the jobs of a Ray cluster"),
    "logs": Entry("job", "Logs", "print what a job has printed"),
    "stop": Entry("job", "Stop", "end a job, with a checkpoint"),
    "runs list": Entry("runs", "RunsList", "list the runs in a folder, and what became of them"),
    "runs scale": Entry("runs", "RunsScale", "let a run go on with fewer workers, or more again"),
    "runs show": Entry("served_runs", "RunsShow", "show a run of a service"),
    "runs start": Entry("served_runs", "RunsStart", "start a run through a service"),
    "runs stop": Entry("served_runs", "RunsStop", "stop a run of a service, with a checkpoint"),
    "runs resume": Entry("served_runs", "RunsResume", "have a run of a service go on"),
    "runs follow": Entry("served_runs", "RunsFollow", "print what happens in a run of a service"),
    "runs export": Entry("served_runs", "RunsExport", "download the export of a run of a service"),
    "runs download": Entry("runs", "RunsDownload", "copy a run at a URL into a folder"),
    "serve": Entry("serve", "Serve", "see and control runs from a browser and over HTTP"),
    "doctor": Entry("doctor", "Doctor", "check this machine, and a small run from end to end"),
    "evaluate": Entry("evaluate", "Evaluate", "compare it with tuned baselines on held-out tasks"),
    "report": Entry("report", "Report", "make the page of an evaluation over a suite"),
    "compare": Entry("compare", "Compare", "lay runs over one another"),
    "export": Entry("export", "Export", "write it as files that `metaopt.load` reads"),
    "tasks list": Entry("tasks", "TasksList", "list the task families, or the tasks of one"),
    "tasks show": Entry("task_show", "TasksShow", "show one task, its cost and Adam on it"),
    "tasks sample": Entry("task_sample", "TasksSample", "draw tasks from a mixture of families"),
    "tasks time": Entry("tasks", "TasksTime", "measure how long a step of tasks takes"),
    "tasks check": Entry("tasks", "TasksCheck", "put a task family of your own to the test"),
    "tasks curves": Entry("task_curves", "TasksCurves", "run a search space on tasks"),
    "optimizers list": Entry("optimizers", "OptimizersList", "list the learned optimizers"),
    "optimizers show": Entry("optimizers", "OptimizersShow", "show one, and what it costs"),
    "optimizers import": Entry("optimizers", "OptimizersImport", "make an export of VeLO or Celo"),
    "data list": Entry("data", "DataList", "list the data sets"),
    "data prepare": Entry("data", "DataPrepare", "put a data set on disk"),
    "data verify": Entry("data", "DataVerify", "check a data set on disk against its fingerprint"),
    "version": Entry("version", "Version", "print the versions of metaopt and its libraries"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `arguments`, or those of the process; returns the exit status.

    Input that its author can mend gives one line on stderr and status 2.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # as in `metaopt tasks list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ValueError as error:
        from taskset.errors import InputError  # takes JAX with it, so not at the top

        if not isinstance(error, InputError):
            raise
        print(f"metaopt: error: {' '.join(str(error).split())}", file=sys.stderr)
        return USAGE_ERROR


def _run(arguments: list[str]) -> int:
    words = [argument for argument in arguments[:2] if not argument.startswith("-")]
    for name in (" ".join(words), *words[:1]):
        if name in COMMANDS:
            return _command(name, arguments[len(name.split()) :]).run()
    group = words[0] if words and any(n.startswith(f"{words[0]} ") for n in COMMANDS) else ""
    unknown = [a for a in arguments[len(group.split()) :] if a not in ("-h", "--help")]
    if unknown:
        from taskset.errors import unknown_name

        raise unknown_name("command", f"{group} {unknown[0]}".strip(), COMMANDS)
    print(_help(group))
    return 0


def _command(name: str, arguments: Sequence[str]) -> Command:
    from workers import flags
    from workers.environment import cache_variables

    for variable, value in cache_variables().items():
        os.environ.setdefault(variable, value)
    entry = COMMANDS[name]
    found = getattr(importlib.import_module(f"workers.commands.{entry.module}"), entry.name)
    prog = f"metaopt {name}"
    return (
        flags.parse(found, arguments, prog) if isinstance(found, type) else found(arguments, prog)
    )


def _help(group: str) -> str:
    shown = {n: e.summary for n, e in COMMANDS.items() if not group or n.startswith(f"{group} ")}
    width = max(map(len, shown))
    lines = [f"  {name.ljust(width)}  {summary}" for name, summary in shown.items()]
    return "\n".join(
        [
            "usage: metaopt COMMAND [--help] ...",
            "",
            "Distributed meta-training of learned optimizers.",
            "",
            *lines,
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
