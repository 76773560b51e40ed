"""What every test is run under."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

#: How the reason of such a skip begins (studio_browser.py, which would be heavy to import for every test).
NO_BROWSER = "no browser"


@pytest.fixture(autouse=True, scope="session")
def _forgetful() -> Iterator[None]:
    """No test may find people that an earlier run left on disk; tests of the memory switch it on themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILD_REMEMBER", "0")
        yield


@pytest.fixture(autouse=True)
def _own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server's tasks that ran in this process keep found people in a folder of their own; not the next test's. Nor
    are answers to clicks, which nets that stand in for others gave."""
    memory = sys.modules.get("mild.people.memory")
    if memory is not None:
        monkeypatch.setattr(memory, "_folder", None)
        memory._answers.clear()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tests of the studio that had no browser are said aloud, not hidden among the letters."""
    reasons = [str(report.longrepr[-1]) for report in terminalreporter.stats.get("skipped", [])]
    without = [reason for reason in reasons if NO_BROWSER in reason]
    if without:
        terminalreporter.write_sep("=", f"THE STUDIO WAS NOT TESTED IN A BROWSER ({len(without)} tests)", red=True)
        terminalreporter.write_line(without[0].removeprefix("Skipped: "))


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
