"""Trainings whose hyper-parameters can be tuned by name, in recipes of `metaopt tune`."""

from metaopt.hyperparameter_training import Training
from metaopt.trainings.schedules import Schedules as Schedules

# By the names that configurations have for them.
KINDS: dict[str, type[Training]] = {kind.__name__: kind for kind in (Schedules,)}
