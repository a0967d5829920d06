"""Names of sampled tasks: what they stand for, and what is refused."""

import json
import subprocess
import sys

import pytest

from taskset import configs
from taskset.errors import InputError


def test_there_are_twelve_families():
    assert len(configs.names()) == len(set(configs.names())) == 12
    assert all(name.endswith("_family") for name in configs.names())


def test_a_name_is_split_into_family_and_seed():
    assert configs.split_name("mlp_family_seed0") == ("mlp_family", 0)
    assert configs.split_name("losg_tasks_family_seed4294967295") == (
        "losg_tasks_family",
        2**32 - 1,
    )


@pytest.mark.parametrize("family", configs.names())
def test_seeds_go_on_beyond_the_released_ones_up_to_the_largest_of_numpy(family):
    largest = 2**32 - 1 - configs.FAMILIES[family].seed_offset
    drawn = [configs.config(f"{family}_seed{seed}") for seed in (1000, 1001, largest)]
    assert drawn[0] != drawn[1] != drawn[2]
    with pytest.raises(InputError, match=f"{largest + 1}; it must be at most {largest}$"):
        configs.config(f"{family}_seed{largest + 1}")


@pytest.mark.parametrize("family", configs.names())
def test_configurations_survive_json_and_do_not_share_values(family):
    tasks = configs.to_json(family, range(100))
    assert json.loads(json.dumps(tasks)) == tasks
    name, (config, _) = next(iter(tasks.items()))
    before = json.dumps(config)
    again = configs.config(name)
    assert json.dumps(again) == before
    again.clear()
    assert json.dumps(configs.config(name)) == json.dumps(config) == before


def test_the_linked_initialisers_of_a_core_are_values_of_their_own():
    core = configs.config("char_rnn_language_model_family_seed0")["core"][1]
    assert core["wh"] == core["ur"]
    core["wh"].append("changed")
    assert core["wh"] != core["ur"]


def test_the_released_layout_is_sorted_by_name():
    tasks = configs.to_json("mlp_family", [2, 10, 1])
    assert list(tasks) == ["mlp_family_seed1", "mlp_family_seed10", "mlp_family_seed2"]
    assert tasks["mlp_family_seed2"] == [configs.config("mlp_family_seed2"), "mlp_family"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "task '' is no family with a seed; write it as mlp_family_seed7"),
        ("mlp_family", "task 'mlp_family' is no family with a seed"),
        ("mlp_family_seed", "is no family with a seed"),
        ("mlp_family_seed-1", "is no family with a seed"),
        ("mlp_family_seed07", "is no family with a seed"),
        ("mlp_family_seed\N{ARABIC-INDIC DIGIT SEVEN}", "is no family with a seed"),
        ("mlp_family_seed7\n", "is no family with a seed"),
        ("mlp_famly_seed7", "unknown task family 'mlp_famly'; did you mean 'mlp_family'?"),
        ("mlp_seed7", "unknown task family 'mlp'; "),
        ("mlp_family_seed" + "9" * 5000, "seed of mlp_family is 99999999999999999999; it must be"),
    ],
)
@pytest.mark.parametrize("function", [configs.config, configs.split_name, configs.feasible])
def test_bad_names_are_refused_in_one_line(function, name, message):
    with pytest.raises(InputError) as caught:
        function(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_configurations_need_no_jax():
    program = "import taskset.configs, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert "taskset.configs.registry" in done.stdout.split()
    assert "jax" not in done.stdout.split()
