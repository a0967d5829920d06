"""What a run would take: `metaopt train --dry-run --json`, in a process that has to end soon."""

import collections
import json
import tempfile
import threading
from pathlib import Path

from metaopt.client.models import Plan
from workers.service.children import Children
from workers.service.launches import digest
from workers.service.problems import Refusal
from workers.service.resolved import Resolved

MAX_KEPT = 128


class Plans:
    """Plans that were made are kept, by the text of their configurations."""

    def __init__(self, seconds: float = 120.0, price: float | None = None, currency: str = ""):
        """`seconds` is how long a plan may take to make; `price` is that of a core hour."""
        self._children, self._price, self._currency = Children(seconds), price, currency
        self._kept: collections.OrderedDict[str, Plan] = collections.OrderedDict()
        self._lock = threading.Lock()

    def make(self, run: Resolved) -> Plan:
        """Raises what `Children.output` raises."""
        key = digest(run.command, run.config)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with tempfile.TemporaryDirectory(prefix="metaopt-plan-") as folder:
            file = Path(folder, "metaopt.toml")
            file.write_text(run.config, encoding="utf-8")
            arguments = [run.command, "--config", str(file), "--dry-run", "--json"]
            plan = self._with_cost(self._children.output(arguments))
        with self._lock:
            self._kept[key] = plan
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return plan

    def _with_cost(self, printed: str) -> Plan:
        try:
            found = json.loads(printed.strip().splitlines()[-1])
        except (ValueError, IndexError):
            raise Refusal(422, "this cannot be planned: the plan is not readable") from None
        cost = None if self._price is None else self._price * found["core_hours"]
        return Plan(**found, cost=cost, currency=self._currency)
