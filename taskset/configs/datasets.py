"""The data sets that sampled families draw, with their batch sizes, subsets and augmentation."""

from typing import Any, NamedTuple

import numpy as np

from taskset.configs.draws import coin, linear_integer, log_float, log_integer
from taskset.distributions import one_of


class ImageDataset(NamedTuple):
    """What a data set of images looks like before augmentation."""

    shape: tuple[int, int, int]  # height, width, channels
    num_classes: int


IMAGE_DATASETS = {
    "cifar10": ImageDataset((32, 32, 3), 10),
    "cifar100": ImageDataset((32, 32, 3), 100),
    "coil100_32x32": ImageDataset((32, 32, 3), 72),  # the label is the angle of the camera
    "deep_weeds_32x32": ImageDataset((32, 32, 3), 9),
    "fashion_mnist": ImageDataset((28, 28, 1), 10),
    "food101_32x32": ImageDataset((32, 32, 3), 101),
    "imagenet_resized/16x16": ImageDataset((16, 16, 3), 1000),
    "imagenet_resized/32x32": ImageDataset((32, 32, 3), 1000),
    "mnist": ImageDataset((28, 28, 1), 10),
    "sun397_32x32": ImageDataset((32, 32, 3), 397),
}

AMAZON = tuple(
    f"tokenized_amazon_reviews/{category}"
    for category in ("Books_v1_02", "Camera_v1_00", "Home_v1_00", "Video_v1_00")
)
WIKIPEDIA = tuple(
    f"tokenized_wikipedia/20190301.{language}" for language in ("en", "hsb", "ja", "ru", "zh")
)

# The released list of names lacks a comma, which makes one label of the first two.
TEXT_DATASETS = (
    "imdb_reviews/subwords8kimdb_reviews/bytes",
    *(f"{corpus}_{encoding}" for corpus in AMAZON for encoding in ("bytes", "subwords8k")),
)
MAX_TOKEN = 8185


def language_model_datasets(encoding: str) -> tuple[str, ...]:
    """The corpora for language models in an encoding, "bytes" or "subwords8k", by name."""
    with_slash = (f"{corpus}/{encoding}" for corpus in ("imdb_reviews", "lm1b"))
    return (*with_slash, *(f"{corpus}_{encoding}" for corpus in (*AMAZON, *WIKIPEDIA)))


def image_dataset(rng: np.random.RandomState) -> list[Any]:
    """[name, settings, augmentation] of images; augmentation is None with probability 0.7."""
    name = one_of(rng, tuple(IMAGE_DATASETS))
    augmentation = _augmentation(rng) if coin(rng, 0.3) else None
    return [name, _image_settings(rng, name), augmentation]


def image_side(dataset: list[Any]) -> int:
    """Height and width in pixels of what `image_dataset` drew, after its augmentation crops."""
    name, _, augmentation = dataset
    return IMAGE_DATASETS[name].shape[0] - (augmentation["crop_amount"] if augmentation else 0)


def text_dataset(rng: np.random.RandomState) -> list[Any]:
    """[name, settings] of texts with a label."""
    name = one_of(rng, TEXT_DATASETS)
    num_train = _num_train(rng)
    settings = {
        "bs": log_integer(rng, 8, 512),
        "num_train": num_train,
        "max_token": MAX_TOKEN,
        "just_train": coin(rng, 0.2),
        "patch_length": log_integer(rng, 8, 128),
    }
    return [name, settings]


def language_model_dataset(
    rng: np.random.RandomState, encoding: str, max_patch_length: int
) -> list[Any]:
    """[name, settings] of texts without a label, in patches of 10 to `max_patch_length` tokens."""
    name = one_of(rng, language_model_datasets(encoding))
    num_train = _num_train(rng)
    settings = {
        "patch_length": log_integer(rng, 10, max_patch_length),
        "batch_size": log_integer(rng, 8, 512),
        "just_train": coin(rng, 0.2),
        "num_train": num_train,
    }
    return [name, settings]


def _image_settings(rng: np.random.RandomState, name: str) -> dict[str, Any]:
    """Batch size and training examples; None stands for all of them."""
    if name in ("mnist", "fashion_mnist"):
        return {
            "bs": log_integer(rng, 8, 512),
            "num_train": linear_integer(rng, 1000, 55000),
            "num_classes": 10,
            "just_train": coin(rng, 0.1),
        }
    if name in ("cifar10", "cifar100"):
        return {
            "bs": log_integer(rng, 8, 256),
            "num_train": linear_integer(rng, 1000, 50000),
            "just_train": coin(rng, 0.2),
        }
    return {"bs": log_integer(rng, 8, 256), "just_train": coin(rng, 0.2), "num_train": None}


def _augmentation(rng: np.random.RandomState) -> dict[str, Any]:
    """Pixels to crop, flips, and the largest change of colours, drawn even if there is none."""
    return {
        "crop_amount": one_of(rng, (0, 0, 0, 1, 2)),
        "flip_left_right": one_of(rng, (False, True)),
        "flip_up_down": one_of(rng, (False, True)),
        "do_color_aug": one_of(rng, (False, True)),
        "brightness": log_float(rng, 0.001, 64 / 255),
        "saturation": log_float(rng, 0.01, 1.0),
        "hue": log_float(rng, 0.01, 0.5),
        "contrast": log_float(rng, 0.01, 1.0),
    }


def _num_train(rng: np.random.RandomState) -> int | None:
    """Examples to train on, or None for all of them with probability 0.8."""
    return linear_integer(rng, 1000, 50000) if coin(rng, 0.2) else None
