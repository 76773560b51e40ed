"""What every test is run under."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def _forgetful() -> Iterator[None]:
    """No test may find people that an earlier run left on disk; tests of the memory switch it on themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILD_REMEMBER", "0")
        yield


@pytest.fixture
def one_core() -> Iterator[None]:
    """For training: one thread, so that sums come out the same, and accelerate's state made anew afterwards."""
    import torch
    from accelerate.state import AcceleratorState

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    AcceleratorState._reset_state(reset_partial_state=True)
