"""The card of an export: it says what was measured, and what was not."""

import numpy as np
from evaluations import ADAM, made_up

from metaopt import model_card, report

CONFIG = {
    "kind": "FactoredMLP",
    "num_meta_params": 1762,
    "provenance": {
        "tasks": ["quadratic:dim=3"],
        "num_steps": 200,
        "versions": {"jax": "1.2", "optax": "3.4"},
        "configuration": "seed = 0\n[learner]\nnum_steps = 7\n",
    },
}


def test_begins_with_front_matter_and_says_what_it_is():
    card = model_card.write(CONFIG, {})
    assert card.startswith("---\nlibrary_name: metaopt\n")
    assert card.count("\n---\n") == 1
    assert "# FactoredMLP, a learned optimizer" in card
    assert "1,762 meta-parameters" in card
    assert model_card.snippet("path/to/this/folder", 200) in card


def test_without_evaluations_it_says_so():
    card = model_card.write(CONFIG, {})
    assert "Not evaluated." in card
    assert "parity" not in card


def test_has_the_results_of_every_task_with_their_conclusions():
    found = report.as_json(made_up(1.5 * ADAM))
    card = model_card.write(CONFIG, {"quadratic:dim=3": found, "quadratic:dim=9": found})
    assert card.count(report.markdown(found)) == 2
    assert "### `quadratic:dim=9`, 4 steps" in card
    for line in report.conclusions(found):
        assert f"- {line}" in card
    assert "Not evaluated." not in card


def test_names_its_limits():
    found = report.as_json(made_up(np.asarray([0.1, np.nan, 0.1], np.float32)))
    card = model_card.write(CONFIG, {"quadratic:dim=3": found})
    assert "inner runs of up to 200 steps" in card
    assert "- `quadratic:dim=3`: 1 of 3 held-out runs diverged." in card
    assert "up to" not in model_card.write(CONFIG | {"provenance": {}}, {})


def test_provenance_is_readable():
    card = model_card.write(CONFIG, {})
    assert "- versions: jax 1.2, optax 3.4" in card
    assert "```toml\nseed = 0\n[learner]\nnum_steps = 7\n```" in card


def test_the_snippet_is_five_lines_with_the_path_quoted():
    lines = model_card.snippet("it's here", None).splitlines()
    assert len(lines) == 5
    assert """metaopt.load("it's here", num_steps=None)""" in lines[1]
