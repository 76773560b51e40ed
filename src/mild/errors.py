"""The ways a job can fail, each told to the user in one clear sentence."""

from __future__ import annotations


class MildError(Exception):
    """The job could not be done; the message is one sentence that says what is wrong and how to mend it.

    The command line prints it without a traceback and ends with :attr:`exit_code`.
    """

    exit_code = 1


class UsageError(MildError):
    """The request itself is wrong (a person who does not exist, an empty mask, two contradicting options)."""

    exit_code = 2


class NobodyError(UsageError):
    """Nobody in this photo is whom the request means: a batch goes on with the next one."""


class MisfitError(UsageError):
    """Another shot does not show the photo's scene.

    Args:
        shot: its path, as it was given.
    """

    def __init__(self, message: str, shot: str) -> None:
        super().__init__(message)
        self.shot = shot

    def __reduce__(self) -> tuple[type[MisfitError], tuple[str, str]]:
        return MisfitError, (str(self), self.shot)


class Cancelled(MildError):
    """The caller asked the running job to stop; nothing was written."""
