import json
from pathlib import Path

import numpy as np
import pytest
from run_folders import Folder, lines, record

from workers.service import tail
from workers.service.files import LocalFiles
from workers.service.history import History
from workers.service.store import Store
from workers.service.tail import read_on


class Reader:
    """Reads the records of one run, as the service does."""

    def __init__(self, folder: Folder):
        self.folder, self.history = folder, History()
        self.store = Store(LocalFiles(folder.path.parent))

    def read(self) -> list:
        """Reads all that there is; what each part gave."""
        gains = []
        while not gains or gains[-1].more:
            entry = self.store.metrics(self.folder.path.name)
            gains.append(read_on(self.store, self.folder.path.name, self.history, entry))
        return gains

    def curve(self, name: str = "meta_loss"):
        return self.history.curve(name)


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(Folder(tmp_path, "one"))


def same(history: History, other: History):
    for name in ("meta_loss", "seconds", "families/mlp_family/estimates", "dropped/stale"):
        for part, expected in zip(history.curve(name), other.curve(name), strict=True):
            np.testing.assert_allclose(part, expected, rtol=1e-9)
    assert history.step == other.step
    assert history.position == other.position
    counts = lambda h: [(f.family, f.estimates, f.nonfinite_runs) for f in h.families()]
    assert counts(history) == counts(other)


def test_what_was_added_is_read_once(reader):
    reader.folder.write(1, 30)
    assert sum(gain.lines for gain in reader.read()) == 30
    reader.folder.write(31, 50)
    gains = reader.read()
    assert sum(gain.lines for gain in gains) == 20
    assert [e.step for gain in gains for e in gain.events if e.kind == "loss"] == [40, 50]
    assert reader.curve().step.tolist() == [*range(1, 51)]
    assert reader.curve().mean[29] == record(30)["meta_loss"]
    assert reader.history.lost() == {"stale": 5}
    assert reader.read()[0].lines == 0


def test_a_half_written_line_waits(reader):
    line = lines(1, 1)
    reader.folder.metrics.write_text(line[:-20])
    assert reader.read()[0].lines == 0
    reader.folder.metrics.write_text(line)
    assert (reader.read()[0].lines, reader.history.step) == (1, 1)


@pytest.mark.parametrize(
    "foreign",
    [
        b"\n",
        b"{}\n",
        b"null\n",
        b'{"step": "x"}\n',
        b'{"step": -1}\n',
        b'{"step": true}\n',
        b'{"step": 1e99}\n',
        b'{"step": 9999999999999999999999}\n',
        b"\xff\xfe\n",
        b"[" * 9999 + b"\n",
        b'{"step": 11, "losses": 3, "tasks": [1], "workers": null, "explanations": [[]]}\n',
    ],
)
def test_a_line_that_is_no_record_is_passed_over(reader, foreign):
    reader.folder.write(1, 10)
    with reader.folder.metrics.open("ab") as file:
        file.write(foreign)
    reader.read()
    reader.folder.write(12, 20)
    reader.read()
    assert reader.history.step == 20
    assert {*reader.curve().step.tolist()} == {*range(1, 11), *range(12, 21)}


def test_a_line_that_is_longer_than_any_record(reader, monkeypatch):
    monkeypatch.setattr(tail, "SLICE", 4000)
    reader.folder.write(1, 2)
    with reader.folder.metrics.open("a") as file:
        file.write("x" * 9000 + "\n")
    reader.folder.write(3, 4)
    reader.read()
    assert reader.curve().step.tolist() == [1, 2, 3, 4]


def test_numbers_that_are_not_finite(reader):
    reader.folder.write(1, 1).write(2, 2, meta_loss="nan").write(3, 3, meta_loss="inf")
    reader.read()
    assert reader.curve().step.tolist() == [1, 2, 3]
    assert np.isnan(reader.curve().mean[1:]).all()
    assert None in reader.history.sparkline()


@pytest.mark.parametrize("length", [60, 3000])
@pytest.mark.parametrize("kept", [0, 1, 37])
@pytest.mark.parametrize("more", [1, 40, 3000])
def test_a_run_that_goes_on_from_an_earlier_checkpoint(tmp_path, length, kept, more):
    reader = Reader(Folder(tmp_path, "one").write(1, length))
    reader.read()
    epoch = reader.history.epoch
    reader.folder.go_on_from(kept).write(kept + 1, kept + more, seconds=0.25)
    gains = reader.read()
    rewound = [gain.rewound for gain in gains if gain.rewound is not None]
    assert len(rewound) == 1
    assert kept - reader.history.width < rewound[0] <= kept
    if length <= 1000:  # then each bucket is one record
        assert rewound == [kept]
    assert reader.history.epoch == epoch + 1
    assert reader.history.rewound_since(epoch) == rewound[0]
    anew = Reader(reader.folder)
    anew.read()
    if reader.history.width == anew.history.width:
        same(reader.history, anew.history)
    assert reader.history.step == anew.history.step == kept + more


def test_a_file_that_is_gone_and_comes_again(reader):
    reader.folder.write(1, 20)
    reader.read()
    reader.folder.metrics.unlink()
    assert [gain.rewound for gain in reader.read()] == [0]
    reader.folder.write(1, 5)
    reader.read()
    assert reader.curve().step.tolist() == [1, 2, 3, 4, 5]


def test_steps_that_go_back_within_a_file(reader):
    reader.folder.write(1, 20).write(11, 15, seconds=2.0).write(14, 16)
    (gain,) = reader.read()
    assert gain.rewound == 10
    assert reader.curve().step.tolist() == [*range(1, 17)]
    assert reader.curve("seconds").mean[10:].tolist() == [2.0, 2.0, 2.0, 0.5, 0.5, 0.5]
    assert [e.step for e in gain.events] == [10]


def test_after_a_restart_reading_goes_on_where_it_was(reader):
    reader.folder.write(1, 3000)
    reader.read()
    saved = reader.history.to_bytes()
    reader.folder.write(3001, 3100)
    reader.read()
    again = Reader(reader.folder)
    again.history = History.from_bytes(saved)
    assert sum(gain.lines for gain in again.read()) == 100
    assert again.history.step == 3100
    assert again.history.lost() == reader.history.lost()
    assert again.history.families() == reader.history.families()
    assert len(saved) < 200_000


@pytest.mark.parametrize("content", [b"", b"no history", b"\0" * 100, json.dumps({}).encode()])
def test_other_bytes_are_no_history(content):
    with pytest.raises(ValueError):
        History.from_bytes(content)


def test_thousands_of_tasks_take_bounded_room(tmp_path):
    folder = Folder(tmp_path, "one")
    for step in range(1, 40):
        names = [f"mlp_family_seed{step * 100 + i}" for i in range(100)]
        tasks = {name: {"meta_loss": 1.0, "nonfinite_runs": 0.0} for name in names}
        folder.write(step, step, tasks=tasks)
    reader = Reader(folder)
    reader.read()
    (family,) = reader.history.families()
    assert (family.tasks, family.estimates) == (3900, 3900)
    assert family.share == [1.0] * 10
    assert len(reader.history.names) < 700
