"""Weights from a checkpoint file, in whichever of the usual forms, into the network that they fit."""

import pickle
import re
import zipfile
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fmi_engine.errors import ClassifierError, first_line, some

State = OrderedDict[str, Tensor]  # names of weights, with the versions of their modules in `_metadata`

WHOLE = "the file itself"  # the key of weights that lie in no dictionary of the file
DEEPEST = 3  # dictionaries within one another in which weights are looked for
COUNTER = "n_averaged"  # of torch.optim.swa_utils.AveragedModel, beside the weights of its `module`
AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")  # heads of Inception and GoogLeNet, for training from scratch
BATCHES = "num_batches_tracked"  # which files from before torch 0.4.1 lack, and no answer depends on
SAVE = "in the program that has the network: torch.save(network.state_dict(), 'weights.pt')"
# What torch leaves out of its own list, though it cannot run code: settings, and numbers of NumPy.
NUMBER = np.float64(0).__reduce__()[0]  # with which NumPy saves its numbers
HARMLESS: list[Any] = [
    Namespace,
    *((NUMBER, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    np.dtype,
    *{type(np.dtype(name)) for name in ("bool", "int32", "int64", "float16", "float32", "float64")},
]


def load_checkpoint(network: nn.Module, path: Path, key: str = "") -> tuple[str, ...]:
    """Put the weights of a checkpoint into a network that they fit exactly; returns what was adapted.

    The file is a state dict or holds some, by torch.save or as safetensors; none of its code is run. Where it
    holds several that fit, as those of an average beside the last ones, `key` says which. A beginning that
    all names share is cut where the rest fits, and auxiliary heads that the network lacks are left out.
    Raises ClassifierError where the file cannot be read, where nothing in it fits, or where several do.
    """
    held = read_checkpoint(path)
    chosen = {key: held[key]} if key in held else held
    if key and key not in held:
        raise ClassifierError(f"{path} holds no weights under {key!r}; it holds {_listed(held)}")
    own = network.state_dict()
    fitting = {name: fitted for name, state in chosen.items() if (fitted := _fitted(state, own)) is not None}
    if len(fitting) > 1:
        sets = _listed({name: held[name] for name in fitting})
        raise ClassifierError(
            f"{path} holds several sets of weights that fit: {sets}. "
            "One may be the average of the others (EMA): say which one the line runs, with --weights of "
            "fmi register"
        )
    if not fitting:
        state = max(chosen.values(), key=lambda state: len(set(state) & set(own)))
        load_weights(network, state, str(path))  # says what does not fit
        return ()
    ((name, (state, notes)),) = fitting.items()
    load_weights(network, state, str(path))
    others = {each: held[each] for each in held if each != name}
    return (*notes, *([f"of {path.name} were taken {name}, not {_listed(others)}"] if others else []))


def read_checkpoint(path: Path) -> dict[str, State]:
    """Every set of weights in a checkpoint file, by the key under which it lies, without running its code.

    Raises ClassifierError where the file is missing, damaged or holds no weights.
    """
    held = _safetensors(path) if path.suffix == ".safetensors" else _saved_by_torch(path)
    found = _states(held, "", DEEPEST)
    if not found:
        keys = ", ".join(map(str, held)) if isinstance(held, dict) and held else ""
        lies = f"; under its keys {keys} lies none" if keys else ""
        raise ClassifierError(
            f"{path} holds no state dict{lies}. Expected names of weights with their tensors: {SAVE}"
        )
    return found


def load_weights(network: nn.Module, state: Mapping[str, Tensor], source: str) -> nn.Module:
    """Put weights into a network that they fit exactly. Raises ClassifierError listing what does not fit."""
    own = network.state_dict()
    missing = sorted(set(own) - set(state))
    unexpected = sorted(set(state) - set(own))
    shapes = [
        f"{name} is {tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
        for name in sorted(set(own) & set(state))
        if own[name].shape != state[name].shape
    ]
    if missing or unexpected or shapes:
        raise ClassifierError(_misfit(source, missing, unexpected, shapes))
    try:
        network.load_state_dict(_versioned(state, own))
    except Exception as error:  # a sparse or quantised tensor of the right shape
        raise ClassifierError(
            f"{source} cannot be put into the network: {first_line(error)}. Expected dense weights"
        ) from None
    return network


def _versioned(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> State:
    """With the versions of the modules that saved it, which MNASNet asks for; else the network's own."""
    versioned: State = OrderedDict(state)
    metadata = getattr(state, "_metadata", None) or getattr(own, "_metadata", None)
    versioned._metadata = metadata  # type: ignore[attr-defined]
    return versioned


# --- the file ---


def _safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError:
        raise ClassifierError(f"no checkpoint at {path}") from None
    except (SafetensorError, OSError) as error:
        raise ClassifierError(f"{path} is no readable safetensors file: {first_line(error)}") from None


def _saved_by_torch(path: Path) -> Any:
    _refuse_programs(path)
    try:
        with torch.serialization.safe_globals(HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ClassifierError(f"no checkpoint at {path}") from None
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"holds objects of {named[1]}, which would run code" if named else "is damaged"
        raise ClassifierError(
            f"{path} {what}; a whole network or other objects are not read. Expected its state dict: {SAVE}"
        ) from None
    except Exception as error:  # torch's unpickler raises nearly anything on bytes that are no checkpoint
        raise ClassifierError(
            f"{path} is no readable checkpoint ({type(error).__name__}: {first_line(error)}). Expected a "
            f"state dict: {SAVE}"
        ) from None


def _refuse_programs(path: Path) -> None:
    """Raise ClassifierError for files that hold a program beside its weights, saying how to get these."""
    if path.is_file() and not path.stat().st_size:
        raise ClassifierError(f"{path} is empty. Expected a state dict: {SAVE}")
    if path.suffix == ".onnx":
        raise ClassifierError(
            f"{path} is an ONNX file, which holds its network, too: register it with --architecture onnx. As "
            f"weights of another architecture a state dict is expected: {SAVE}"
        )
    if not path.is_file() or not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        names = {name.partition("/")[2] or name for name in archive.namelist()}
    if any(name.startswith("code/") for name in names):
        take = "torch.save(torch.jit.load(path).state_dict(), 'weights.pt')"
        raise ClassifierError(
            f"{path} is a TorchScript program. Its weights are had by {take}, where its network was traced "
            f"or scripted from one whose code you have; then register them with --architecture"
        )
    if any(name.startswith("models/") or name == "archive_format" for name in names):
        take = "torch.save(torch.export.load(path).state_dict, 'weights.pt')"
        raise ClassifierError(
            f"{path} is a program of torch.export (.pt2). Its weights are had by {take}; then register them "
            "with --architecture"
        )


# --- the weights in it ---


def _states(held: Any, key: str, deep: int) -> dict[str, State]:
    """State dicts within dictionaries, by their keys with dots between; a list of tensors is one, too.

    As lists some keep the averages of weights (EMA), which nobody should pass over unawares.
    """
    if key and isinstance(held, list) and held and all(isinstance(value, Tensor) for value in held):
        return {key: OrderedDict((f"{i}", value) for i, value in enumerate(held))}
    if not isinstance(held, Mapping) or not deep:
        return {}
    tensors = {name: value for name, value in held.items() if isinstance(value, Tensor)}
    if tensors and all(isinstance(name, str) for name in held):
        state: State = OrderedDict(tensors)
        state._metadata = getattr(held, "_metadata", None)  # type: ignore[attr-defined]
        return {key or WHOLE: state}
    found: dict[str, State] = {}
    for name, value in held.items():
        found |= _states(value, f"{key}.{name}" if key else f"{name}", deep - 1)
    return found


def _fitted(state: State, own: Mapping[str, Tensor]) -> tuple[State, tuple[str, ...]] | None:
    """The weights under the network's own names, and what was adapted; None: they are others'."""
    notes: list[str] = []
    while set(state) != set(own):
        less = _without_heads(state, own) or _without_beginning(state) or _with_counts(state, own)
        if less is None:
            return None
        state, note = less
        notes += [note] if note else []
    return state, tuple(notes)


def _without_heads(state: State, own: Mapping[str, Tensor]) -> tuple[State, str] | None:
    heads = [name for name in state if name.startswith(AUXILIARY) and name not in own]
    if not heads:
        return None
    kept = {name: value for name, value in state.items() if name not in heads}
    return _like(state, kept), f"{len(heads)} weights of auxiliary heads are left out: no answer uses them"


def _without_beginning(state: State) -> tuple[State, str] | None:
    """Without a first part that all names share: `module.`, `model.`, `_orig_mod.`, ..."""
    names = [name for name in state if name != COUNTER]
    if not names:
        return None
    beginning = names[0].partition(".")[0] + "."
    if not all(name.startswith(beginning) and name != beginning for name in names) or beginning == ".":
        return None
    kept = {name.removeprefix(beginning): state[name] for name in names}
    shorter = _like(state, kept)
    versions = getattr(state, "_metadata", None) or {}
    shorter._metadata = {  # type: ignore[attr-defined]
        name.removeprefix(beginning) if name != beginning[:-1] else "": version
        for name, version in versions.items()
        if name.startswith(beginning) or name == beginning[:-1]
    }
    return shorter, f"the names of the weights begin with '{beginning}', which was cut"


def _with_counts(state: State, own: Mapping[str, Tensor]) -> tuple[State, str] | None:
    missing = set(own) - set(state)
    if set(state) - set(own) or not all(name.endswith(BATCHES) for name in missing):
        return None
    return _like(state, {**state, **{name: own[name] for name in missing}}), ""


def _like(state: State, kept: Mapping[str, Tensor]) -> State:
    """Other weights with the same versions of modules."""
    found: State = OrderedDict(kept)
    found._metadata = getattr(state, "_metadata", None)  # type: ignore[attr-defined]
    return found


def _listed(held: Mapping[str, State]) -> str:
    return ", ".join(f"{name} ({len(state)} tensors)" for name, state in held.items())


def _misfit(source: str, missing: list[str], unexpected: list[str], shapes: list[str]) -> str:
    parts = [
        f"{len(names)} {what} ({some(names)})"
        for what, names in (
            ("weights missing", missing),
            ("weights unexpected", unexpected),
            ("shapes differ", shapes),
        )
        if names
    ]
    one = any(" is (1," in shape for shape in shapes) and not (missing or unexpected)
    rule = " A network of one output decides by a threshold: add --decision 'sigmoid(defect) > 0.5'"
    return (
        f"{source} does not fit the architecture: {'; '.join(parts)}. "
        "Check the architecture's name, the number of classes and the number of channels."
        f"{rule if one else ''}"
    )
