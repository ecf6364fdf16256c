"""Checkpoints as people save them, and the weights in them."""

import pickle
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from fmi_engine.checkpoint import load_checkpoint, load_weights, read_checkpoint
from fmi_engine.classifier import build_network, hash_weights
from fmi_engine.errors import ClassifierError
from tests.fmi_engine.tiny import saved, seeded, two_layers


def message(refusal: pytest.ExceptionInfo[ClassifierError]) -> str:
    return str(refusal.value)


WRAPPINGS: dict[str, Callable[[dict[str, Tensor]], object]] = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"lr": 0.1}},
    "model_state_dict": lambda state: {"model_state_dict": state},
    "model": lambda state: {"model": state},
    "parallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "parallel under state_dict": lambda state: {
        "state_dict": {f"module.{name}": value for name, value in state.items()}
    },
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_state_dict_is_found_however_it_is_wrapped(tmp_path: Path, wrapping: str) -> None:
    state = seeded(two_layers()).state_dict()
    network = two_layers()
    notes = load_checkpoint(network, saved(tmp_path / "weights.pt", WRAPPINGS[wrapping](state)))
    assert hash_weights(network.state_dict()) == hash_weights(state)
    assert [note for note in notes if "begin with" in note] == list(notes)


def test_a_network_with_a_part_called_module_keeps_its_names(tmp_path: Path) -> None:
    network = nn.Sequential(OrderedDict(module=nn.Linear(2, 2), head=nn.Linear(2, 2)))
    state = seeded(network).state_dict()
    assert load_checkpoint(network, saved(tmp_path / "weights.pt", state)) == ()


def test_a_misfit_lists_names_and_shapes() -> None:
    state = two_layers().state_dict()
    state["head.weight"] = torch.zeros(4, 2)
    del state["conv.bias"]
    state["extra"] = torch.zeros(1)
    with pytest.raises(ClassifierError) as refusal:
        load_weights(two_layers(), state, "night.pt")
    assert message(refusal) == (
        "night.pt does not fit the architecture: "
        "1 weights missing (conv.bias); 1 weights unexpected (extra); "
        "1 shapes differ (head.weight is (4, 2), expected (3, 2)). "
        "Check the architecture's name, the number of classes and the number of channels."
    )


def test_a_network_of_one_output_is_told_how_it_is_registered() -> None:
    state = two_layers().state_dict()
    state["head.weight"] = torch.zeros(1, 2)
    with pytest.raises(ClassifierError, match=r"one output decides by a threshold: add --decision 'sigmoid"):
        load_weights(two_layers(), state, "night.pt")


def test_a_misfit_names_what_is_missing() -> None:
    with pytest.raises(ClassifierError) as refusal:
        load_weights(two_layers(), {}, "night.pt")
    assert "4 weights missing (conv.bias, conv.weight, head.bias, head.weight)." in message(refusal)


def test_a_misfit_changes_no_weight() -> None:
    network = seeded(two_layers())
    before = hash_weights(network.state_dict())
    state = seeded(two_layers(), seed=1).state_dict()
    state["head.bias"] = torch.zeros(9)
    with pytest.raises(ClassifierError):
        load_weights(network, state, "night.pt")
    assert hash_weights(network.state_dict()) == before


def zipped(tmp_path: Path) -> bytes:
    return saved(tmp_path / "good.pt", two_layers().state_dict()).read_bytes()


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"garbage garbage garbage",
        b"hello",
        b"image,label\n1.png,good\n",
        b'{"state_dict": {}}',
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"PK\x03\x04" + bytes(100),
        b"\x80\x02.",
        b"\x80\x02r\xdd]\x93\x08",
        bytes(1000),
    ],
)
def test_a_garbage_file_is_refused_by_its_name(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(garbage)
    with pytest.raises(ClassifierError) as refusal:
        read_checkpoint(path)
    assert message(refusal).startswith(f"{path} ")
    assert "\n" not in message(refusal)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    whole = zipped(tmp_path)
    path = tmp_path / "cut.pt"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ClassifierError, match="is no readable checkpoint"):
        read_checkpoint(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClassifierError, match="is no readable checkpoint"):
        read_checkpoint(tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClassifierError) as refusal:
        read_checkpoint(tmp_path / "nowhere.pt")
    assert message(refusal) == f"no checkpoint at {tmp_path / 'nowhere.pt'}"


@pytest.mark.parametrize("held", [torch.zeros(3), {"epoch": 3}, {}, [1, 2], {"state_dict": {"epoch": 3}}])
def test_a_file_without_weights_is_refused(tmp_path: Path, held: object) -> None:
    with pytest.raises(ClassifierError, match=r"holds no state dict.* Expected names of weights"):
        read_checkpoint(saved(tmp_path / "weights.pt", held))


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_the_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "weights.pt", tmp_path / "trace"
    path.write_bytes(pickle.dumps(_Trap(trace), protocol=2))
    with pytest.raises(ClassifierError, match=r"a whole network or other objects are not read"):
        read_checkpoint(path)
    assert not trace.exists()


# Forms that people meet


def prefixed(state: dict[str, Tensor], beginning: str) -> dict[str, Tensor]:
    return {f"{beginning}{name}": value for name, value in state.items()}


def test_a_beginning_that_all_names_share_is_cut_and_told(tmp_path: Path) -> None:
    state, network = seeded(two_layers()).state_dict(), two_layers()
    held = {"state_dict": prefixed(state, "model._orig_mod.")}
    notes = load_checkpoint(network, saved(tmp_path / "weights.pt", held))
    assert hash_weights(network.state_dict()) == hash_weights(state)
    assert notes == (
        "the names of the weights begin with 'model.', which was cut",
        "the names of the weights begin with '_orig_mod.', which was cut",
    )


def test_an_averaged_model_is_read_without_its_counter(tmp_path: Path) -> None:
    averaged, network = AveragedModel(seeded(two_layers())), two_layers()
    load_checkpoint(network, saved(tmp_path / "weights.pt", averaged.state_dict()))
    assert hash_weights(network.state_dict()) == hash_weights(averaged.module.state_dict())


def test_of_two_sets_of_weights_one_is_asked_for(tmp_path: Path) -> None:
    last, mean = (seeded(two_layers(), seed=seed).state_dict() for seed in (1, 2))
    held = {"state_dict": last, "ema": {"state_dict": prefixed(mean, "module.")}}
    path = saved(tmp_path / "weights.pt", held)
    both = r"state_dict \(4 tensors\), ema\.state_dict \(4 tensors\)"
    with pytest.raises(ClassifierError, match=rf"several sets of weights that fit: {both}.* with --weights"):
        load_checkpoint(two_layers(), path)
    network = two_layers()
    notes = load_checkpoint(network, path, "ema.state_dict")
    assert hash_weights(network.state_dict()) == hash_weights(mean)
    assert notes[-1] == "of weights.pt were taken ema.state_dict, not state_dict (4 tensors)"
    with pytest.raises(ClassifierError, match=rf"no weights under 'emma'; it holds {both}"):
        load_checkpoint(network, path, "emma")


@pytest.mark.parametrize("name", ["n_averaged", "aux1.conv.weight"])
def test_what_nothing_is_left_of_does_not_fit(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / "weights.pt", {name: torch.zeros(1)})
    with pytest.raises(ClassifierError, match=r"does not fit the architecture: 4 weights missing"):
        load_checkpoint(two_layers(), path)


def test_averages_in_a_list_are_told(tmp_path: Path) -> None:
    state = seeded(two_layers()).state_dict()
    held = {"model": state, "ema": {"decay": 0.99, "shadow_params": list(state.values())}}
    notes = load_checkpoint(two_layers(), saved(tmp_path / "weights.pt", held))
    assert notes == ("of weights.pt were taken model, not ema.shadow_params (4 tensors)",)


def test_settings_and_numbers_beside_the_weights_are_read(tmp_path: Path) -> None:
    state = seeded(two_layers()).state_dict()
    beside = {"args": Namespace(lr=0.1, name="run"), "best": np.float64(0.97), "step": np.int64(3)}
    assert load_checkpoint(two_layers(), saved(tmp_path / "weights.pt", {"model": state, **beside})) == ()


def test_safetensors_are_read(tmp_path: Path) -> None:
    state, network, path = seeded(two_layers()).state_dict(), two_layers(), tmp_path / "model.safetensors"
    save_file(dict(state), path)
    assert load_checkpoint(network, path) == ()
    assert hash_weights(network.state_dict()) == hash_weights(state)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ClassifierError, match="is no readable safetensors file"):
        load_checkpoint(network, path)
    with pytest.raises(ClassifierError, match="no checkpoint at"):
        load_checkpoint(network, tmp_path / "none.safetensors")


@pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
def test_auxiliary_heads_are_left_out_and_told(tmp_path: Path, name: str) -> None:
    from fmi_engine.vision import torchvision

    whole = torchvision().models.get_model(name, weights=None, num_classes=2, init_weights=False)
    network = build_network(name, 2, 3)
    (note,) = load_checkpoint(network, saved(tmp_path / "weights.pt", whole.state_dict()))
    assert note.endswith("weights of auxiliary heads are left out: no answer uses them")
    assert torch.equal(network.state_dict()["fc.weight"], whole.state_dict()["fc.weight"])


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: prefixed(state, "model."), dict])
def test_the_versions_of_modules_are_kept(
    tmp_path: Path, wrap: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> None:
    """MNASNet refuses weights whose version it does not know."""
    state = build_network("mnasnet0_5", 2, 3).state_dict()
    network = build_network("mnasnet0_5", 2, 3)
    load_checkpoint(network, saved(tmp_path / "weights.pt", wrap(state)))
    assert hash_weights(network.state_dict()) == hash_weights(state)


def test_counts_that_old_files_lack_are_no_misfit(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    state = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    assert load_checkpoint(network, saved(tmp_path / "weights.pt", state)) == ()


def test_programs_are_refused_with_how_to_get_their_weights(tmp_path: Path) -> None:
    scripted, exported = tmp_path / "scripted.pt", tmp_path / "exported.pt2"
    with pytest.warns(DeprecationWarning, match="deprecated"):  # plants have them nevertheless
        torch.jit.script(two_layers()).save(scripted)  # type: ignore[no-untyped-call]
    torch.export.save(torch.export.export(two_layers().eval(), (torch.zeros(1, 1, 4, 4),)), exported)
    whole = saved(tmp_path / "whole.pt", two_layers())
    onnx = tmp_path / "model.onnx"
    for path, said in (
        (scripted, r"is a TorchScript program\. Its weights are had by torch\.save\(torch\.jit\.load"),
        (exported, r"is a program of torch\.export .*torch\.export\.load"),
        (whole, r"holds objects of torch\.nn\.modules\.container\.Sequential, which would run code"),
        (onnx, "is an ONNX file"),
    ):
        with pytest.raises(ClassifierError, match=said):
            read_checkpoint(path)


def test_where_there_are_no_weights_the_keys_are_listed(tmp_path: Path) -> None:
    with pytest.raises(ClassifierError, match="under its keys epoch, lr lies none"):
        read_checkpoint(saved(tmp_path / "weights.pt", {"epoch": 3, "lr": 0.1}))
