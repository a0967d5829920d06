"""Against the released configurations: fourteen in full, all 12,000 by fingerprint."""

import hashlib
import json

import pytest

from taskset import configs

RELEASED = {
    "mlp_family_seed0": {
        "layer_sizes": [71],
        "activation": "leaky_relu2",
        "w_init": ["he_normal", None],
        "dataset": [
            "sun397_32x32",
            {"bs": 32, "just_train": False, "num_train": None},
            {
                "crop_amount": 0,
                "flip_left_right": False,
                "flip_up_down": True,
                "do_color_aug": False,
                "brightness": 0.002936489121851211,
                "saturation": 0.4308521744067503,
                "hue": 0.19648945965587863,
                "contrast": 0.036096320130911644,
            },
        ],
        "center_data": False,
    },
    "mlp_family_seed1": {
        "layer_sizes": [68, 37, 78],
        "activation": "relu",
        "w_init": ["glorot_normal", None],
        "dataset": ["food101_32x32", {"bs": 117, "just_train": True, "num_train": None}, None],
        "center_data": True,
    },
    "mlp_ae_family_seed999": {
        "hidden_units": [39],
        "activation": "tanh",
        "w_init": ["glorot_uniform", None],
        "dataset": [
            "sun397_32x32",
            {"bs": 19, "just_train": True, "num_train": None},
            {
                "crop_amount": 0,
                "flip_left_right": False,
                "flip_up_down": False,
                "do_color_aug": True,
                "brightness": 0.06082500602367831,
                "saturation": 0.09682610086758443,
                "hue": 0.06436525420649625,
                "contrast": 0.10501839526077741,
            },
        ],
        "output_type": "tanh",
        "loss_type": "l1",
        "reduction_type": "reduce_sum",
    },
    "mlp_vae_family_seed999": {
        "enc_hidden_units": [39],
        "dec_hidden_units": [38, 78],
        "activation": "elu",
        "w_init": ["he_normal", None],
        "dataset": ["food101_32x32", {"bs": 15, "just_train": False, "num_train": None}, None],
    },
    "conv_fc_family_seed998": {
        "strides": [[2, 2], [1, 1]],
        "hidden_units": [12, 34],
        "activation": "tanh",
        "w_init": ["random_uniform", 2.7177058634227915],
        "padding": ["SAME", "SAME"],
        "fc_hidden_units": [59, 53, 33],
        "use_bias": True,
        "dataset": ["cifar100", {"bs": 27, "num_train": 2037, "just_train": False}, None],
        "center_data": False,
    },
    "conv_pooling_family_seed0": {
        "strides": [[1, 1], [2, 2], [1, 1], [2, 2], [1, 1]],
        "hidden_units": [46, 48, 47, 29, 18],
        "activation": "leaky_relu4",
        "w_init": ["glorot_normal", None],
        "padding": ["SAME", "SAME", "VALID", "SAME", "VALID"],
        "pool_type": "squared_mean",
        "use_bias": True,
        "dataset": ["cifar100", {"bs": 10, "num_train": 5269, "just_train": True}, None],
        "center_data": False,
    },
    "nvp_family_seed999": {
        "activation": "tanh",
        "w_init": ["truncated_normal", 4.295933658628504],
        "dataset": ["deep_weeds_32x32", {"bs": 23, "just_train": False, "num_train": None}, None],
        "hidden_units": [92, 123],
        "num_bijectors": 4,
    },
    "maf_family_seed999": {
        "activation": "elu",
        "w_init": ["glorot_normal", None],
        "dataset": [
            "imagenet_resized/16x16",
            {"bs": 62, "just_train": False, "num_train": None},
            None,
        ],
        "hidden_units": [70, 41],
        "num_bijectors": 2,
    },
    "quadratic_family_seed0": {
        "A_dist": ["normal", {"mean": 1.1227949188291289, "std": 1.7158912352455136}],
        "initial_dist": ["uniform", {"min": -1.8225890049582145, "max": 1.4068815603750662}],
        "output_fn": "identity",
        "dims": 18,
        "seed": 48600,
        "loss_scale": 512.0378720005683,
        "noise": {
            "A_noise": ["linspace_eigen", {"min": 1.5855328257845025, "max": 6.874482023313547}]
        },
    },
    "losg_tasks_family_seed0": [
        "sparse_softmax_regression",
        {"n_features": 54, "n_classes": 2, "noise_stdev": 0.0, "bs": 29, "n_samples": 18},
        62356,
    ],
    "losg_tasks_family_seed101": [
        "sparse_problems",
        {
            "base": ["min_max_well", {"dim": 235, "noise_stdev": 3.174611520190031}],
            "zero_probability": 0.9276269597705014,
            "noise_stdev": 0.0,
        },
        89361,
    ],
    "char_rnn_language_model_family_seed998": {
        "embed_dim": 113,
        "w_init": ["orthogonal", 0.5939572592243139],
        "vocab_size": 256,
        "core": ["lstm", {"w_gates": ["random_uniform", 2.7177058634227915], "core_dim": 92}],
        "trainable_init": False,
        "dataset": [
            "tokenized_amazon_reviews/Video_v1_00_bytes",
            {"patch_length": 159, "batch_size": 352, "just_train": False, "num_train": 38646},
        ],
    },
    "word_rnn_language_model_family_seed999": {
        "embed_dim": 74,
        "w_init": ["he_uniform", None],
        "vocab_size": 1499,
        "core": [
            "gru",
            {
                "core_dim": 51,
                "wh": ["he_normal", None],
                "wz": ["he_normal", None],
                "wr": ["he_normal", None],
                "uh": ["he_normal", None],
                "uz": ["he_normal", None],
                "ur": ["he_normal", None],
            },
        ],
        "trainable_init": True,
        "dataset": [
            "imdb_reviews/subwords8k",
            {"patch_length": 96, "batch_size": 214, "just_train": True, "num_train": None},
        ],
    },
    "rnn_text_classification_family_seed0": {
        "embed_dim": 37,
        "w_init": ["random_normal", 1.605191133358763],
        "dataset": [
            "tokenized_amazon_reviews/Camera_v1_00_bytes",
            {
                "bs": 107,
                "num_train": None,
                "max_token": 8185,
                "just_train": False,
                "patch_length": 18,
            },
        ],
        "vocab_size": 130,
        "core": [
            "vrnn",
            {
                "hidden_to_hidden": ["he_uniform", None],
                "in_to_hidden": ["he_uniform", None],
                "act_fn": "swish",
                "core_dim": 62,
            },
        ],
        "trainable_init": False,
        "loss_compute": "avg",
    },
}

# sha256, first 16 digits, of the released file of each family with its numbers as `rounded`.
FINGERPRINTS = {
    "mlp_family": "d2174ca909ae7593",
    "mlp_ae_family": "c08a5495d70f482a",
    "mlp_vae_family": "259c01eaef6b6d9c",
    "conv_fc_family": "04bef5e03fbecb20",
    "conv_pooling_family": "0401f3ac4dd715bb",
    "nvp_family": "12315f731bd4f123",
    "maf_family": "a06cf973ed1f0be8",
    "quadratic_family": "8056283a57acd686",
    "losg_tasks_family": "f76f5931af9258cc",
    "char_rnn_language_model_family": "bcc059215161a2e0",
    "word_rnn_language_model_family": "b30e37710affcd00",
    "rnn_text_classification_family": "480c28a479607e26",
}


def leaves(value, path=()):
    """The plain values in a configuration with their places, in the order of its JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in items:
        if isinstance(child, dict | list):
            yield (*path, key), type(child), len(child)
            yield from leaves(child, (*path, key))
        else:
            yield (*path, key), type(child), child


def rounded(value):
    """`value` with floats as text of 10 digits: the last bit of exp differs between platforms."""
    if isinstance(value, dict):
        return {key: rounded(child) for key, child in value.items()}
    if isinstance(value, list):
        return [rounded(child) for child in value]
    return f"{value:.9e}" if isinstance(value, float) else value


@pytest.mark.parametrize("name", RELEASED)
def test_a_configuration_is_the_released_one_to_the_last_digits(name):
    ours, released = list(leaves(configs.config(name))), list(leaves(RELEASED[name]))
    assert [leaf[:2] for leaf in ours] == [leaf[:2] for leaf in released]
    for (place, _, value), (_, _, expected) in zip(ours, released, strict=True):
        wanted = pytest.approx(expected, rel=1e-14, abs=0) if type(value) is float else expected
        assert value == wanted, place


@pytest.mark.parametrize("family", FINGERPRINTS)
def test_all_thousand_configurations_are_the_released_ones(family):
    ours = configs.to_json(family, range(1000))
    text = json.dumps(rounded(ours))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == FINGERPRINTS[family]


def test_the_fingerprints_are_of_every_family():
    assert tuple(FINGERPRINTS) == configs.names()
