"""optax's own tests of contributed optimizers, on every learned optimizer with untrained weights.

    python benchmarks/conformance.py [KIND ...] [--json FILE]

Those are the tests that optax comes with, unknown extra arguments, no second compilation,
`inject_hyperparams`, dtypes, `MultiSteps`, states that keep their types; all but the one that asks
for the minimum of four functions, which is training's to reach. VeLO has an LSTM of 16 units and a
bank of 8, which changes no property that is tested.
"""

import dataclasses
import importlib
import io
import pathlib
import re
import sys
import unittest
from typing import Annotated, Any
from unittest import mock

import jax
import measure
import optax
import tyro
from absl import flags
from absl.testing import parameterized

from metaopt.learned_optimizers import KINDS
from metaopt.learned_optimizers.wrappers import wrapped

SIZES = {"VeLO": {"lstm_size": 16, "bank_size": 8}}
TESTS = "optax.contrib._common_test"
CONVERGENCE = r"test_optimizers\d"


def main(
    kinds: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="KIND")] = (),
    json: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Runs the tests and prints a row per learned optimizer; exits with 1 if any fails."""
    flags.FLAGS(sys.argv[:1])
    rows = [one_kind(kind) for kind in kinds or KINDS]
    measure.report("Tests of optax.contrib, but for convergence", rows, json)
    sys.exit(any(row["failed"] for row in rows))


def one_kind(kind: str) -> dict[str, Any]:
    """The row of one learned optimizer."""
    result = unittest.TextTestRunner(stream=io.StringIO()).run(tests_of(kind))
    bad = [*result.failures, *result.errors]
    why = "; ".join(text.strip().splitlines()[-1] for _, text in bad)
    return {
        "optimizer": kind,
        "passed": result.testsRun - len(bad),
        "failed": len(bad),
        "skipped": len(result.skipped),
        "why": why,
    }


def tests_of(kind: str) -> unittest.TestSuite:
    """The tests of optax, with the tables of its optimizers replaced by this one."""
    optimizer = dataclasses.replace(KINDS[kind](), **SIZES.get(kind, {}))
    meta_params = optimizer.init(jax.random.key(0))

    def factory(
        learning_rate: optax.ScalarOrSchedule = 1.0,
    ) -> optax.GradientTransformationExtraArgs:
        transformation = optimizer.as_optax(meta_params, num_steps=1000)
        return wrapped(transformation, learning_rate=learning_rate)

    row = {"opt_name": kind, "opt_kwargs": {"learning_rate": 1.0}}
    table = [{**row, "wrapper_name": None, "wrapper_kwargs": None}]
    product = parameterized.product
    ours = lambda *tables, **axes: product(*[table for _ in tables], **axes)
    setattr(optax.contrib, kind, factory)
    with mock.patch.object(parameterized, "product", ours):
        sys.modules.pop(TESTS, None)
        module = importlib.import_module(TESTS)
    names = unittest.defaultTestLoader.getTestCaseNames(module.ContribTest)
    return unittest.TestSuite(
        module.ContribTest(name) for name in names if not re.match(CONVERGENCE, name)
    )


if __name__ == "__main__":
    tyro.cli(main)
