"""What can go wrong, and the exit code that says so.

Every message names the fault, the value, the rule and the cure, in one or a few lines; the command line prints
it without a traceback. `EXIT_CODES` is the table that the README documents.
"""


class DlError(Exception):
    """A fault that the user can understand and cure."""

    code = 1


class ConfigError(DlError):
    """A key, value, option or combination that the command cannot accept."""

    code = 2


class DataError(DlError):
    """A data file or split that is missing, damaged or unfit."""

    code = 3


class DivergedError(DlError):
    """A loss, gradient or weight that is no longer a finite number."""

    code = 4


class CheckpointError(DlError):
    """A run without a usable checkpoint."""

    code = 5


class RunError(DlError):
    """A run folder that is missing, locked or taken."""

    code = 6


class StorageError(DlError):
    """A disk that cannot be written."""

    code = 7


class RefusedError(DlError):
    """A file that asks for something which data may never ask for."""

    code = 8


class OutOfMemoryError(DlError):
    """A batch that does not fit, however small it is cut."""

    code = 9


class SweepError(DlError):
    """A sweep in which at least one job failed."""

    code = 11


class Interrupted(DlError):
    """A run that was asked to stop, and has saved its state."""

    code = 130


EXIT_CODES = {
    0: "done",
    1: "a fault of dl itself (please report it; --debug shows the traceback)",
    2: "usage or config: a key, value or combination that cannot be accepted",
    3: "data: missing, damaged or unfit",
    4: "diverged: a loss, gradient or weight is not finite",
    5: "no usable checkpoint",
    6: "run folder missing, locked or taken",
    7: "disk: cannot be written",
    8: "refused: a file asks for something that data may never ask for",
    9: "out of memory",
    11: "a sweep finished with failed jobs",
    129: "the terminal was closed; the state is saved",
    130: "interrupted by Ctrl-C; the state is saved",
    143: "terminated; the state is saved",
}
