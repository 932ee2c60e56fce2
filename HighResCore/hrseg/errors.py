"""The errors that a user can meet, each with the exit code of the command line."""


class HrsegError(Exception):
    """One clear sentence that quotes the offending value and says what to do."""

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        # What a message quotes may hold anything, even what cannot be printed, such as one half of a character.
        super().__init__("".join(c if c.isprintable() or c == "\n" else "?" for c in message))


class InputError(HrsegError):
    """An image, box, data list or option that cannot be used."""

    exit_code = 2


class ModelError(InputError):
    """A model file that cannot be used."""


class OutOfMemory(HrsegError):
    """The job does not fit into the memory, even in the smallest chunks."""

    exit_code = 3


class OutputError(HrsegError):
    """A result that could not be written."""

    exit_code = 4


class Cancelled(HrsegError):
    """The user asked to stop."""

    exit_code = 130
