"""How optimizers are judged: one protocol of the literature a module, on arrays of losses.

    normalized_loss       losses of different tasks on one scale: TaskSet, Metz et al. 2020
    speed_up              how many steps tuned Adam needs for the same loss
    time_to_target        when a curve first reaches a loss, in steps or in seconds
    performance_profile   how often an optimizer is within a factor of the fastest: AlgoPerf
    robust_aggregates     interquartile mean, optimality gap, probability of improvement
    generalization        what is left of a score on wider, deeper or longer tasks
    wrong_horizon         what announcing a wrong number of steps costs
    resources             curves over seconds, and cost per step and parameter
    divergence            how many runs went wrong

All take and return float64 numpy arrays, and none drops a run: a loss that is not finite is the
worst that there can be. `metaopt.bootstrap` gives their intervals.
"""
