"""Models that come as an ONNX file: the file is checked, and kept in the workspace as their network."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from fmi_engine.onnx_networks import ONNX, check_answers, trainable
from inspection.workspace.files import replacing, sha256_of
from inspection.workspace.folder import Workspace

FILE = "onnx"  # what --architecture says of a file that is its network, too
MOST_FIXED = 0.1  # of the weights that training cannot change: above it that is told


def named(checkpoint: Path) -> str:
    """The architecture of a file that lies anywhere."""
    return f"{ONNX}{checkpoint.absolute()}"


def checked(network: nn.Module, checkpoint: Path, x: Tensor, tell: Callable[[str], None] | None) -> None:
    """Compare a file's network with ONNX Runtime. Raises ClassifierError where they answer otherwise."""
    check_answers(network, checkpoint, x)
    some, every = trainable(network)
    if tell and every - some > MOST_FIXED * every:
        tell(
            f"of the {every} weights in {checkpoint.name} training can change {some}: those of matrix "
            "products are constants there. fmi retrain will mend less than it could with the network's own "
            "code"
        )


def kept_file(workspace: Workspace, checkpoint: Path) -> str:
    """Copy a file, with weights that lie beside it, into the workspace; returns where, relative to it."""
    import onnx  # an extra

    path = workspace.root / "models" / f"{sha256_of(checkpoint)[:16]}.onnx"
    with replacing(path) as partial:
        onnx.save(onnx.load(checkpoint), partial)
    return workspace.relative(path)
