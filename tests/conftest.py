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
