"""Densities of images by normalizing flows: what Real NVP and autoregressive flows share."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import jax

from taskset.base import Batch, Key, Params
from taskset.configured import ConfiguredTask, TaskSpec
from taskset.families.image_inputs import image_input, image_spec
from taskset.networks.activations import Activation
from taskset.networks.coupling import Coupling
from taskset.networks.dims import Dim, Scalar, padded_size
from taskset.networks.flows import Flow, permutation
from taskset.networks.images import ImageInput
from taskset.networks.initializers import Initializer, draw_normal
from taskset.networks.made import Autoregressive
from taskset.options import Options

NOISE = 0.01  # standard deviation of what is added to pixels in [0, 1]
BIJECTORS = (2, 4)  # of a flow, of buckets
DEPTH = 2  # hidden layers of the network of a bijector, of a bucket
WIDTHS = (128,)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FlowDensity(ConfiguredTask):
    """Mean negative log-density of noisy images, in nats."""

    images: ImageInput
    flow: Flow
    batch: Dim

    def init(self, key: Key) -> Params:
        return self.flow.init(key)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        pixels = self.images.flat(batch["image"])
        noisy = self.flow.features.clear(pixels + NOISE * draw_normal(key, pixels.shape))
        return -self.batch.mean(self.flow.log_prob(params, noisy))


class MakeBijector(Protocol):
    """Makes a bijector of `features`, whose network has these hidden layers."""

    def __call__(
        self,
        features: Dim,
        hidden: tuple[Dim, ...],
        activation: Activation,
        initializer: Initializer,
        *,
        depth: Scalar | None,
    ) -> Coupling | Autoregressive: ...


def build_density(
    config: Mapping[str, Any], options: Options, make_bijector: MakeBijector
) -> TaskSpec:
    """The task of a configuration of `nvp_family` or `maf_family`."""
    data = image_spec(config["dataset"], options)
    images = image_input(data, center=False, options=options)
    sizes, count = config["hidden_units"], config["num_bijectors"]
    hidden = tuple(options.dim(size, WIDTHS) for size in sizes)
    num_bijectors = count
    if options.padded:
        hidden += (options.dim(1, WIDTHS),) * (DEPTH - len(sizes))
        num_bijectors = padded_size(count, BIJECTORS)
    bijector = make_bijector(
        images.features,
        hidden,
        options.activation(config["activation"]),
        options.initializer(config["w_init"]),
        depth=options.count(len(sizes)),
    )
    if not options.released:
        # Glow's start (https://arxiv.org/abs/1807.03039, section 3.3). From large initial weights,
        # which are sampled, the density of several bijectors would overflow.
        network = dataclasses.replace(bijector.network, zero_start=True)
        bijector = dataclasses.replace(bijector, network=network)
    orders = tuple(permutation(index, images.features) for index in range(num_bijectors - 1))
    flow = Flow(images.features, bijector, orders, options.count(count))
    return TaskSpec(FlowDensity(images, flow, data.batch), data, data.batch.padded)
