"""The configurations of TaskSet's 12 sampled families (https://arxiv.org/abs/2002.11887).

    registry.py     "mlp_family_seed7" -> configuration; names, config, split_name, to_json
    feasibility.py  which configurations can be built: feasible, check_feasible
    images.py       mlp, mlp_ae, mlp_vae, conv_fc, conv_pooling, nvp, maf
    text.py         char_rnn_language_model, word_rnn_language_model, rnn_text_classification
    quadratic.py    quadratic
    losg.py         losg_tasks
    datasets.py     the data sets that they draw
    draws.py        numbers, activations, initialisers, recurrent cores

Numpy only; nothing here builds a task. Families with equal seed offsets share their first draws:
conv_fc_family_seed7 and conv_pooling_family_seed7 have the same convolutions, so that training and
held-out tasks must be told apart by seed, never by family.
"""

from taskset.configs.feasibility import InfeasibleTask as InfeasibleTask
from taskset.configs.feasibility import check_feasible as check_feasible
from taskset.configs.feasibility import feasible as feasible
from taskset.configs.feasibility import infeasible_reason as infeasible_reason
from taskset.configs.registry import FAMILIES as FAMILIES
from taskset.configs.registry import Config as Config
from taskset.configs.registry import SampledFamily as SampledFamily
from taskset.configs.registry import config as config
from taskset.configs.registry import names as names
from taskset.configs.registry import split_name as split_name
from taskset.configs.registry import to_json as to_json
