"""torchvision, also beside a CPU build of torch that lacks its compiled operators."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch

_COMPILER = "torch._dynamo.utils"
_schemas: list[torch.library.Library] = []  # a library that is let go takes its schemas with it


def torchvision() -> ModuleType:
    """Import torchvision; models, feature extraction and transforms.v2 work in every case.

    The registry's torchvision is compiled against the CUDA build of torch. Beside a CPU build its
    compiled operators do not load and the import stops at `torchvision::nms`; with that schema defined
    the rest imports. Compiled operators and torchvision.io stay absent.
    """
    with _compiler_when_called():
        try:
            import torchvision
        except RuntimeError as error:
            if "torchvision::nms" not in str(error):
                raise
            _forget("torchvision")
            _define_schemas()
            import torchvision
    module: ModuleType = torchvision
    return module


@contextmanager
def _compiler_when_called() -> Iterator[None]:
    """Spare the import of torch's compiler, which takes as long as that of torch itself.

    One operator of torchvision asks it whether a device compiles; here it is imported when that is asked.
    """
    if _COMPILER in sys.modules:
        yield
        return
    asked_later = ModuleType(_COMPILER)
    vars(asked_later)["is_compile_supported"] = _is_compile_supported
    sys.modules[_COMPILER] = asked_later
    try:
        yield
    finally:
        del sys.modules[_COMPILER]


def _is_compile_supported(device: str) -> bool:
    from torch._dynamo.utils import is_compile_supported

    return bool(is_compile_supported(device))


def _forget(package: str) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        del sys.modules[name]


def _define_schemas() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    _schemas.append(library)
