"""What this machine is, and what it is good at."""

import ctypes
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch


class DeviceError(ValueError):
    """A device that is not here, or cannot be used so."""


def pick(name: str, threads: int) -> torch.device:
    """The device of that name (auto: a GPU, or else the CPU; cuda: that of this process); threads above 0 are set.

    Raises DeviceError where there is no such device, or a number of threads that is none.
    """
    if threads < 0:
        raise DeviceError(f"--threads {threads} must be above 0, or 0 for all cores")
    if threads:
        torch.set_num_threads(threads)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if name == "cuda" else name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError("nothing was tried on it")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        *others, last = (kind for kind in ("cpu", "cuda", "auto") if kind != name.partition(":")[0])
        raise DeviceError(
            f"device {name!r} is not here ({str(error).splitlines()[0]}); use {', '.join(others)} or {last}"
        ) from error
    if device.type == "cuda":
        torch.cuda.set_device(device)  # where messages between processes pass
        torch.backends.cudnn.allow_tf32 = False  # float32 is float32
        torch.backends.cudnn.deterministic = True
    else:
        keep_freed_memory()
    return device


def keep_freed_memory() -> None:
    """What is freed stays with this process, for each step asks for the same again, and fresh pages cost time.

    Only the C library of GNU can be told so; elsewhere nothing happens.
    """
    with suppress(AttributeError, OSError, TypeError):
        tell = ctypes.CDLL(None).mallopt
        tell(-3, 2**25)  # M_MMAP_THRESHOLD, at its most: what is larger goes back to the system
        tell(-1, 2**30)  # M_TRIM_THRESHOLD


def hardware(device: torch.device) -> dict[str, Any]:
    """What this machine is, as far as it matters to a figure."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    return {"device": device.type, "name": name, "cores": os.cpu_count(), "threads": torch.get_num_threads()}


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic is in the hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = (getattr(torch.cpu, f"_is_{unit}_supported", None) for unit in ("amx_tile", "avx512_bf16"))
    return any(ask() for ask in known if ask)
