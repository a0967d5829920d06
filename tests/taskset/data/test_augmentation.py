"""Augmentations of images against colorsys and numpy."""

import colorsys
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskset.base import SPLITS
from taskset.data.arrays import ArrayDataset
from taskset.data.augmentation import Augmentation, AugmentedDataset, _to_hsv, _to_rgb

SHAPE = (5, 4, 3)
PIXELS = np.random.RandomState(0).randint(60, 256, (1, 60)).astype(np.uint8)
KEYS = jax.random.split(jax.random.key(0), 64)


def augmented(crop=None, everywhere=False, shape=SHAPE, **fields):
    size = int(np.prod(shape))
    examples = {"image": jnp.asarray(PIXELS[:, :size]), "label": jnp.zeros(1, jnp.int32)}
    data = ArrayDataset(dict.fromkeys(SPLITS, examples))
    settings = Augmentation(**fields)
    return AugmentedDataset(data, settings.settings(), shape, everywhere, crop)


def images(data, split="train", shape=SHAPE):
    drawn = jax.vmap(lambda key: data.sample(split, key, 1)["image"][0])(KEYS)
    return np.asarray(drawn).reshape(64, *shape)


def plain(shape=SHAPE):
    return PIXELS[0, : int(np.prod(shape))].reshape(shape) / 255


def test_colours_go_to_hue_and_back_as_in_the_standard_library():
    colours = np.random.RandomState(1).uniform(size=(50, 3)).astype(np.float32)
    colours[0] = 0.3  # grey has no hue
    hsv = _to_hsv(jnp.asarray(colours))
    expected = [colorsys.rgb_to_hsv(*map(float, colour)) for colour in colours]
    np.testing.assert_allclose(hsv, expected, atol=1e-5)
    np.testing.assert_allclose(_to_rgb(hsv), colours, atol=1e-5)


def test_nothing_is_changed_by_default():
    np.testing.assert_allclose(images(augmented()), [plain()] * 64, atol=1e-6)


@pytest.mark.parametrize(("name", "axis"), [("flip_left_right", 1), ("flip_up_down", 0)])
def test_half_of_the_images_are_flipped(name, axis):
    found = images(augmented(**{name: True}))
    mirrored = np.flip(plain(), axis)
    flipped = np.array([np.allclose(image, mirrored, atol=1e-6) for image in found])
    same = np.array([np.allclose(image, plain(), atol=1e-6) for image in found])
    assert np.all(flipped ^ same)
    assert abs(flipped.mean() - 0.5) < 4 * 0.5 / 8


def test_crops_are_all_the_windows_of_their_size():
    shape = (4, 3, 3)
    found = images(augmented(crop=1, crop_amount=1), shape=shape)
    windows = [plain()[y : y + 4, x : x + 3] for y in range(2) for x in range(2)]
    seen = {i for image in found for i, w in enumerate(windows) if np.allclose(image, w, atol=1e-6)}
    assert seen == {0, 1, 2, 3}
    assert all(any(np.allclose(image, w, atol=1e-6) for w in windows) for image in found)


def test_on_a_canvas_the_same_crop_lies_in_the_corner():
    fields = {"crop_amount": 1, "flip_left_right": True, "do_color_aug": True}
    fields |= {"brightness": 0.2, "saturation": 0.5, "hue": 0.1, "contrast": 0.4}
    cropped = images(augmented(crop=1, **fields), shape=(4, 3, 3))
    canvas = images(augmented(**fields))
    np.testing.assert_allclose(canvas[:, :4, :3], cropped, atol=2e-6)


def test_other_splits_are_cropped_in_the_middle_and_left_alone_unless_released():
    data = augmented(crop=2, crop_amount=2, flip_left_right=True)
    middle = plain()[1:4, 1:3]
    for split in SPLITS[1:]:
        np.testing.assert_allclose(
            images(data, split, (3, 2, 3)), np.broadcast_to(middle, (64, 3, 2, 3)), atol=1e-6
        )
    np.testing.assert_allclose(data.whole("test")["image"][0], middle.reshape(-1), atol=1e-6)
    everywhere = dataclasses.replace(data, everywhere=True)
    assert len(np.unique(images(everywhere, "test", (3, 2, 3)).reshape(64, -1), axis=0)) > 5


def test_brightness_shifts_and_contrast_scales_around_the_mean():
    shifts = images(augmented(do_color_aug=True, brightness=0.2)) - plain()
    assert np.ptp(shifts.reshape(64, -1), axis=1).max() < 1e-5
    assert 0.15 < np.abs(shifts).max() <= 0.2 + 1e-6
    found = images(augmented(do_color_aug=True, contrast=0.5))
    mean = plain().mean((0, 1))
    ratios = ((found - mean) / (plain() - mean)).reshape(64, -1)
    assert np.ptp(ratios, axis=1).max() < 1e-2
    assert ratios.min() >= 0.5 - 1e-3 and ratios.max() <= 1.5 + 1e-3
    np.testing.assert_allclose(found.mean((1, 2)), [mean] * 64, atol=1e-5)


@pytest.mark.parametrize("name", ["hue", "saturation"])
def test_hue_and_saturation_keep_the_value_of_a_colour(name):
    found = images(augmented(do_color_aug=True, **{name: 0.3}))
    np.testing.assert_allclose(found.max(-1), [plain().max(-1)] * 64, atol=1e-5)
    assert np.abs(found - plain()).max() > 0.05


def test_grey_images_have_no_colours_to_change():
    shape = (5, 4, 1)
    found = images(augmented(shape=shape, do_color_aug=True, brightness=0.2), shape=shape)
    np.testing.assert_allclose(found, [plain(shape)] * 64, atol=1e-6)


def test_a_smaller_batch_is_the_start_of_a_larger_one():
    data = augmented(flip_left_right=True, do_color_aug=True, brightness=0.1)
    small, large = (data.sample("train", KEYS[0], size)["image"] for size in (3, 8))
    np.testing.assert_array_equal(large[:3], small)
