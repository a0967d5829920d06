"""Names of tasks: what they build, and what they refuse."""

import dataclasses

import pytest

import taskset
from taskset.base import NoData, TaskFamily
from taskset.errors import InputError
from taskset.families.mlp import MLPFamily
from taskset.families.quadratic import QuadraticFamily


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("mlp", MLPFamily()),
        ("mlp:hidden=32x16,batch_size=8", MLPFamily(hidden=(32, 16), batch_size=8)),
        ("mlp:hidden=none", MLPFamily(hidden=())),
        ("mlp:dataset=emnist/letters,source=tfds", MLPFamily("emnist/letters", "tfds")),
        ("quadratic:dim=3,condition=2.5", QuadraticFamily(3, 2.5)),
        ("quadratic:condition=1e4", QuadraticFamily(condition=1e4)),
    ],
)
def test_names_build_families(name, family):
    assert taskset.build(name) == family


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("mlp:hidden=32", "mlp"),
        ("mlp:batch_size=8,hidden=16x4,dataset=digits", "mlp:hidden=16x4,batch_size=8"),
        ("quadratic:condition=1e2", "quadratic:condition=100"),
        ("quadratic:condition=0.125e1", "quadratic:condition=1.25"),
    ],
)
def test_the_canonical_name_has_what_differs_from_the_defaults_in_order_of_fields(name, canonical):
    assert taskset.name_of(taskset.build(name)) == canonical


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "unknown task ''; valid: "),
        ("mpl", "unknown task 'mpl'; did you mean 'mlp'?"),
        ("mlp:hiden=8", "unknown key of 'mlp' 'hiden'; did you mean 'hidden'?"),
        ("mlp:hidden", "'hidden' is not key=value"),
        ("mlp:hidden=8,,", "'' is not key=value"),
        ("mlp:hidden=8,hidden=9", "hidden is given twice"),
        ("mlp:hidden=8x", "hidden is '8x'; it must be integers with x between, as 32x16, or none"),
        ("mlp:batch_size=1.5", "batch_size is '1.5'; it must be an integer"),
        ("mlp:batch_size=-1", "batch_size is -1; it must be at least 1"),
        ("mlp:dataset=", "dataset is ''; it must be a name"),
        ("mlp:dataset=digts", "unknown data set 'digts'; did you mean 'digits'?"),
        ("quadratic:condition=big", "condition is 'big'; it must be a number"),
        ("quadratic:condition=inf", "condition is inf; it must be at least 1 and finite"),
    ],
)
def test_bad_names_are_refused_in_one_line(name, message):
    with pytest.raises(InputError) as caught:
        taskset.build(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(InputError, match="it must be at least 0 and below"):
        taskset.draw("mlp", seed)


def test_a_family_without_a_name_says_so():
    @dataclasses.dataclass(frozen=True)
    class Unnamed(TaskFamily):
        batch_size = 0

        def load_data(self):
            return NoData()

        def sample(self, data, key):
            raise NotImplementedError

    with pytest.raises(InputError, match="Unnamed has no task name"):
        taskset.name_of(Unnamed())
