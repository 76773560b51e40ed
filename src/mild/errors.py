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


class Cancelled(MildError):
    """The caller asked the running job to stop; nothing was written."""
