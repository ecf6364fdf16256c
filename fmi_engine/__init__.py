"""Feature map inversion: which filters caused an error, what they see, and what changed in the world.

    from fmi_engine import Classifier, FilterRef, Job, Preprocessing, invert

The names below are what the engine is used by; each is loaded when it is first asked for, so the frozen
records can be had without torch.
"""

from importlib import import_module

_PUBLIC = {
    "blame": (
        "screen",
        "run_up_to",
        "blame_midway",
        "Patching",
        "Trial",
        "verify",
        "most_blamed",
        "most_deviating",
        "bootstrap_gain",
    ),
    "cache": ("PrimitiveCache",),
    "classifier": ("Classifier", "Preprocessing", "build_network", "choose_device", "load_classifier"),
    "denoiser": ("Denoiser", "learn_denoiser"),
    "descriptors": ("Texture", "hierarchy", "measure_texture"),
    "energy": (
        "energies",
        "spreads",
        "isolate",
        "shuffle_maps",
        "flatten_maps",
        "reallocate_at_random",
        "rank_match",
        "patch_energy",
    ),
    "errors": ("EngineError", "UnknownLayerError", "ClassifierError", "TooFewReferencesError"),
    "inversion": ("Job", "Descent", "Run", "invert", "invert_codes", "source_code", "descend"),
    "natural": ("Examples",),
    "patches": ("exciting_patches",),
    "presets": ("PRESETS", "Preset", "find_preset"),
    "probe": ("layers_of", "find_layers", "find_layer", "check_filter", "tapped", "truncated", "resumption"),
    "reference": ("Reference", "build_reference"),
    "response": ("observed_shift", "induced_shift", "blame_weights", "explained_share", "match"),
    "style": ("Styling", "restyle", "style_layers"),
    "texture": ("describe", "distances", "agreement", "auroc"),
    "trust": ("trust_test", "check_ablation", "TrustRules"),
    "types": (
        "FilterRef",
        "Layer",
        "Inversion",
        "Trust",
        "TrustPart",
        "Failure",
        "AblationCheck",
        "Screening",
        "Verification",
        "Match",
    ),
    "wording": ("reasons",),
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    if name not in _HOME:
        raise AttributeError(f"fmi_engine has no {name!r}; it has: {', '.join(__all__)}")
    return getattr(import_module(f"fmi_engine.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return __all__
