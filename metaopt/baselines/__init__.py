"""Hand-designed optimizers at their best: what a learned optimizer has to beat.

Adam, tuned, for evaluation and for loss normalisation:

    one_rate.py       Adam, and others, as optimizers with one meta-parameter: the learning rate
    grid.py           each at a grid of learning rates that brackets the best one
    contenders.py     all of them by name, each with its tuning budget
    loss_scale.py     the two losses that loss normalisation needs of a task

The search spaces of TaskSet (https://arxiv.org/abs/2002.11887):

    search_spaces.py    configurations by name, "adam8p_wide_grid_seed7"
    update_rules.py     Adam, Adam with penalties and decay, Adagrad, zero
    nadamw.py           NAdamW and its schedule
    optimizers.py       configurations as optax transformations, and as learned optimizers
    opt_list.py         NAdamW's thousand configurations in the order in which to try them
    task_curves.py      the loss curves of configurations on a task, by the protocol of TaskSet
    embedded_curves.py  those that come with the package, and the loss scales that they give
"""
