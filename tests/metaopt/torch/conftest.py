"""PyTorch on one thread: on small tensors its threads wait for each other, and for other tests."""

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)
