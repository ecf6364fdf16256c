"""Which version of this software runs."""

import hashlib
from functools import cache
from pathlib import Path


@cache
def software() -> str:
    """A short hash of this software's source: another version's results may mean something else."""
    root = Path(__file__).parents[1]
    packages = (Path(__file__).parent, root / "fmi_engine", root / "inspection")
    sources = sorted(path for package in packages for path in package.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:8]
