"""What a request may change of a configuration, and what it may not."""

import dataclasses
import random

import pytest
from tiny_run import TINY

from taskset.errors import InputError
from workers import strict_toml
from workers.config import RunConfig
from workers.service import field_help, overrides, recipes
from workers.service.resolved import BadOverrides, Limits
from workers.tune_config import TuneConfig

RECIPE = f"{TINY}[workers]\nnumber = 2\n"
TUNED = 'tasks = ["quadratic:dim=2"]\n[problem.training]\nkind = "Schedules"\n'


def refused(changes, limits: Limits = Limits()) -> BadOverrides:
    with pytest.raises(BadOverrides) as error:
        overrides.resolve(RECIPE, changes, limits)
    assert "\n" not in str(error.value)
    return error.value


def test_values_are_put_in_the_place_of_those_of_the_recipe():
    changes = {
        "seed": 3,
        "estimator.num_tasks": 4,
        "tasks": ["quadratic:dim=3"],
        "workers.number": 1,
    }
    config = overrides.resolve(RECIPE, changes)
    assert (config.seed, config.tasks) == (3, ("quadratic:dim=3",))
    assert config.estimator.num_tasks == 4
    assert config.estimator.truncation == 2


def test_another_kind_leaves_out_the_keys_that_it_has_not():
    changes = {"estimator.kind": "FullES", "estimator.stddev": 0.5}
    config = overrides.resolve(RECIPE, changes)
    assert isinstance(config, RunConfig)
    assert type(config.estimator).__name__ == "FullES"
    assert getattr(config.estimator, "stddev", None) == 0.5
    resolved = config.to_toml()  # as a clone has it, with all keys
    other = {"estimator.kind": "TruncatedBackprop", "estimator.truncation": 2}
    again = overrides.resolve(resolved, other)
    assert type(again.estimator).__name__ == "TruncatedBackprop"


@pytest.mark.parametrize("key", [key for key, _ in overrides.REFUSED])
def test_what_names_a_place_is_refused(key):
    error = refused({key: "x"})
    assert error.keys == (key,)
    assert "cannot be set here" in str(error)
    parent = key.rpartition(".")[0]
    assert not parent or refused({parent: "x"}).keys == (parent,)


def text_keys() -> set[str]:
    """Every key of a schema whose value is text that is not one of a few."""
    found: set[str] = set()

    def walk(cls: type, schema: strict_toml.Schema, at: str) -> None:
        for name, annotation in strict_toml.fields_of(cls, schema).items():
            key = f"{at}.{name}".lstrip(".")
            inner = schema.kinds.get(annotation, {}).values()
            if dataclasses.is_dataclass(annotation) and annotation not in schema.kinds:
                inner = [annotation]
            for kind in inner:
                walk(kind, schema, key)
            if annotation in (str, str | None):
                found.add(key)

    for config in (RunConfig, TuneConfig):
        walk(config, config.schema, "")
    return found


def test_all_other_text_is_a_name_that_the_schema_checks():
    """A new key of text has to be named here, or refused if it is that of a file or a place."""
    checked = {"learner.optimizer.name"}  # one of `outer_optimizer.optimizer_names`
    assert text_keys() == checked | ({key for key, _ in overrides.REFUSED} & text_keys())


@pytest.mark.parametrize(
    ("changes", "said", "keys"),
    [
        ({"estimator.num_taks": 3}, "did you mean 'num_tasks'", ("estimator.num_taks",)),
        ({"estimator.num_tasks": "3"}, "expected an integer", ("estimator.num_tasks",)),
        ({"optimizer.kind": "os:system"}, "code of your own", ("optimizer.kind",)),
        ({"optimizer.kind": "Adamm"}, "unknown optimizer.kind", ("optimizer.kind",)),
        ({"workers.number": 65}, "at most 64", ("workers.number",)),
        ({"a..b": 1}, "is no key", ("a..b",)),
        ({"a." * 9 + "b": 1}, "is no key", ("a." * 9 + "b",)),
        ({"seed": 10**400}, "at most 2**53", ("seed",)),
        ({"tasks": ["x"] * 101}, "at most 100", ("tasks",)),
        ({"tasks": ["x" * 301]}, "at most 300", ("tasks",)),
        ({"tasks": ["mlp:source=tfds,dataset=mnist/.."]}, "without '..'", ("tasks",)),
        ({"tasks": ["a\x00b"]}, "without '..'", ("tasks",)),
        ({"seed": -1}, "seed is -1", ("seed",)),
    ],
)
def test_what_is_wrong_is_one_line_and_the_key(changes, said, keys):
    error = refused(changes)
    assert said in str(error)
    assert error.keys == keys


def test_too_many():
    assert "at most 200" in str(refused({f"k{i}": 1 for i in range(201)}))


def test_a_clone_of_a_run_with_code_of_ones_own_is_refused():
    own = TUNED.replace('"Schedules"', '"subprocess:Popen"')
    with pytest.raises(BadOverrides, match="code of your own"):
        overrides.resolve(own, {})
    assert overrides.command_of(TUNED) == "tune"
    assert isinstance(overrides.resolve(TUNED, {}), TuneConfig)


def test_whatever_is_asked_for_is_a_configuration_or_one_line():
    """Keys and values at random, near those that there are and far from them."""
    rng = random.Random(0)
    known = [field.key for field in overrides.fields(overrides.resolve(RECIPE, {}))]
    known += ["mixture.components", "mixture.split", "guard.kind", "optimizer", "tasks.0", "kind"]
    values = [
        *(0, -1, 1, 2**53, 2**60, 0.5, -1e300, 1e-300, True, False, "", "none", "x", "a:b", "😀"),
        *("PersistentES", "FullES", "Uniform", "LogUniform", "Celo", "SGD", "cosine", "1e9"),
        *([], ["none"], ["mlp"], ["quadratic:dim=99999999999999999999"], ["mlp:hidden=0"]),
        *(["mlp_family*x"], ["mlp_family"], ["quadratic+x"], ["mlp:dataset=/etc/passwd"]),
    ]
    done = 0
    for _ in range(300):
        keys = rng.sample(known, rng.randint(1, 2))
        if rng.random() < 0.2:
            keys.append("".join(rng.choices("abc._-[]\n\"'=0é ", k=rng.randint(0, 12))))
        changes = {key: rng.choice(values) for key in keys}
        try:
            config = overrides.resolve(RECIPE, changes)
        except InputError as error:
            assert isinstance(error, BadOverrides), changes
            assert "\n" not in str(error)
        else:
            done += 1
            assert RunConfig.from_table(config.to_table()) == config
            assert config.start_from is None
            assert (config.workers.address, config.workers.pool) == ("local", "ray")
    assert done > 10


def test_fields_say_what_may_be_set():
    known = {f.key: f for f in overrides.fields(overrides.resolve(RECIPE, {}))}
    assert not known.keys() & {key for key, _ in overrides.REFUSED}
    assert known["seed"].help == "every random number of the run comes from it"
    assert known["estimator.kind"].value == "PersistentES"
    assert {"FullES", "TruncatedBackprop"} <= set(known["estimator.kind"].choices)
    assert known["workers.mode"].choices == ["synchronous", "asynchronous"]
    assert (known["tasks"].type, known["tasks"].value) == ("strings", ["quadratic:dim=2"])
    assert (known["learner.optimizer.clip"].type, known["learner.optimizer.clip"].value) == (
        "number",
        None,
    )
    for field in known.values():
        if field.value is not None and field.type != "strings":
            overrides.resolve(RECIPE, {field.key: field.value})


@dataclasses.dataclass(frozen=True)
class Commented:
    """A class with comments."""

    behind: int = 0  # is behind
    # is above,
    # in two lines
    above: int = 0
    neither: int = 0

    # belongs to nothing

    after: int = 0


def test_comments_are_those_behind_or_above():
    assert field_help.comments(Commented) == {
        "behind": "is behind",
        "above": "is above, in two lines",
        "neither": "",
        "after": "",
    }


def test_recipes_of_the_repository_can_be_started():
    found = {recipe.name: recipe for recipe in recipes.read()}
    assert "digits" in found
    assert found["digits"].title.endswith("export.")
    for recipe in found.values():
        overrides.resolve(recipe.config, {})


def test_recipes_that_cannot_be_used(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        recipes.read(tmp_path / "none")
    (tmp_path / "bad.toml").write_text("sed = 1\n")
    with pytest.raises(InputError, match=r"recipe .*bad.toml: .*did you mean 'seed'"):
        recipes.read(tmp_path)
