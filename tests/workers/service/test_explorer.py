"""Tasks are drawn by seed, and pictured without training or markup of anyone else's."""

from xml.etree import ElementTree

import numpy as np
import pytest

from taskset import catalog, costs
from taskset.errors import InputError
from workers.service import explorer, thumbnails

EVIL = '<script>alert(1)</script>"&'


def texts(svg: str) -> str:
    """All text of a picture; fails for what is no XML or is not of ours."""
    tree = ElementTree.fromstring(svg)
    tags = {element.tag.rpartition("}")[2] for element in tree.iter()}
    assert tags <= {"svg", "title", "polyline", "g", "rect", "text"}
    return " ".join(tree.itertext())


def test_families_say_what_they_are_and_on_what_data():
    found = {family.family: family for family in explorer.families()}
    assert len(found) == 15
    assert all(family.about for family in found.values())
    assert "mnist" in found["mlp_family"].data_sets
    assert not found["quadratic_family"].data_sets


@pytest.mark.parametrize("family", ["mlp_family", "fixed", "quadratic"])
def test_the_same_seed_draws_the_same_tasks(family):
    first, again, other = (explorer.tasks(family, seed, 3) for seed in (1, 1, 9))
    assert first == again
    assert first != other
    for task in first:
        exact = catalog.exact(catalog.build(task.task))
        assert task.num_parameters == costs.num_parameters(exact)
        assert task.thumbnail.startswith("/v1/tasks/thumbnail.svg?task=")


def test_an_unknown_family():
    with pytest.raises(InputError, match="did you mean 'mlp_family'"):
        explorer.tasks("mlp_famly", 0, 1)


def test_a_task_with_shipped_curves_shows_adam():
    assert "Loss of Adam on TwoD_Bowl1:" in texts(explorer.thumbnail("TwoD_Bowl1:source=embedded"))
    related = texts(explorer.thumbnail("quadratic_family_seed0:source=embedded"))
    assert "Loss of Adam on quadratic_family_seed946" in related  # and says of which it is


def test_a_task_of_images_shows_some_of_them():
    svg = explorer.thumbnail("mlp:dataset=digits,hidden=7")
    assert texts(svg) == "Examples of mlp:dataset=digits,hidden=7"
    assert svg.count("<rect") == explorer.NUM_EXAMPLES * 8 * 8


def test_another_task_shows_its_configuration():
    assert "dim 3" in texts(explorer.thumbnail("quadratic:dim=3"))


@pytest.mark.parametrize("name", ["none", "x" * 301, EVIL])
def test_a_name_that_is_none(name):
    with pytest.raises(InputError):
        explorer.thumbnail(name)


def test_whatever_is_text_is_escaped():
    line = np.array([1.0, 2.0])
    assert EVIL in texts(thumbnails.curve(EVIL, line, line))
    assert '<b> "&' in texts(thumbnails.facts("x", [("<b>", '"&')]))
    assert EVIL in texts(thumbnails.images(EVIL, np.zeros((2, 3, 3, 1), np.uint8)))


@pytest.mark.parametrize("losses", [[np.nan, np.inf], [1.0, 1.0], [-1.0, 5.0], [1e-30, 1e30]])
def test_any_losses_make_a_picture(losses):
    svg = thumbnails.curve("x", np.array([0, 1]), np.array(losses))
    assert texts(svg)
    assert "nan" not in svg
    assert "inf" not in svg.replace("not finite", "")


@pytest.mark.parametrize("shape", [(8, 1, 1, 1), (3, 40, 20, 3), (1, 5, 5, 2)])
def test_images_of_any_shape_are_coarse(shape):
    svg = thumbnails.images("x", np.full(shape, 300, np.float32))
    squares = shape[0] * min(shape[1], 12) * min(shape[2], 12)
    assert svg.count('fill="#ffffff"') == squares
