"""A submission to AlgoPerf: an optimizer that `metaopt` exported, with no hyper-parameters to tune.

It stands beside the folder "export". The functions are those of the external tuning track, on JAX
(https://github.com/mlcommons/algorithmic-efficiency). The learned optimizer is told the loss, and
as the length of training the `step_hint` of the workload.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
from algoperf import spec  # pyright: ignore[reportMissingImports]

import metaopt

EXPORT = Path(__file__).with_name("export")
BATCH_SIZES = {
    "criteo1tb": 262_144,
    "fastmri": 32,
    "imagenet_resnet": 1024,
    "imagenet_vit": 1024,
    "librispeech_conformer": 256,
    "librispeech_deepspeech": 256,
    "ogbg": 512,
    "wmt": 128,
}
OTHER_BATCH_SIZE = 128


def get_batch_size(workload_name: str) -> int:
    """Those of the baselines of AlgoPerf."""
    return BATCH_SIZES.get(workload_name, OTHER_BATCH_SIZE)


def init_optimizer_state(
    workload: Any, model_params: Any, model_state: Any, hyperparameters: Any, rng: Any
) -> tuple[Any, Any]:
    """The state at first, and the compiled step."""
    del model_state, hyperparameters, rng
    optimizer = metaopt.load(EXPORT, num_steps=workload.step_hint)

    @jax.jit
    def step(params: Any, state: Any, model_state: Any, batch: Any, rng: Any) -> tuple[Any, ...]:
        def loss_of(params: Any) -> tuple[jax.Array, Any]:
            logits, new_model_state = workload.model_fn(
                params, batch, model_state, spec.ForwardPassMode.TRAIN, rng, update_batch_norm=True
            )
            losses = workload.loss_fn(batch["targets"], logits, batch.get("weights"))
            return losses["summed"] / losses["n_valid_examples"], new_model_state

        (loss, new_model_state), gradients = jax.value_and_grad(loss_of, has_aux=True)(params)
        updates, state = optimizer.update(gradients, state, params, value=loss)
        return state, optax.apply_updates(params, updates), new_model_state

    return optimizer.init(jax.tree.map(jnp.asarray, model_params)), step


def update_params(
    workload: Any,
    current_param_container: Any,
    current_params_types: Any,
    model_state: Any,
    hyperparameters: Any,
    batch: Any,
    loss_type: Any,
    optimizer_state: Any,
    eval_results: Any,
    global_step: int,
    rng: Any,
    train_state: Any = None,
) -> tuple[Any, Any, Any]:
    """One step: the next optimizer state, parameters and model state."""
    del workload, current_params_types, hyperparameters, loss_type, eval_results, global_step
    del train_state
    state, step = optimizer_state
    state, params, model_state = step(current_param_container, state, model_state, batch, rng)
    return (state, step), params, model_state


def prepare_for_eval(
    workload: Any,
    current_param_container: Any,
    current_params_types: Any,
    model_state: Any,
    hyperparameters: Any,
    loss_type: Any,
    optimizer_state: Any,
    eval_results: Any,
    global_step: int,
    rng: Any,
) -> tuple[Any, Any, Any]:
    """What is evaluated is what is trained."""
    del workload, current_params_types, hyperparameters, loss_type, eval_results, global_step, rng
    return optimizer_state, current_param_container, model_state


def data_selection(
    workload: Any,
    input_queue: Any,
    optimizer_state: Any,
    current_param_container: Any,
    model_state: Any,
    hyperparameters: Any,
    global_step: int,
    rng: Any,
) -> Any:
    """The next batch, as it comes."""
    del workload, optimizer_state, current_param_container, model_state, hyperparameters
    del global_step, rng
    return next(input_queue)
