"""optax's own tests of contributed optimizers, on exports that are loaded from disk.

    python benchmarks/conformance.py [KIND | EXPORT ...] [--json FILE]

An export of every learned optimizer is written, with untrained weights, and loaded for each test by
`metaopt.load`; folders of exports are tested as they are. The tests are those that optax comes
with: unknown extra arguments, no second compilation, `inject_hyperparams`, dtypes, `MultiSteps`,
states that keep their types. How many of four minima are found counts apart: it is for training to
reach. VeLO has an LSTM of 16 units and a bank of 8, which changes no property that is tested.
"""

import dataclasses
import importlib
import io
import pathlib
import re
import sys
import tempfile
import unittest
from typing import Annotated, Any
from unittest import mock

import jax
import measure
import optax
import tyro
from absl import flags
from absl.testing import parameterized

import metaopt
from metaopt.learned_optimizers import KINDS

SIZES = {"VeLO": {"lstm_size": 16, "bank_size": 8}}
TESTS = "optax.contrib._common_test"
CONVERGENCE = r"test_optimizers\d"


def main(
    subjects: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="KIND|EXPORT")
    ] = (),
    json: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Runs the tests and prints a row per export; exits with 1 if any fails."""
    flags.FLAGS(sys.argv[:1])
    with tempfile.TemporaryDirectory() as folder:
        rows = [row(subject, pathlib.Path(folder)) for subject in subjects or KINDS]
    measure.report("Tests of optax.contrib on exports", rows, json)
    sys.exit(any(row["failed"] for row in rows))


def row(subject: str, folder: pathlib.Path) -> dict[str, Any]:
    """The row of one learned optimizer, exported to `folder`, or of an export."""
    path = exported(subject, folder) if subject in KINDS else pathlib.Path(subject)
    metaopt.load(path)  # with its reference trajectory, once
    result, minima = (run(suite) for suite in tests_of(path))
    bad = [*result.failures, *result.errors]
    return {
        "optimizer": type(metaopt.exports.read(path).optimizer).__name__,
        "weights": "untrained" if subject in KINDS else subject,
        "passed": result.testsRun - len(bad),
        "failed": len(bad),
        "skipped": len(result.skipped),
        "minima": minima.testsRun - len(minima.failures) - len(minima.errors),
        "why": "; ".join(text.strip().splitlines()[-1] for _, text in bad),
    }


def exported(kind: str, folder: pathlib.Path) -> pathlib.Path:
    """The folder of an export of a learned optimizer with the weights of `init`."""
    optimizer = dataclasses.replace(KINDS[kind](), **SIZES.get(kind, {}))
    return metaopt.export(folder / kind, optimizer, optimizer.init(jax.random.key(0)))


def run(suite: unittest.TestSuite) -> unittest.TestResult:
    """What came of tests, of which nothing is printed."""
    return unittest.TextTestRunner(stream=io.StringIO()).run(suite)


def tests_of(path: pathlib.Path) -> tuple[unittest.TestSuite, unittest.TestSuite]:
    """The tests of optax, with the tables of its optimizers replaced by the export at `path`.

    Those that look for a minimum come second.
    """

    def factory(
        learning_rate: optax.ScalarOrSchedule = 1.0,
    ) -> optax.GradientTransformationExtraArgs:
        return metaopt.load(path, learning_rate=learning_rate, check=False)

    ours = {"opt_name": "export", "opt_kwargs": {"learning_rate": 1.0}}
    table = [{**ours, "wrapper_name": None, "wrapper_kwargs": None}]
    product = parameterized.product
    of_ours = lambda *tables, **axes: product(*[table for _ in tables], **axes)
    vars(optax.contrib)["export"] = factory
    with mock.patch.object(parameterized, "product", of_ours):
        sys.modules.pop(TESTS, None)
        module = importlib.import_module(TESTS)
    names = unittest.defaultTestLoader.getTestCaseNames(module.ContribTest)
    minima = [name for name in names if re.match(CONVERGENCE, name)]
    suite = lambda chosen: unittest.TestSuite(map(module.ContribTest, chosen))
    return suite(name for name in names if name not in minima), suite(minima)


if __name__ == "__main__":
    tyro.cli(main)
