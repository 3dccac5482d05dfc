"""The witness: runs something in a forked child that may not do what only strangers' code does, and tells what it saw.

Python's audit hooks (PEP 578) report imports, calls, files, processes and sockets before they happen. A breach raises
in the child and is reported, so that nothing is harmed even where the promise is broken.
"""

import io
import json
import os
import resource
import signal
import site
import sys
import sysconfig
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import dlcli

TRUSTED = tuple(
    os.path.realpath(path)
    for path in (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), *site.getsitepackages(), *dlcli.__path__)
)
MAKERS = ("dataclasses.py", "collections/__init__.py", "ast.py", "typing.py", "enum.py")  # make code of their own text
PROCESSES = (
    "subprocess.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "pty.",
)
NETWORK = (
    "socket.connect",
    "socket.bind",
    "socket.sendto",
    "socket.getaddrinfo",
    "urllib.Request",
    "http.client.connect",
)
LOADERS = ("pickle.find_class", "ctypes.dlopen", "code.__new__", "cpython.run_", "webbrowser.open", "sys.setprofile")
CHANGES = (
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.chmod",
    "os.chown",
    "os.truncate",
    "shutil.",
)
SETTINGS = (b"LD_", b"PYTHON", b"PATH", b"DL_")  # environment variables that lead to code
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
MEMORY = 1536 * 2**20  # bytes above what the parent has mapped


class Verdict(NamedTuple):
    """What a child did."""

    code: int | str | None  # exit code, or what ended it
    out: str
    err: str
    breaches: list[str]
    seconds: float  # of the processor
    megabytes: float  # resident, above the parent


def witness(action: Callable[[], Any], inside: Path, *, hook: bool = True, limit: int = 30) -> Verdict:
    """Run an action in a child whose working directory is the only place where it may write, for so many seconds."""
    log = inside.parent / "log"
    log.mkdir(exist_ok=True)
    before = resident()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        try:
            confined(action, inside, log, hook, limit)
        finally:
            os._exit(99)
    status, usage = wait(child, 5 * limit)  # the machine may be busy; the processor's time is limited in the child
    said = (log / "told").read_text() if (log / "told").exists() else ""
    told = json.loads(said or '{"code": null, "breaches": []}')
    code = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else told["code"]
    out, err = ((log / name).read_text(errors="backslashreplace") for name in ("out", "err"))
    grown = (usage.ru_maxrss - before) / 1024
    return Verdict(code, out, err, told["breaches"], usage.ru_utime + usage.ru_stime, grown)


def wait(child: int, limit: int) -> tuple[int, Any]:
    """Wait for a child, and end it after so many seconds."""
    end = time.monotonic() + limit
    while True:
        found, status, usage = os.wait4(child, os.WNOHANG)
        if found:
            return status, usage
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            return os.wait4(child, 0)[1:]
        time.sleep(0.002)


def resident() -> int:
    """Return the KiB of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


def mapped() -> int:
    """Return the bytes of addresses that this process has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def confined(action: Callable[[], Any], inside: Path, log: Path, hook: bool, limit: int) -> None:
    """Run the action within its limits; write down how it ended."""
    os.chdir(inside)
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(log / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(fd, "w", closefd=False), "utf-8") for fd in (1, 2))
    os.environ |= {"CANARY": str(inside.parent / "canary"), "SECRET": "hunter2", "COLUMNS": "160"}
    sys.dont_write_bytecode = True
    room = mapped() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    breaches: list[str] = []
    report = os.open(log / "told", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    if hook:
        sys.addaudithook(guard(os.path.realpath(inside), breaches))
    try:
        code = action()
    except SystemExit as leave:
        code = leave.code or 0
    except BaseException:
        traceback.print_exc()
        code = "exception"
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(report, json.dumps({"code": code, "breaches": breaches}, default=str).encode())
    os._exit(0)


def guard(inside: str, breaches: list[str]) -> Callable[[str, tuple], None]:
    """Return a hook that raises for whatever a reader of data has no reason to do."""
    packages = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)

    def fault(event: str, arguments: tuple) -> str | None:
        if event.startswith((*PROCESSES, *NETWORK, *LOADERS)):
            return str(arguments)
        if event == "os.putenv" and arguments[0].startswith(SETTINGS):
            return str(arguments)
        if event == "import" and arguments[0].partition(".")[0] not in packages | sys.stdlib_module_names:
            return str(arguments[0])
        if event == "exec" and not ours(arguments[0].co_filename):
            return arguments[0].co_filename
        if event == "compile" and not ours(caller()):
            return f"{arguments[1]} by {caller()}"
        if event == "open" and isinstance(arguments[0], (str, bytes)) and writes(arguments):
            return outside(arguments[0], inside)
        if event.startswith(CHANGES):
            return next(filter(None, (outside(path, inside, follow=False) for path in arguments[:2])), None)
        return None

    def hook(event: str, arguments: tuple) -> None:
        found = fault(event, arguments)
        if found is not None:
            breaches.append(f"{event}: {found}"[:300])
            raise RuntimeError(f"breach: {event}")

    return hook


def caller() -> str:
    """Return the file of the nearest frame below the hook."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return frame.f_code.co_filename


def ours(name: str) -> bool:
    """Tell whether code comes from an installed file, or was made by one that makes code of its own text."""
    if name.startswith("<frozen "):
        return True
    if name.startswith("<"):
        return caller().endswith(MAKERS) and caller().startswith(TRUSTED)
    return os.path.realpath(name).startswith(TRUSTED)


def writes(arguments: tuple) -> bool:
    """Tell whether a file is opened for writing."""
    _, mode, flags = arguments
    return bool(set(mode) & set("wax+")) if isinstance(mode, str) else bool((flags or 0) & WRITING)


def outside(path: Any, inside: str, *, follow: bool = True) -> str | None:
    """Return a path that lies elsewhere than in the one folder; `follow` a link at its end, if it is opened."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        return None
    folder, name = os.path.split(os.path.abspath(os.fsdecode(path)))
    real = os.path.realpath(os.path.join(folder, name)) if follow else os.path.join(os.path.realpath(folder), name)
    return None if real == "/dev/null" or f"{real}/".startswith(f"{inside}/") else real
