"""What estimators have in common whose runs end with the call."""

import abc
import dataclasses

from metaopt.estimators.base import Context, GradientEstimator
from metaopt.horizons import Fixed, Horizon
from metaopt.learned_optimizers.base import MetaParams
from taskset.base import Dataset, Key


@dataclasses.dataclass(frozen=True)
class WholeRunEstimator(GradientEstimator, abc.ABC):
    """An estimate is over `num_tasks` whole runs. There is no state."""

    horizon: Horizon = Fixed(200)

    def init(
        self, meta_params: MetaParams, data: Dataset, key: Key, context: Context = Context()
    ) -> tuple[()]:
        del meta_params, data, key, context
        return ()
