"""The small problems of "Learned Optimizers that Scale and Generalize", as TaskSet has them.

Wichrowska et al. 2017 (https://arxiv.org/abs/1703.04813), with the settings of TaskSet
(https://arxiv.org/abs/2002.11887).

    problem.py             what they have in common; the standard normal start
    label_loss.py          the loss and the start of those that tell two classes apart
    linear.py              Quadratic, Norm, IsotropicQuadratic
    two_d.py               Bowl, and ten test functions of two variables
    softmax_regression.py  SparseSoftmaxRegression, OneHotSparseSoftmaxRegression, SoftmaxRegression
    fully_connected.py     FullyConnected
    conv_net.py            ConvNet
    dependency_chain.py    DependencyChain
    min_max_well.py        MinMaxWell
    outward_snake.py       OutwardSnake
    quadratics_in_data.py  ProjectionQuadratic, SumOfQuadratics
    sum_task.py            SumTask

    perturbed_gradient.py  PerturbedGradient: noisy and sparse gradients
    rescale.py             Rescale
    log_objective.py       LogObjective
    starts.py              NormalStart, FixedStart
    variants.py            Variants: several problems in one program

    generators.py          their matrices and data sets
    unseeded.py            Unseeded: those drawn anew for every task
    random_rotation.py     symmetric matrices along random axes, for the noise of quadratic_family

Parameters that are columns or rows in the released code are vectors here.
"""
