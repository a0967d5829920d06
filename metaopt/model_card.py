"""The README of an export: what it is, how to use it, what it did, where it comes from."""

from collections.abc import Mapping
from typing import Any

from metaopt import report

FRONT_MATTER = """---
library_name: metaopt
license: {license}
tags:
- learned-optimizer
- optax
- jax
---
"""

SNIPPET = """import metaopt, optax
optimizer = metaopt.load({path!r}, num_steps={num_steps})
state = optimizer.init(params)
updates, state = optimizer.update(gradients, state, params, value=loss)
params = optax.apply_updates(params, updates)
"""


def snippet(path: str, num_steps: int | None) -> str:
    """Five lines that use the export at `path`, given `params`, `gradients` and the `loss`."""
    return SNIPPET.format(path=path, num_steps=num_steps)


def write(config: Mapping[str, Any], evaluations: Mapping[str, Mapping[str, Any]]) -> str:
    """The model card, in Markdown, for `config.json` of an export and its evaluations by task."""
    provenance = config["provenance"]
    num_steps = provenance.get("num_steps")
    parts = [
        FRONT_MATTER.format(license=provenance.get("license", "apache-2.0")),
        f"# {config['kind']}, a learned optimizer\n",
        f"A learned optimizer of {config['num_meta_params']:,} meta-parameters for optax.\n",
        "## Use\n",
        f"```python\n{snippet('path/to/this/folder', num_steps)}```\n",
        *_results(evaluations),
        *_limits(evaluations, num_steps),
        "## Provenance\n",
        *[f"- {key}: {_short(value)}" for key, value in provenance.items()],
    ]
    return "\n".join(parts) + "\n"


def _results(evaluations: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = ["## Results on held-out tasks\n"]
    for task, evaluation in evaluations.items():
        lines += [
            f"### `{task}`, {evaluation['num_steps']} steps\n",
            report.markdown(evaluation),
            "",
        ]
        lines += [f"- {line}" for line in report.conclusions(evaluation)] + [""]
    return lines if evaluations else [*lines, "Not evaluated.\n"]


def _limits(evaluations: Mapping[str, Mapping[str, Any]], num_steps: int | None) -> list[str]:
    lines = ["## Limits\n", "- Says nothing about tasks other than those it was evaluated on."]
    if num_steps is not None:
        lines.append(
            f"- Meta-trained on inner runs of up to {num_steps} steps; longer is untested."
        )
    for task, evaluation in evaluations.items():
        diverged = evaluation["results"][0]["diverged"]
        lines.append(
            f"- `{task}`: {diverged} of {len(evaluation['seeds'])} held-out runs diverged."
        )
    return [*lines, ""]


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    text = str(value)
    return text if "\n" not in text else f"\n\n```toml\n{text.strip()}\n```\n"
