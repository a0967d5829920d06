import itertools

import numpy as np
import pytest

from workers.service.curves import NONFINITE, Batch, Curves

BUCKETS = 16


def batch(first: int, last: int, **named: np.ndarray) -> Batch:
    """Consecutive records, with a line of ten bytes each."""
    step = np.arange(first, last + 1)
    values = {"loss": 1.0 / step, **named}
    return Batch(
        step,
        step * 0.5,
        (step - 1) * 10,
        step.astype(np.uint32),
        tuple(values),
        np.stack(list(values.values()), axis=1).astype(float),
    )


def curves(*batches: Batch) -> Curves:
    made = Curves(BUCKETS, max_names=4)
    for one in batches:
        made.add(one)
    return made


def by_bucket(made: Curves, name: str = "loss"):
    """The curve without the newest records that are kept one by one."""
    return Curves.from_bytes(made.to_bytes(), BUCKETS, 4).curve(name)


def test_buckets_say_what_the_records_in_them_say():
    points = by_bucket(curves(batch(1, 100)))
    width = 8  # the least with which 16 buckets are enough
    loss = 1.0 / np.arange(1, 101)
    parts = np.split(loss, np.arange(width, 100, width))
    assert points.step.tolist() == [*range(width, 100, width), 100]
    np.testing.assert_allclose(points.mean, [part.mean() for part in parts], rtol=1e-12)
    np.testing.assert_array_equal(points.low, [part.min() for part in parts])
    np.testing.assert_array_equal(points.high, [part.max() for part in parts])
    np.testing.assert_array_equal(points.seconds, points.step * 0.5)


@pytest.mark.parametrize("cuts", [(1,), (3, 4, 50), (16, 17, 33, 64, 65), tuple(range(1, 100))])
def test_how_records_arrive_makes_no_difference(cuts):
    edges = [0, *cuts, 100]
    made = curves(*(batch(a + 1, b) for a, b in itertools.pairwise(edges)))
    whole = curves(batch(1, 100))
    for part, same in zip(by_bucket(made), by_bucket(whole), strict=True):
        np.testing.assert_allclose(part, same, rtol=1e-12)
    assert made.anchors() == whole.anchors()


def test_records_that_were_taken_in_are_not_taken_in_again():
    made = curves(batch(1, 60), batch(40, 100))
    assert made.total("loss") == pytest.approx((1.0 / np.arange(1, 101)).sum())


def test_the_newest_records_are_exact():
    made = curves(batch(1, 1400), batch(1401, 1480), batch(1481, 2000))
    points = made.curve("loss", 1900, 1905)
    assert points.step.tolist() == [1900, 1901, 1902, 1903, 1904, 1905]
    np.testing.assert_array_equal(points.mean, 1.0 / points.step)
    assert len(made.curve("loss", 300, 2000).step) <= BUCKETS
    fewer = made.curve("loss", 1801, 2000, points=10)
    assert fewer.step.tolist() == [*range(1820, 2001, 20)]
    assert fewer.mean[0] == pytest.approx((1.0 / np.arange(1801, 1821)).mean())


def test_values_that_are_not_finite_are_seen_and_not_counted():
    loss = np.array([1.0, NONFINITE, 3.0, NONFINITE])
    rare = np.array([np.nan, np.nan, np.nan, 7.0])
    made = curves(batch(1, 4, loss=loss, rare=rare))
    for points in (made.curve("loss"), by_bucket(made)):
        assert points.step.tolist() == [1, 2, 3, 4]
        np.testing.assert_array_equal(points.mean, [1.0, np.nan, 3.0, np.nan])
    assert by_bucket(made, "rare").step.tolist() == [4]
    assert made.curve("loss", points=2).mean.tolist() == [1.0, 3.0]
    assert made.total("loss") == 4.0


def test_names_beyond_the_limit_are_not_kept():
    many = {f"m{i}": np.ones(3) for i in range(9)}
    made = curves(batch(1, 3, **many), batch(4, 5))
    assert list(made.names) == ["loss", "m0", "m1", "m2"]
    assert len(made.curve("m8").step) == 0
    assert made.curve("m2").step.tolist() == [1, 2, 3]


def test_an_anchor_is_where_a_bucket_begins():
    anchors = curves(batch(1, 100)).anchors()
    assert [a.step for a in anchors] == [*range(1, 100, 8)]
    assert all(a.offset == (a.step - 1) * 10 and a.check == a.step for a in anchors)
    assert all(a.seconds == (a.step - 1) * 0.5 for a in anchors)


def test_what_is_dropped_is_as_if_it_had_never_been():
    made = curves(batch(1, 100))
    anchor = made.drop_from(41)
    assert (anchor.step, anchor.offset, anchor.seconds) == (41, 400, 20.0)
    assert made.last_step == 40
    made.add(batch(41, 100))
    again = curves(batch(1, 100))
    for part, same in zip(by_bucket(made), by_bucket(again), strict=True):
        np.testing.assert_allclose(part, same, rtol=1e-12)
    assert made.drop_from(101) is None
    assert made.drop_from(1).offset == 0
    assert made.last_step == 0


def test_a_file_that_goes_on_from_an_earlier_step_of_itself():
    made = curves(batch(1, 10))
    made.forget_after(6)
    made.add(batch(7, 12, loss=np.full(6, 5.0)))
    assert by_bucket(made).mean.tolist() == [*(1.0 / np.arange(1, 7)), *[5.0] * 6]


def test_memory_does_not_grow():
    made = curves(batch(1, 2000))
    before = sum(array.nbytes for array in made._arrays.values())
    for first in range(2001, 40_000, 1000):
        made.add(batch(first, first + 999))
    assert sum(array.nbytes for array in made._arrays.values()) == before
    assert sum(len(b.step) for b in made._recent) <= 2000
    assert made.curve("loss", points=10).step[-1] == 40_000


@pytest.mark.parametrize("content", [b"", b"foreign", curves(batch(1, 9)).to_bytes()[:-9]])
def test_other_bytes_are_refused(content):
    import zlib

    with pytest.raises((ValueError, KeyError, EOFError, zlib.error, OSError)):
        Curves.from_bytes(content, BUCKETS, 4)
