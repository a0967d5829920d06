"""Ways to get the gradient of a training run; one module each, one interface for all."""

from metaopt.estimators.base import Context as Context
from metaopt.estimators.base import Estimate as Estimate
from metaopt.estimators.base import GradientEstimator as GradientEstimator
from metaopt.estimators.direct_gradient import DirectGradient as DirectGradient
from metaopt.estimators.forward_mode import ForwardMode as ForwardMode
from metaopt.estimators.forward_mode import OnlineForwardMode as OnlineForwardMode
from metaopt.estimators.full_backprop import FullBackprop as FullBackprop
from metaopt.estimators.full_es import FullES as FullES
from metaopt.estimators.implicit import Implicit as Implicit
from metaopt.estimators.inverse_variance import InverseVariance as InverseVariance
from metaopt.estimators.learned_stddev import LearnedStddevES as LearnedStddevES
from metaopt.estimators.persistent_es import GPES as GPES
from metaopt.estimators.persistent_es import NoiseReuseES as NoiseReuseES
from metaopt.estimators.persistent_es import PersistentES as PersistentES
from metaopt.estimators.persistent_es_with_backprop import (
    PersistentESWithBackprop as PersistentESWithBackprop,
)
from metaopt.estimators.reparameterised import Reparameterised as Reparameterised
from metaopt.estimators.resumed_persistent_es import ResumedPersistentES as ResumedPersistentES
from metaopt.estimators.reversible_backprop import ReversibleBackprop as ReversibleBackprop
from metaopt.estimators.several_objectives import Objective as Objective
from metaopt.estimators.several_objectives import SeveralObjectives as SeveralObjectives
from metaopt.estimators.taped_backprop import TapedBackprop as TapedBackprop
from metaopt.estimators.truncated_backprop import TruncatedBackprop as TruncatedBackprop
from metaopt.estimators.truncated_es import TruncatedES as TruncatedES
