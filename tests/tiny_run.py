"""A configuration that compiles and trains in a moment, to which tests add what they need."""

TINY = """
tasks = ["quadratic:dim=2"]
[optimizer]
kind = "LearnableSGD"
[estimator]
num_tasks = 2
truncation = 2
horizon.steps = 4
"""
