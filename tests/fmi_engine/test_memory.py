"""Freed memory is kept: a process that asks for the same block again is given no new pages."""

import os
import platform
import subprocess
import sys

import pytest

ASKING = """
import resource, sys
import torch
from fmi_engine.memory import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
for _ in range(2):
    [torch.ones(1 << 20) for _ in range(32)]  # 4 MiB, 1024 pages each
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    [torch.ones(1 << 20) for _ in range(32)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone is told")
def test_a_block_that_was_freed_is_asked_for_again_without_new_pages() -> None:
    # glibc alone raises this threshold as it goes, and may keep the blocks by luck.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
    kept, given_back = (
        int(
            subprocess.run(
                [sys.executable, "-c", ASKING, how], env=environment, capture_output=True, check=True
            ).stdout
        )
        for how in ("kept", "given back")
    )
    assert kept < given_back / 4
