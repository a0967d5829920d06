"""Every kind of learned optimizer, at a size that tests can afford."""

import dataclasses

from metaopt.learned_optimizers import KINDS

SIZES = {"VeLO": {"lstm_size": 16, "bank_size": 8}}  # in place of 2.6 million meta-parameters


def small(kind):
    return dataclasses.replace(KINDS[kind](), **SIZES.get(kind, {}))
