"""The recipe: a diagnosis as an augmentation pipeline that an ML engineer can use without us.

A recipe file is YAML: what it does and where it comes from, then the albumentations pipeline with everything
that albumentations leaves out of its own files (the seed, the versions).
"""

import hashlib
import json
import math
import random
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import albumentations as A
import cv2
import numpy as np
import yaml
from albumentations.core.serialization import SERIALIZABLE_REGISTRY
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from inspection.errors import InspectionError, RecipeError
from inspection.operations.catalogue import find_operation
from inspection.operations.operation import Image
from inspection.recipes.overlays import (
    FIXED_PATTERN,
    OVERLAYS,
    TONE_CURVE,
    FixedPattern,
    TextureFile,
    TextureOverlay,
    ToneCurve,
    textures_in,
)
from inspection.workspace.files import write_whole

VERSION = 2  # of the file's format; 1 had no textures, and is read as well

_PACKAGES = ("albumentations", "inspection")  # whose transforms a file may name
_OF_ONE_FILE = {FIXED_PATTERN: FixedPattern, TONE_CURVE: ToneCurve}  # overlays; the others take several


@dataclass(frozen=True, slots=True)
class Ingredient:
    """One operation, or one set of textures, with the range that its strength is drawn from."""

    operation: str  # a name of the catalogue, or of OVERLAYS
    lowest: float  # in the operation's unit; of an overlay times the texture as it was found
    highest: float
    textures: tuple[TextureFile, ...] = ()  # of an overlay

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which changes to make to which share of the training images, and what they are for."""

    version: int
    ingredients: tuple[tuple[Ingredient, ...], ...]  # groups that follow each other; one of each is drawn
    share: Annotated[float, Field(ge=0.0, le=1.0)]  # of the images that it changes
    seed: Annotated[int, Field(ge=0)]
    input_size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]  # height, width, pixels
    channels: int
    findings: dict[str, Any]  # where it comes from: night, failure mode, filters, flip rates, ...
    libraries: dict[str, str]  # versions it was made with
    pipeline: dict[str, Any]  # as albumentations' to_dict gives it

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which images a recipe is for, and which of them it changes."""

    share: float  # of the training images that it changes
    seed: int  # of the draw of these, and of their strengths
    input_size: tuple[int, int]  # height, width, pixels
    channels: int


class RecipeTransform:
    """A recipe at work: the same seed, epoch and index give the same image in any process and any order."""

    def __init__(self, recipe: Recipe, folder: Path = Path()) -> None:
        """Build the pipeline; `folder` is the recipe file's, where its textures lie."""
        self.recipe = recipe
        self._pipeline = _build(recipe, folder)

    def __call__(self, image: Image, *, epoch: int, index: int) -> Image:
        """Return the image as the recipe has it, or the image itself where it is not in the share.

        The image is uint8 of shape (H, W, C), at the recipe's input size. Raises RecipeError for another.
        """
        self._check(image, epoch, index)
        # Not set_random_seed: it gives every transform a generator of its own with one and the same seed,
        # so that the strength repeats the draw that decided the share, and only weak changes ever happen.
        self._pipeline.set_random_state(*sample_generators(self.recipe.seed, epoch, index))
        return np.asarray(self._pipeline(image=image)["image"], dtype=np.uint8)

    def _check(self, image: Image, epoch: int, index: int) -> None:
        expected = (*self.recipe.input_size, self.recipe.channels)
        if image.dtype != np.uint8 or image.shape != expected:
            raise RecipeError(
                f"this recipe is for uint8 images of shape {expected} (height, width, channels), because "
                f"its strengths hold at that size; it was given {image.dtype} of shape {image.shape}: "
                f"resize first"
            )
        if epoch < 0 or index < 0:
            raise RecipeError(f"epoch and index count from 0; given were {epoch} and {index}")


def build_recipe(
    groups: Sequence[Sequence[Ingredient]],
    scope: Coverage,
    findings: Mapping[str, object],
    folder: Path = Path(),
) -> Recipe:
    """Return the recipe that draws one ingredient of every group, group after group, for a share of images.

    A strength above an operation's limit is lowered to it. The textures of overlays lie under `folder`, into
    which the recipe is to be written.
    Raises RecipeError for what cannot be a recipe and InspectionError for an operation that does not exist.
    """
    if not groups or not all(groups):
        raise RecipeError(f"a recipe needs at least one ingredient in every group; given: {groups}")
    limited = tuple(tuple(_limited(ingredient, scope.channels) for ingredient in group) for group in groups)
    with textures_in(folder):
        pipeline = A.Compose([_one_of(group) for group in limited], p=scope.share).to_dict()
    return _checked(
        {
            "version": VERSION,
            "ingredients": [[asdict(ingredient) for ingredient in group] for group in limited],
            **asdict(scope),
            "findings": dict(findings),
            "libraries": _libraries(),
            "pipeline": pipeline,
        },
        folder,
    )


def write_recipe(recipe: Recipe, path: Path) -> str:
    """Write a recipe as YAML, whole or not at all, and return the file's SHA-256 (hexadecimal).

    Raises RecipeError where the file cannot be written.
    """
    values = _plain(asdict(recipe))
    body = yaml.safe_dump(
        {**values, "sha256": _digest(values)},
        sort_keys=False,
        default_flow_style=None,
        allow_unicode=True,
        width=110,
    )
    data = (_header(recipe, path.name) + body).encode()
    try:
        write_whole(path, data)
    except OSError as error:
        raise RecipeError(
            f"cannot write {path}: {error.strerror}; give a file in a folder that can be written"
        ) from None
    return hashlib.sha256(data).hexdigest()


def load_recipe(path: Path | str) -> Recipe:
    """Read a recipe file and check everything in it before anything of it is built.

    Raises RecipeError for a file that is damaged, was changed since it was written, is of another version,
    or names a class that is no transform of albumentations or ours.
    """
    try:
        values = _read(Path(path))
        _check_version(values)
        _check_digest(values)
        return _checked(values, Path(path).parent)
    except RecipeError as error:
        raise RecipeError(f"{path} is no recipe that can be used: {error}") from None


def is_as_built(recipe: Recipe, folder: Path) -> bool:
    """Whether the pipeline is the one that this version builds of the ingredients.

    If not, an earlier version built it, or a person: then the ingredients do not tell what it does. `folder`
    is where its textures lie.
    """
    scope = Coverage(recipe.share, recipe.seed, recipe.input_size, recipe.channels)
    try:
        built = build_recipe(recipe.ingredients, scope, {}, folder)
    except InspectionError:
        return False
    return bool(built.pipeline.get("transform") == recipe.pipeline.get("transform"))


def summarise(recipe: Recipe) -> str:
    """Say in plain words what a recipe does: its operations, their ranges and the share of images."""
    groups = (" or ".join(_in_words(ingredient) for ingredient in group) for group in recipe.ingredients)
    return f"{', then '.join(groups)}, on {100.0 * recipe.share:.4g} % of the images"


def draw_examples(recipe: Recipe, images: Sequence[Image], folder: Path = Path()) -> list[Image]:
    """Return every image as the recipe changes it, with its share set to 1."""
    pipeline = {**recipe.pipeline, "transform": {**recipe.pipeline["transform"], "p": 1.0}}
    change = RecipeTransform(replace(recipe, share=1.0, pipeline=pipeline), folder)
    return [change(image, epoch=0, index=index) for index, image in enumerate(images)]


# --- building ---------------------------------------------------------------------------------------------


def _limited(ingredient: Ingredient, channels: int) -> Ingredient:
    lowest, highest = float(ingredient.lowest), float(ingredient.highest)
    if not (0.0 <= lowest <= highest and 0.0 < highest < math.inf):
        raise RecipeError(
            f"the strengths of {ingredient.operation} are {lowest} to {highest}; give two ascending numbers "
            "above 0"
        )
    if ingredient.operation in OVERLAYS:
        _check_textures(ingredient)
        return Ingredient(ingredient.operation, lowest, highest, ingredient.textures)
    operation = find_operation(ingredient.operation)
    if channels not in operation.channels:
        raise RecipeError(
            f"{operation.name} is for images of {' or '.join(map(str, operation.channels))} channels, "
            f"not of {channels}"
        )
    return Ingredient(operation.name, min(lowest, operation.limit), min(highest, operation.limit))


def _check_textures(ingredient: Ingredient) -> None:
    count = len(ingredient.textures)
    if count != 1 if ingredient.operation in _OF_ONE_FILE else count == 0:
        wanted = "exactly one" if ingredient.operation in _OF_ONE_FILE else "at least one"
        raise RecipeError(f"{ingredient.operation} was given {count} textures; it takes {wanted}")


def _one_of(group: Sequence[Ingredient]) -> A.BasicTransform | A.OneOf:
    transforms = [_transform(ingredient) for ingredient in group]
    return transforms[0] if len(transforms) == 1 else A.OneOf(transforms, p=1.0)


def _transform(ingredient: Ingredient) -> A.BasicTransform:
    amplitudes = (ingredient.lowest, ingredient.highest)
    if ingredient.operation in _OF_ONE_FILE:
        (file,) = ingredient.textures
        return _OF_ONE_FILE[ingredient.operation]((file.path, file.sha256), amplitudes, p=1.0)
    if ingredient.operation in OVERLAYS:
        return TextureOverlay([(each.path, each.sha256) for each in ingredient.textures], amplitudes, p=1.0)
    return find_operation(ingredient.operation).transform(*amplitudes)


def _libraries() -> dict[str, str]:
    return {"albumentations": A.__version__, "numpy": np.__version__, "opencv": cv2.__version__}


def sample_generators(seed: int, epoch: int, index: int) -> tuple[np.random.Generator, random.Random]:
    """The two generators that albumentations draws from, as no other sample has them."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch, index])))
    return generator, random.Random(int(generator.integers(2**63)))


def _build(recipe: Recipe, folder: Path) -> A.Compose:
    """Build the pipeline; an argument that albumentations would only warn about is an error."""
    _check_classes(recipe.pipeline.get("transform"))
    with warnings.catch_warnings(), textures_in(folder):
        warnings.simplefilter("error")
        try:
            pipeline = A.from_dict(recipe.pipeline)
        except RecipeError:
            raise
        except Exception as error:
            raise RecipeError(f"albumentations cannot build the pipeline: {error}") from None
    if not isinstance(pipeline, A.Compose) or pipeline.p != recipe.share:
        raise RecipeError(f"the pipeline must be one Compose applied to the share of {recipe.share}")
    return pipeline


def _check_classes(node: object) -> None:
    """Refuse every class but albumentations' transforms and ours, so that a file cannot choose what runs."""
    if not isinstance(node, dict) or "p" not in node:
        raise RecipeError(f"the pipeline holds {node!r:.80}; expected a transform with its class and its p")
    name = node.get("__class_fullname__")
    cls = SERIALIZABLE_REGISTRY.get(name) if isinstance(name, str) else None
    if cls is None or not issubclass(cls, A.BasicTransform | A.BaseCompose) or _package(cls) not in _PACKAGES:
        raise RecipeError(f"it names '{name}', which is no transform of albumentations or of this software")
    children = node.get("transforms", [])
    if not isinstance(children, list):
        raise RecipeError(f"the transforms of {name} are {children!r:.80}; expected a list")
    for child in children:
        _check_classes(child)


def _package(cls: type) -> str:
    return cls.__module__.partition(".")[0]


# --- files ------------------------------------------------------------------------------------------------


def _checked(values: Mapping[str, Any], folder: Path) -> Recipe:
    """Turn plain values into a recipe that is known to work."""
    try:
        recipe = _RECIPES.validate_python(_plain(values))
    except ValidationError as error:
        raise RecipeError(f"these values do not fit: {_complaints(error)}") from None
    _check_libraries(recipe.libraries)
    _check_operations(recipe)
    _build(recipe, folder)
    return recipe


def _check_libraries(libraries: Mapping[str, str]) -> None:
    made_with = libraries.get("albumentations", "none")
    if made_with.split(".")[:2] != A.__version__.split(".")[:2]:
        raise RecipeError(
            f"it was made with albumentations {made_with}, and {A.__version__} is installed, which may draw "
            f"otherwise: install the former, or build the recipe anew"
        )


def _check_operations(recipe: Recipe) -> None:
    for group in recipe.ingredients:
        for ingredient in group:
            if ingredient.operation in OVERLAYS:
                continue
            try:
                find_operation(ingredient.operation)
            except InspectionError as error:
                raise RecipeError(str(error)) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_bytes(), _WithoutAliases)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise RecipeError(f"it cannot be read ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise RecipeError(f"it holds {type(values).__name__}, expected the keys of a recipe")
    return values


class _WithoutAliases(yaml.SafeLoader):
    """A loader that refuses `*name`: a few lines of those stand for more than any memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it holds an alias (*name), which no recipe does")
        return super().compose_node(parent, index)


def _check_version(values: Mapping[str, Any]) -> None:
    version = values.get("version")
    if version not in range(1, VERSION + 1):
        raise RecipeError(
            f"its format is version {version!r}, and this software reads 1 to {VERSION}: build the recipe "
            f"anew, or use the software it was made with"
        )


def _check_digest(values: dict[str, Any]) -> None:
    """Take the digest out of the values and compare it with what they say."""
    if values.pop("sha256", None) != _digest(_plain(values)):
        raise RecipeError(
            "it was changed or damaged since it was written; restore it, or build another with build_recipe"
        )


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a deep copy in the types that YAML and JSON share: tuples become lists."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise RecipeError(
            f"a recipe holds text, numbers, booleans, lists and tables only ({error})"
        ) from None
    return plain


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _header(recipe: Recipe, name: str) -> str:
    height, width = recipe.input_size
    about = (
        "Augmentation recipe: while a model trains, it changes some of the images in the way that fooled it. "
        f"What it does: {summarise(recipe)}. "
        f"Use it after resizing to {height} x {width} pixels (height x width) and before normalising, on "
        f"uint8 arrays of shape ({height}, {width}, {recipe.channels}); the same epoch and index give the "
        f"same image. Do not edit this file: a changed one is refused."
    )
    textured = any(each.textures for group in recipe.ingredients for each in group)
    folder = f", Path({name!r}).parent" if textured else ""
    lines = [
        *textwrap.wrap(about, width=105),
        *(["    from pathlib import Path"] if textured else []),
        "    from inspection.recipes import RecipeTransform, load_recipe",
        f"    change = RecipeTransform(load_recipe({name!r}){folder})",
        "    image = change(image, epoch=epoch, index=index)",
    ]
    return "".join(f"# {line}\n" for line in lines)


def _complaints(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, item['loc']))} = {item['input']!r:.60}: {item['msg']}" for item in error.errors()
    )


def _in_words(ingredient: Ingredient) -> str:
    overlay = ingredient.operation in OVERLAYS
    unit = "times as found" if overlay else find_operation(ingredient.operation).unit
    lowest, highest = f"{ingredient.lowest:.3g}", f"{ingredient.highest:.3g}"
    return f"{ingredient.operation} {lowest if lowest == highest else f'{lowest} to {highest}'} {unit}"


_RECIPES = TypeAdapter(Recipe)
