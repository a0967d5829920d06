"""Files in the layout in which the authors of VeLO and Celo published weights."""

import msgpack
import numpy as np

# Features of a parameter in the order of the file, and how many numbers each has.
OF_PARAMETER = {
    "g": 1, "clipped g": 1, "w": 1, "m": 3, "v": 1, "m r": 3, "r": 1, "factored g": 3, "g r": 1,
    "row": 3, "column": 3, "row root": 3, "column root": 3, "factored m": 3,
}  # fmt: skip


def weights(num_inputs, lstm=6, bank=5, hidden=4, seed=0):
    """Random weights in the nesting of the file."""
    draw = np.random.RandomState(seed)
    normal = lambda *shape: draw.randn(*shape).astype(np.float32)
    linear = lambda fan_in, fan_out: {"w": normal(fan_in, fan_out), "b": normal(fan_out)}
    mlp = {f"w0__{i}": normal(bank, n, hidden) for i, n in enumerate(OF_PARAMETER.values())}
    mlp |= {"w1": normal(bank, hidden, hidden), "w2": normal(bank, hidden, 3)}
    mlp |= {"b0": normal(bank, hidden), "b1": normal(bank, hidden), "b2": normal(bank, 3)}
    return {
        "ff_mod_stack": {"~": mlp},
        "lstm_init_state": {"hidden": normal(1, lstm), "cell": normal(1, lstm)},
        "rnn_params": {
            **{name: linear(num_inputs, lstm) for name in ("linear", "linear_1", "linear_2")},
            "rnn/linear": linear(2 * lstm, 4 * lstm),
            "rnn_to_controls": linear(lstm, bank),
            "step_size": linear(lstm, 1),
        },
    }


def packed(tree):
    def extension(x):
        return msgpack.ExtType(1, msgpack.packb((x.shape, x.dtype.name, x.tobytes())))

    return msgpack.packb(tree, default=extension)
