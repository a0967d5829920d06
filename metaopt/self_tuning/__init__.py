"""Self-tuning networks: hyper-parameters tuned while a single model trains.

MacKay et al. 2019 (https://arxiv.org/abs/1903.03088): a network whose weights are a function of its
hyper-parameters learns, near the present ones, how training would respond to others, from
perturbations of them. The loss on other data, differentiated through that function, says where they
should go. `responses` are such functions of any tensor, `layers` those that act on activations, and
`flax_modules` puts these into modules of flax; `problem` trains them, for the estimator
`DirectGradient`.
"""
