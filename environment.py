"""Makes `.venv` from the pinned lock: checks Python, says how much is installed, shows uv's progress.

`make` runs it before everything else; when nothing has changed it answers at once. Any Python from 3.7 on can
run it, so that one that does not fit is told so.

    python3 environment.py                # torch as the package index has it; on Linux with CUDA's libraries
    python3 environment.py --torch cpu    # PyTorch's own build for CPUs, a third of the size
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
OLDEST, NEWEST = (3, 11), (3, 13)
TORCH = ("torch", "torchvision")
ONLY_ON_A_GPU = ("triton",)
"""What the CUDA build of torch starts without. Its other libraries are linked to it and have to be there."""
OF_THE_CUDA_BUILD = re.compile(r"(nvidia|cuda)-.+|triton")
NEEDED_ANYWAY = ("nvidia-ml-py",)
"""Reads a GPU's load; plain Python."""
SIZES_GB = {"everything": 8.1, "no GPU": 7.1, "cpu": 3.6}


def main() -> None:
    """Make the environment, or leave one that is as it should be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--torch", default="default", help="default, cpu, or another of uv's torch backends")
    parser.add_argument(
        "--this-python", action="store_true", help="rebuild a .venv of another Python version"
    )
    parser.add_argument("--directory", type=Path, default=ROOT / ".venv")
    wanted = parser.parse_args()
    lock, stamp = ROOT / "requirements.lock", wanted.directory / ".installed"
    left_out = leave_out(wanted.torch, has_gpu=has_gpu())
    made_from = digest(lock.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), repr(left_out))
    made_from = f"{wanted.torch} {made_from}"
    python = wanted.directory / "bin" / "python"
    remove_another_build(stamp, wanted.torch)
    rebuild_unless_it_fits(python, wanted.this_python)
    if stamp.is_file() and stamp.read_text() == made_from:
        return
    say_what_comes(wanted.torch, has_gpu())
    run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv")
    install(python, lock.read_text(), wanted.torch, left_out)
    stamp.write_text(made_from)
    print(f"the environment is ready: {measure_gb(wanted.directory):.1f} GB in {wanted.directory.name}")


def rebuild_unless_it_fits(python: Path, this_python: bool) -> None:
    """Make a virtual environment where there is none that fits; one of a wrong Python is removed first."""
    found, here = version_of(python), sys.version_info[:2]
    if found is not None and fits(found) and not (this_python and found != here):
        return
    if not fits(here):
        sys.exit(refusal(here, sys.executable))
    directory = python.parent.parent
    if found is not None:
        print(f"{directory.name} is of Python {dotted(found)}; it is made again with {dotted(here)}")
    shutil.rmtree(directory, ignore_errors=True)
    run(sys.executable, "-m", "venv", str(directory))


def remove_another_build(stamp: Path, torch: str) -> None:
    """Remove an environment that holds another build of torch: its libraries would stay for nothing."""
    build = stamp.read_text().partition(" ")[0] if stamp.is_file() else ""
    if build and build != torch:
        print(f"{stamp.parent.name} holds the {build} build of torch; it is made again with the {torch} one")
        shutil.rmtree(stamp.parent)


def install(python: Path, lock: str, torch: str, left_out: tuple[str, ...]) -> None:
    """Install the lock without what is left out, the build of torch that was asked for, and maskloop."""
    pip = (str(python.parent / "uv"), "pip", "install", "--python", str(python))
    with tempfile.TemporaryDirectory() as folder:
        chosen = Path(folder) / "requirements.lock"
        chosen.write_text(without(lock, left_out))
        # Each package is named in the lock, with what it needs: nothing is to be looked up beside it.
        run(*pip, "--require-hashes", "--no-deps", "-r", str(chosen))
    if torch != "default":  # other files of the same versions, so the lock's hashes do not hold for them
        run(*pip, "--torch-backend", torch, *(f"{name}=={pinned_version(lock, name)}" for name in TORCH))
    run(*pip, "--quiet", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))


def leave_out(torch: str, *, has_gpu: bool) -> tuple[str, ...]:
    """Return the packages of the lock that are not installed from it."""
    if torch != "default":
        return (*TORCH, "CUDA")
    return () if has_gpu else ONLY_ON_A_GPU


def without(lock: str, left_out: tuple[str, ...]) -> str:
    """Return a lock without some packages; ``CUDA`` stands for all that come with torch's CUDA build.

    >>> lock = "numpy==2.4 \\\\\\n    --hash=sha256:1\\ntriton==3.9 \\\\\\n    --hash=sha256:2\\n"
    >>> print(without(lock, ("CUDA",)), end="")
    numpy==2.4 \\
        --hash=sha256:1
    """
    blocks = re.split(r"\n(?=\S)", lock.rstrip("\n"))
    return "\n".join(block for block in blocks if not is_left_out(name_of(block), left_out)) + "\n"


def is_left_out(name: str, left_out: tuple[str, ...]) -> bool:
    """Tell whether a package is among those left out.

    >>> is_left_out("nvidia-cublas", ("CUDA",)), is_left_out("nvidia-ml-py", ("CUDA",))
    (True, False)
    """
    is_cuda = bool(OF_THE_CUDA_BUILD.fullmatch(name)) and name not in NEEDED_ANYWAY
    return name in left_out or ("CUDA" in left_out and is_cuda)


def name_of(block: str) -> str:
    """Return the package that a block of a lock is about.

    >>> name_of("uvicorn[standard]==0.34 ; python_version > '3'")
    'uvicorn'
    """
    return re.split(r"[\[=; ]", block, maxsplit=1)[0]


def pinned_version(lock: str, name: str) -> str:
    """Return the version that a lock pins.

    >>> pinned_version("torch==2.15.0 \\\\\\n  --hash=sha256:1\\n", "torch")
    '2.15.0'
    """
    found = re.search(rf"^{re.escape(name)}==([^\s;]+)", lock, re.MULTILINE)
    if found is None:
        sys.exit(f"requirements.lock does not pin {name}")
    return found.group(1)


def fits(version: tuple[int, ...]) -> bool:
    """Tell whether maskloop runs on a Python.

    >>> [fits(version) for version in ((3, 10), (3, 11), (3, 13), (3, 14))]
    [False, True, True, False]
    """
    return OLDEST <= version <= NEWEST


def refusal(version: tuple[int, ...], name: str) -> str:
    """Say that a Python does not fit, and what to do."""
    return (
        f"maskloop needs Python {dotted(OLDEST)} to {dotted(NEWEST)}, and {name} is {dotted(version)}. "
        f"Name another one: make demo PYTHON=python{dotted(NEWEST)}"
    )


def dotted(version: tuple[int, ...]) -> str:
    """Write a version.

    >>> dotted((3, 11))
    '3.11'
    """
    return ".".join(str(number) for number in version)


def version_of(python: Path) -> tuple[int, ...] | None:
    """Return the version of a Python that can be started, (major, minor), or None."""
    command = [str(python), "-c", "import sys; print(*sys.version_info[:2])"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return tuple(int(number) for number in said.split())
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None


def say_what_comes(torch: str, gpu: bool) -> None:
    """Say how much is about to be installed, and how to have less."""
    if torch != "default":
        size = f"about {SIZES_GB['cpu']} GB" if torch == "cpu" else "several GB"
        print(f"installing into .venv: {size}, with PyTorch's own {torch} build of torch")
        return
    is_linux = sys.platform == "linux"
    size_gb = SIZES_GB["cpu"] if not is_linux else SIZES_GB["everything" if gpu else "no GPU"]
    print(f"installing into .venv: about {size_gb} GB, downloaded once")
    if is_linux and not gpu:
        print(f"no NVIDIA GPU: `make demo TORCH=cpu` takes PyTorch's own build: {SIZES_GB['cpu']} GB in all")


def has_gpu() -> bool:
    """Tell whether this machine has an NVIDIA GPU with its driver."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def measure_gb(directory: Path) -> float:
    """Add up the files below a folder."""
    sizes = (entry.stat().st_blocks * 512 for entry in directory.rglob("*") if not entry.is_symlink())
    return sum(sizes) / 1e9


def digest(*parts: bytes | str) -> str:
    """Digest what an environment is made from."""
    joined = b"\0".join(part if isinstance(part, bytes) else part.encode() for part in parts)
    return hashlib.sha256(joined).hexdigest()


def run(*command: str) -> None:
    """Run a command whose output is shown, and end with its exit code if it fails."""
    sys.stdout.flush()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    code = subprocess.run(command, env=environment, check=False).returncode
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
