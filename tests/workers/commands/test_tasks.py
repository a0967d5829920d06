"""`metaopt tasks`: what it prints, what it writes, and what it refuses."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from taskset import timings
from taskset.mixture import Mixture
from taskset.named import fixed_names, names
from workers import cli
from workers.commands import task_sample

pytestmark = pytest.mark.usefixtures("standard_promotion", "folder")

MY_TASKS = '''
"""Families of a user."""

import dataclasses

import jax.numpy as jnp

from taskset import QuadraticFamily


class Good(QuadraticFamily):
    """Inherits every promise."""


@dataclasses.dataclass(frozen=True)
class WithoutDefault(QuadraticFamily):
    size: int = dataclasses.field(kw_only=True)


class Infinite(QuadraticFamily):
    """Starts at infinity."""

    def sample(self, data, key):
        task = super().sample(data, key)
        return dataclasses.replace(task, minimum=task.minimum + jnp.inf)


good = Good(dim=3)
number = 3
'''


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def folder(tmp_path, data_folder, monkeypatch):
    """The working folder; timings and data lie apart from those of the machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METAOPT_DATA_DIR", str(data_folder))
    monkeypatch.setattr(timings, "MEASURED_SECONDS", 0.01)
    return tmp_path


@pytest.fixture
def printed(capsys):
    """Runs a command; returns what it prints."""

    def run(*arguments, status=0):
        assert cli.main(["tasks", *arguments]) == status
        return capsys.readouterr().out

    return run


@pytest.fixture
def records(printed):
    """Runs a command; returns what it prints as JSON."""
    return lambda *arguments, **options: json.loads(printed(*arguments, "--json", **options))


def test_list_has_every_family_with_what_it_holds(records):
    found = {record["name"]: record for record in records("list")}
    assert {*names(), "fixed", "mlp", "quadratic", "rescale_loss"} <= set(found)
    assert found["mlp"]["keys and defaults"]["hidden"] == "32"
    assert found["rescale_loss"]["keys and defaults"] == {"spread": 1000.0}
    assert found["conv_fc_family"]["tasks that can be built"] == "943 of 1000"
    assert found["fixed"]["tasks that can be built"] == "109 of 109"
    assert all(record["what"] for record in found.values())


def test_list_of_a_family_is_a_page_of_its_tasks(records):
    found = records("list", "--family", "conv_fc_family", "--page", "9")
    assert [record["name"] for record in found] == [
        f"conv_fc_family_seed{seed}" for seed in range(900, 1000)
    ]
    assert {record["split"] for record in found} == {"test"}
    assert "needs an input" in found[3]["cannot be built"]
    assert found[0]["cannot be built"] is None


def test_list_of_fixed_tasks_has_all_of_them(records):
    found = records("list", "--family", "fixed")
    assert [record["name"] for record in found] == list(fixed_names())


def test_show_counts_parameters_bytes_and_flops(records, monkeypatch):
    monkeypatch.setattr(timings, "measure", lambda name: 0.001)
    record = records("show", "mlp:hidden=16,batch_size=8")
    assert record["name"] == "mlp:hidden=16,batch_size=8"
    assert record["loss"] == "Mean cross-entropy, in nats, of an MLP on flat images."
    assert record["parameters"] == 64 * 16 + 16 + 16 * 10 + 10
    assert record["parameter_bytes"] == 4 * record["parameters"]
    assert record["batch_bytes"] == 8 * (64 + 4)
    assert sum(record["examples"].values()) == 1797
    first, second = 64 * 16, 16 * 10  # the first product has no gradient of its inputs
    assert record["flops_per_step"] == 2 * 8 * (2 * first + 3 * second)
    assert record["bytes_per_step"] > record["parameter_bytes"]
    assert record["milliseconds_per_step"] == 1.0


def test_show_works_without_data_and_draws_curves_in_text(printed):
    rows = dict(line.split(maxsplit=1) for line in printed("show", "quadratic:dim=3").splitlines())
    assert rows["parameters"] == "3"
    assert rows["batch_bytes"] == "0"
    assert 0 < float(rows["milliseconds_per_step"]) < 1000
    assert "examples" not in rows
    assert rows["Adam"].startswith("0.1 ")  # the last of three
    assert set("▁█") <= set(rows["Adam"])


def test_show_of_a_released_task_has_its_configuration_and_sizes_without_padding(
    records, monkeypatch
):
    monkeypatch.setattr(timings, "measure", lambda name: 0.001)
    record = records("show", "losg_tasks_family_seed0:buckets=padded+rescale_loss")
    exact = records("show", "losg_tasks_family_seed0")
    assert record["name"] == "losg_tasks_family_seed0:source=embedded,buckets=padded+rescale_loss"
    differ = {key for key in exact if record[key] != exact[key]}
    assert differ <= {"name", "buckets", "flops_per_step", "bytes_per_step", "memory_bytes"}
    assert isinstance(record["configuration"], list)


def test_show_draws_a_thumbnail(printed, folder):
    printed("show", "TwoD_Beale", "--thumbnail", "beale.png")
    with Image.open(folder / "beale.png") as image:
        assert image.format == "PNG"
        assert len(image.convert("RGB").getcolors(maxcolors=10**6)) > 10


SAMPLE = ("sample", "--families", "quadratic_family", "TwoD_Beale", "--split", "test")
EXACT = ("--buckets", "exact")


def test_sample_writes_tasks_of_the_mixture_that_can_be_timed(records, folder):
    shown = records(*SAMPLE, *EXACT, "--n", "3", "--max-parameters", "9", "--out", "tasks.json")
    written = json.loads((folder / "tasks.json").read_text())
    assert written["format"] == 1
    components = ("quadratic_family", "TwoD_Beale")
    mixture = Mixture(components, split="test", buckets="exact", max_parameters=9)
    assert written["mixture"] == json.loads(json.dumps(dataclasses.asdict(mixture)))
    assert [task["name"] for task in written["tasks"]] == [mixture.sample(i) for i in range(3)]
    assert [task["name"] for task in shown] == [task["name"] for task in written["tasks"]]
    assert all(0 < task["parameters"] <= 9 for task in written["tasks"])
    assert [path.name for path in folder.iterdir()] == ["tasks.json"]

    timed = records("time", "tasks.json", "quadratic:dim=2")
    assert [row["name"] for row in timed][-1] == "quadratic:dim=2"
    assert len(timed) == 1 + len({task["name"] for task in written["tasks"]})
    for row in timed:
        assert row["measured ms"] == pytest.approx(1000 * timings.seconds(row["name"]))
        ratio = row["measured ms"] / row["estimated ms"]
        assert row["measured / estimated"] == pytest.approx(ratio)


def test_sample_goes_on_by_seed_and_keeps_fingerprints(records):
    arguments = ("sample", "--families", "mlp:hidden=4", "quadratic")
    first, rest = records(*arguments, "--n", "6"), records(*arguments, "--n", "5", "--seed", "1")
    assert first[1:] == rest
    fingerprints = {record["name"]: record["fingerprint"] for record in first}
    assert fingerprints == {"mlp:hidden=4": build_fingerprint(), "quadratic": "-"}


def build_fingerprint():
    from taskset.data import sources

    return sources.info("digits").fingerprint[:16]


def test_sample_writes_nothing_when_a_task_cannot_be_drawn(refusal, folder):
    limits = ("--max-step-seconds", "1e-9", "--out", "tasks.json")
    assert "raise a limit" in refusal("tasks", "sample", "--families", "quadratic", *limits)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("family", ["my_tasks:Good", "my_tasks:good"])
def test_check_of_a_good_family_succeeds(family, records, my_tasks):
    found = records("check", family)
    assert len(found) > 5
    assert all(record["ok"] for record in found)


def test_check_of_a_bad_family_fails_and_says_why(printed, my_tasks):
    text = printed("check", "my_tasks:Infinite", status=1)
    assert "the loss at the start is inf" in text


@pytest.fixture
def my_tasks(folder, monkeypatch):
    """A module of the user in the working folder, forgotten afterwards."""
    (folder / "my_tasks.py").write_text(MY_TASKS)
    (folder / "broken.py").write_text("1 / 0")
    import sys

    monkeypatch.syspath_prepend(str(folder))  # for unpickling; the command finds it by itself
    yield
    sys.modules.pop("my_tasks", None)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("my_tasks", "'my_tasks' is not MODULE:FAMILY"),
        ("my_taskss:Good", "module 'my_taskss' is not found"),
        ("my_tasks:Goood", "module 'my_tasks' has no 'Goood'; did you mean 'Good'?"),
        ("my_tasks:number", "is no taskset.TaskFamily, but of type int"),
        ("my_tasks:WithoutDefault", "cannot be made without arguments"),
        ("broken:Good", "'broken' cannot be imported: ZeroDivisionError: division by zero"),
    ],
)
def test_check_refuses_what_is_no_family(family, message, refusal, my_tasks):
    assert message in refusal("tasks", "check", family)


CURVES = ("curves", "quadratic:dim=2", "--steps", "50", "--replicas", "2", "--out", "out")


def test_curves_have_the_released_layout_and_are_computed_once(printed, refusal, folder):
    space = ("--space", "adam4p_wide_grid", "--configurations", "2:5")
    printed(*CURVES, *space)
    path = folder / "out" / "quadratic:dim=2" / "adam4p_wide_grid_50_replica2.npz"
    with np.load(path, allow_pickle=False) as found:
        assert found["optimizers"].tolist() == [b"adam4p_wide_grid_seed%d" % i for i in (2, 3, 4)]
        np.testing.assert_array_equal(found["xs"], np.arange(51))
        assert found["ys"].shape == (3, 2, 51, 4)
    before = path.stat()
    assert "is there" in printed(*CURVES, *space)
    assert path.stat() == before
    message = refusal("tasks", *CURVES, "--space", "adam4p_wide_grid")
    assert "holds 3 other configurations, from adam4p_wide_grid_seed2" in message
    assert list(path.parent.iterdir()) == [path]


def test_every_field_of_a_mixture_is_a_flag():
    fields = {field.name for field in dataclasses.fields(task_sample.Families)}
    assert fields == {field.name for field in dataclasses.fields(Mixture)}
    assert task_sample.Families() == task_sample.Families(**dataclasses.asdict(Mixture()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("list --family mlp_famly", "did you mean 'mlp_family'?"),
        ("list --family mlp_family --page -1", "--page is -1"),
        ("show mpl", "did you mean 'mlp'?"),
        ("show quadratic --thumbnail a.gif", "--thumbnail is a.gif; it must end in .png or .svg"),
        ("show quadratic --thumbnail no/a.png", "cannot write no/a.png"),
        ("sample --families mlp_famly", "did you mean 'mlp_family'?"),
        ("sample --families quadratic --n 0", "--n is 0; it must be at least 1"),
        ("sample --families quadratic --seed -1", "--seed is -1; it must be at least 0"),
        ("sample --families quadratic --out tasks.txt", "it must end in .json"),
        ("sample --families quadratic --out no/tasks.json", "cannot write no/tasks.json"),
        ("sample --max-parameters -1", "max_parameters is -1"),
        ("time none.json", "cannot read none.json"),
        ("time list.json", "list.json is no file of tasks"),
        ("time mpl", "did you mean 'mlp'?"),
        ("curves quadratic --out o --space adam", "unknown search space 'adam'"),
        ("curves quadratic --out o --configurations 5:5", "--configurations is '5:5'"),
        ("curves quadratic --out o --steps 10", "it must be a multiple of 50"),
        ("curves quadratic --out o --replicas 0", "num_replicas is 0"),
        ("curves mpl --out o", "did you mean 'mlp'?"),
    ],
)
def test_bad_input_is_refused(arguments, message, refusal, folder):
    (folder / "list.json").write_text("[1]")
    assert message in refusal("tasks", *arguments.split())
    assert [path.name for path in folder.iterdir()] == ["list.json"]
