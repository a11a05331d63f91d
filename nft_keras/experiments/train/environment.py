"""Where and with what a trial was run, so that its result can be told from one of another machine or version."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path


def describe():
    """What a result depends on beside its settings.

    Returns:
        dict of str: date (UTC, to the second), machine (processor, cores, memory, accelerators), python, keras,
        backend (with its version), nft_keras (with the commit where it is a git checkout, and "+" if files of the
        package differ from it).
    """
    import keras

    backend = keras.backend.backend()
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "machine": ", ".join([processor(), f"{os.cpu_count()} cores", *_memory(), *_accelerators()]),
        "python": platform.python_version(),
        "keras": keras.__version__,
        "backend": f"{backend} {_version(backend)}",
        "nft_keras": " ".join([_version("nft_keras"), *_commit(Path(__file__).parents[2])]),
    }


def processor():
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package):
    """The version of a package; one that was not installed, but lies in the path, may not know it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return getattr(sys.modules.get(package), "__version__", "unknown")


def _memory():
    try:
        return [f"{round(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30)} GiB"]
    except (ValueError, OSError):
        return []


def _accelerators():
    import keras

    if keras.backend.backend() == "torch":
        import torch

        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    devices = [device for device in keras.distribution.list_devices() if not device.lower().startswith("cpu")]
    if not devices:
        return []
    if keras.backend.backend() == "jax":
        import jax

        return [device.device_kind for device in jax.devices()]
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(device).get("device_name", device.name) for device in found]


def _commit(package):
    """The commit of the checkout that the package lies in; nothing where it does not lie in one."""
    if not (package.parent / ".git").exists():
        return []

    def git(*arguments):
        command = ["git", "-C", str(package), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return [git("rev-parse", "--short", "HEAD") + "+" * bool(git("status", "--porcelain", "--", "."))]
    except (OSError, subprocess.CalledProcessError):
        return []
