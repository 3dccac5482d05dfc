"""Read pickled arrays without running what a pickle may ask for.

A pickle is a program for a stack machine, and Python's own reader lets that program import and call anything. This
machine imports nothing: a global is a name on the stack, and the two calls that it knows are those by which numpy
puts an array together, `numpy.core.multiarray._reconstruct` and `numpy.dtype`. `pickletools` only parses.
"""

import math
import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dlcli.errors import DataError, RefusedError

VALUES: tuple[str, ...] = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE")
VALUES += ("BINBYTES", "SHORT_BINBYTES", "BINSTRING", "SHORT_BINSTRING")
CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
ARRAY = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
KINDS = tuple(
    f"{kind}{size}" for kind, sizes in {"b": "1", "u": "1248", "i": "1248", "f": "248"}.items() for size in sizes
)


class Name(NamedTuple):
    """A global that a pickle names; it is never imported."""

    path: str


class Kind:
    """A numpy type in the making."""

    def __init__(self, code: str) -> None:
        self.type = np.dtype(code)


class Machine:
    """The stack, what lies below the last marks, and what the pickle told it to remember."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def do(self, code: str, argument: Any) -> None:
        """Carry out one opcode; raise RefusedError for one that arrays do not need."""
        if code in VALUES:
            self.stack.append(argument)
        elif code in CONSTANTS:
            self.stack.append(CONSTANTS[code]())
        elif code in TUPLES:
            self.stack.append(tuple(self.popped(TUPLES[code])))
        elif code in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif code in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif code in ACTIONS:
            ACTIONS[code](self)
        elif code == "GLOBAL":
            self.stack.append(Name(argument))
        elif code not in ("PROTO", "FRAME", "STOP"):
            raise RefusedError(f"the opcode {code}")

    def popped(self, count: int) -> list[Any]:
        """Take so many values off the stack, in the order in which they were put there."""
        return [self.stack.pop() for _ in range(count)][::-1]

    def marked(self) -> list[Any]:
        """Take off what was put there since the last mark."""
        values, self.stack = self.stack, self.below.pop()
        return values

    def mark(self) -> None:
        """Begin a new stack upon this one."""
        self.below.append(self.stack)
        self.stack = []

    def memoize(self) -> None:
        """Remember the top under the next free number."""
        self.memo[len(self.memo)] = self.stack[-1]

    def name(self) -> None:
        """Name a global by module and attribute."""
        module, attribute = self.popped(2)
        self.stack.append(Name(f"{module} {attribute}"))

    def make_tuple(self) -> None:
        """Make a tuple of what was marked."""
        values = tuple(self.marked())
        self.stack.append(values)

    def append(self, values: list[Any]) -> None:
        """Lengthen the list on top."""
        _of(self.stack[-1], list).extend(values)

    def set(self, values: list[Any]) -> None:
        """Enter keys and values in turn into the dictionary on top; nested keys can take for ever to hash."""
        if strange := [type(key).__name__ for key in values[::2] if not isinstance(key, (str, bytes, int, float))]:
            raise RefusedError(f"a dictionary with a {strange[0]} as key")
        _of(self.stack[-1], dict).update(zip(values[::2], values[1::2], strict=True))

    def reduce(self) -> None:
        """Begin an array or a type; raise RefusedError for any other call."""
        function, arguments = self.popped(2)
        if function in [Name(path) for path in ARRAY] and arguments[0] == Name("numpy ndarray"):
            self.stack.append(np.empty(0))
        elif function == Name("numpy dtype") and arguments[0] in KINDS:
            self.stack.append(Kind(arguments[0]))
        else:
            raise RefusedError(f"a call of {function.path if isinstance(function, Name) else type(function).__name__}")

    def build(self) -> None:
        """Finish the type or the array on top."""
        state = self.popped(1)[0]
        top = self.stack[-1]
        if isinstance(top, Kind) and state[1] in ("|", "<", ">", "="):
            top.type = top.type.newbyteorder(state[1])
        elif isinstance(top, np.ndarray):
            _fill(top, *state[1:])
        else:
            raise RefusedError(f"a state for {type(top).__name__}")


ACTIONS: dict[str, Callable[[Machine], None]] = {
    "MARK": Machine.mark,
    "MEMOIZE": Machine.memoize,
    "STACK_GLOBAL": Machine.name,
    "TUPLE": Machine.make_tuple,
    "APPEND": lambda machine: machine.append(machine.popped(1)),
    "APPENDS": lambda machine: machine.append(machine.marked()),
    "SETITEM": lambda machine: machine.set(machine.popped(2)),
    "SETITEMS": lambda machine: machine.set(machine.marked()),
    "REDUCE": Machine.reduce,
    "BUILD": Machine.build,
}


def unpickle(content: bytes, name: str = "pickle") -> Any:
    """Return numbers, texts, lists, tuples, dictionaries and arrays; texts of Python 2 as Latin-1.

    Raises RefusedError for a pickle that asks for anything else, and DataError for one that is damaged.
    """
    machine = Machine()
    try:
        for code, argument, _ in pickletools.genops(content):
            machine.do(code.name, argument)
        return machine.popped(1)[0]
    except RefusedError as error:
        raise RefusedError(
            f"{name} asks for {error}: a data file may hold numbers, texts and numpy arrays; nothing of it was run"
        ) from None
    except Exception as error:  # a damaged program fails in a dozen ways, and only this machine runs here
        reason = str(error).split("\n")[0] or type(error).__name__
        raise DataError(f"{name} cannot be read as a pickle of arrays: {reason:.200}; fetch it anew") from error


def _of(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise RefusedError(f"a change of {type(value).__name__}")
    return value


def _fill(array: np.ndarray, shape: tuple[int, ...], kind: Kind, by_column: bool, values: Any) -> None:
    """Give an array its shape and values; raise ValueError where they disagree."""
    content = values.encode("latin-1") if isinstance(values, str) else bytes(_of(values, bytes))
    if min(shape, default=0) < 0 or math.prod(shape) * kind.type.itemsize != len(content):
        raise ValueError(f"an array states the shape {shape} of {kind.type} but holds {len(content)} bytes")
    array.__setstate__((1, tuple(map(int, shape)), kind.type, bool(by_column), content))  # type: ignore[arg-type]
