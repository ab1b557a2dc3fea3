"""Slices by name: what is on offer, what is refused, and the abstract devices behind a name."""

import importlib.util
import os
import subprocess
import sys

import pytest

from physlm_jax.errors import InputError
from physlm_jax.parallel.topology import open_topology, parse_name

NEEDS_LIBTPU = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu (the extra tpu) is not installed"
)


def fresh(code: str, without: str) -> subprocess.CompletedProcess:
    """Runs Python code in a new process whose environment lacks a variable."""
    environment = {k: v for k, v in os.environ.items() if k != without}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v5:4x4", "did you mean 'v5p'"),
        ("v5e", "should be like v5e:4x4"),
        ("v5e:4*4", "should be like v5e:4x4"),
        ("v5e:4x5", "did you mean '4x"),
        ("v5e:32x32", "unknown shape"),
        ("v5p:4x4", "three multiples of 4"),
        ("v5p:4x4x6", "three multiples of 4"),
        ("v5p:64x64x64", "at most 8960"),
        ("", "TPU generation"),
    ],
)
def test_wrong_names_are_told(name, message):
    with pytest.raises(InputError, match="topology") as error:
        parse_name(name)
    assert message in str(error.value)


@NEEDS_LIBTPU
@pytest.mark.parametrize(
    ("name", "chips", "hosts", "wraps"),
    [
        ("v5e:1x1", 1, 1, (False, False)),
        ("v5e:4x8", 32, 8, (False, False)),
        ("v6e:8x16", 128, 32, (False, True)),
        ("v4:2x2x1", 4, 1, (False,) * 3),
        ("v5p:4x4x8", 128, 32, (True,) * 3),
    ],
)
def test_devices_of_a_slice(name, chips, hosts, wraps):
    found = open_topology(name)
    assert len(found.devices) == chips
    assert len({d.process_index for d in found.devices}) == hosts
    assert len({tuple(d.coords) for d in found.devices}) == chips
    assert found.wraps == wraps
    assert all(d.device_kind.startswith(found.chip.kinds) for d in found.devices)


def test_without_libtpu_one_line_names_the_extra():
    code = (
        "import sys; sys.modules['libtpu'] = None\n"
        "from physlm_jax.parallel.topology import open_topology\n"
        "try: open_topology('v5e:4x4')\n"
        "except Exception as e: print(type(e).__name__, e)\n"
    )
    done = fresh(code, without="TPU_LIBRARY_PATH")  # where JAX found the library itself
    assert done.stdout.startswith("InputError") and "physlm_jax[tpu]" in done.stdout


@NEEDS_LIBTPU
def test_libtpu_without_a_tpu_is_quiet():
    code = (
        "from physlm_jax.cli import silence_absent_tpu; silence_absent_tpu()\n"
        "import jax; print(jax.devices())"
    )
    done = fresh(code, without="JAX_PLATFORMS")
    assert done.stderr == ""
