import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    # Maps of a few sites gain nothing from a second thread and wait for it long on a busy machine.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
