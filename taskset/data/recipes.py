"""TaskSet's image data sets, and how each is made from one of tensorflow-datasets."""

from typing import NamedTuple


class Recipe(NamedTuple):
    """How labelled images are made from a builder of tensorflow-datasets."""

    builder: str  # with its configuration, when it has several
    size: int | None = None  # pixels, on a side, to which whole images are resized; None: as it is
    label: str = "label"  # the feature that is the class
    held_out: int | None = None  # examples that a held-out split takes off train; None: by size


# Held-out splits are as large as for TaskSet's sampled families (https://arxiv.org/abs/2002.11887).
RECIPES = {
    "cifar10": Recipe("cifar10", held_out=5000),
    "cifar100": Recipe("cifar100", held_out=5000),
    # 72 classes: the angle from which an object is seen, not the object
    "coil100_32x32": Recipe("coil100", 32, "angle_label", held_out=800),
    "colorectal_histology_32x32": Recipe("colorectal_histology", 32, held_out=700),
    "deep_weeds_32x32": Recipe("deep_weeds", 32, held_out=2000),
    "fashion_mnist": Recipe("fashion_mnist", held_out=5000),
    "food101_32x32": Recipe("food101", 32, held_out=5000),
    "food101_64x64": Recipe("food101", 64, held_out=5000),
    "imagenet_resized/16x16": Recipe("imagenet_resized/16x16", held_out=5000),
    "imagenet_resized/32x32": Recipe("imagenet_resized/32x32", held_out=5000),
    "mnist": Recipe("mnist", held_out=5000),
    "sun397_32x32": Recipe("sun397/tfds", 32, held_out=5000),
}


def recipe(name: str) -> Recipe:
    """The recipe of a name; of one that TaskSet does not have, the builder of that name as is."""
    return RECIPES.get(name, Recipe(name))
