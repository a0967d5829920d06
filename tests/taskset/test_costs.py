"""Estimated costs against counts by hand."""

import taskset
from taskset import catalog, costs, named


def test_an_mlp_costs_its_products_and_holds_its_weights():
    family = taskset.MLPFamily(hidden=(32,), batch_size=10)
    cost = costs.estimate(family)
    first, second = 64 * 32, 32 * 10
    assert cost.parameters == first + 32 + second + 10
    assert cost.parameter_bytes == 4 * cost.parameters
    assert cost.batch_bytes == 10 * (64 + 4)
    # forward: two products; backward: two for the weights, and one for the hidden layer
    assert cost.flops == 2 * 10 * (first + second + first + second + second)


def test_memory_is_more_than_parameters_gradients_and_activations():
    family = taskset.MLPFamily(hidden=(32,), batch_size=1000)
    cost = costs.estimate(family)
    assert cost.memory_bytes >= 2 * cost.parameter_bytes + 4 * 1000 * (64 + 32 + 10)
    assert cost.memory_bytes < 20 * 4 * 1000 * (64 + 32 + 10)


def test_a_quadratic_has_no_batch_and_no_products():
    cost = costs.estimate(taskset.QuadraticFamily(dim=7))
    assert (cost.parameters, cost.batch_bytes, cost.flops) == (7, 0, 0)


def test_parameters_are_counted_without_data():
    for name in ("mlp:hidden=32", "quadratic_family_seed0", "losg_tasks_family_seed1"):
        family = taskset.build(name)
        assert costs.num_parameters(family) == costs.estimate(family).parameters
    augmented = taskset.build("mlp:hidden=32+rescale_loss")
    assert costs.num_parameters(augmented) == 64 * 32 + 32 + 32 * 10 + 10


def test_parameters_of_a_task_that_was_never_built_are_counted():
    named._build.cache_clear()
    family = catalog.exact(catalog.build("conv_fc_family_seed629:source=embedded"))
    assert costs.num_parameters(family) > 0
