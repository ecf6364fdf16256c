"""Every default, once: the settings of a workspace, kept in `fmi.toml` and stored with every run."""

import json
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from inspection.errors import WorkspaceError
from inspection.language import gettext

_ADDRESS = TypeAdapter(HttpUrl)
_SCHEDULER = re.compile(r"(tcp|tls|ws|wss|ucx)://[^\s/]+:\d+")  # as Dask spells one
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]
NotifiedOf = Literal["findings", "failure", "return"]
LineName = Annotated[str, Field(pattern=r"^[\w-]+$")]

BIT_DEPTHS = (10, 12, 14, 16)  # of industrial cameras, where values are kept in 16 bits
LARGEST_INPUT = (
    4096  # pixels, a side of a network's input: beyond it a batch fills the memory of any computer
)


class Section(BaseModel):
    """One table of fmi.toml; a key it does not know is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DefectLogSettings(Section):
    """How the plant's defect log is read."""

    columns: dict[str, str] = Field(
        {}, description='for example { image_path = "File", true_label = "Operator" }: ours = the plant\'s'
    )
    labels: dict[str, str] = Field(
        {}, description='for example { NG = "scratch" }: the plant\'s word = the class of the model'
    )
    images_root: str = Field(
        "",
        description="folder in which relative image paths start, itself relative to the workspace, or its "
        "address (s3://plant/line1); empty: the log's folder",
    )
    paths: dict[str, str] = Field(
        {},
        description="for example { 'Z:\\images' = '/mnt/images' }: a folder as the log spells it = where it "
        "lies here, a folder or an address",
    )


class ImageSettings(Section):
    """How image files are read."""

    bit_depth: Literal[0, 8, 9, 10, 11, 12, 13, 14, 15, 16] = Field(
        0,
        description="bits that the camera uses of 16-bit files which do not say so themselves; 0: measured "
        "once, on the model's labelled images",
    )
    float_white: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="value that is white in TIFF files of floating-point numbers, of which 0 is black; an "
        "image with other values is set aside",
    )
    most_megapixels: int = Field(100, ge=1, le=1000, description="a larger image is set aside, not decoded")
    most_megabytes: Count = Field(400, description="a larger image file is set aside, not read")


class ComputeSettings(Section):
    """Where and how the network runs."""

    device: str = Field("auto", description="auto takes a GPU when there is one; or cpu, cuda, cuda:1")
    batch_size: Count = Field(32, description="images per forward pass")
    seed: int = Field(0, ge=0, description="of every random draw: same seed, same night")


class TableSettings(Section):
    """How much of a table is read: of a defect log, or of a list of images."""

    most_megabytes: Count = Field(512, description="a larger file is refused")
    most_columns: Count = Field(2000, description="a table of more is refused")
    most_million_cells: Count = Field(50, description="rows times columns; a larger table is refused")
    longest_cell: int = Field(
        131072, ge=1, le=2**31 - 1, description="characters; a row of CSV with a longer one is set aside"
    )


DEFAULT_TABLES = TableSettings()


class ReferenceSettings(Section):
    """How the correctly classified reference images say what is normal."""

    images_per_class: Count = Field(200, description="at most this many reference images of a class")
    minimum_per_class: Count = Field(8, description="errors of a class with fewer are judged by all classes")
    mm_per_pixel: float = Field(
        0.0,
        ge=0,
        description="millimetres of the part to a pixel at the model's input size, for reports; 0: not known",
    )


class BlameSettings(Section):
    """Which filters pushed to the wrong class."""

    filters: Count = Field(20, description="K: filters patched together in one layer")
    largest_share: Share = Field(0.25, description="K never exceeds this share of a layer's filters")
    random_draws: Count = Field(
        1, description="draws of K random filters for the control, anew for every error"
    )
    collateral_images: Count = Field(64, description="correct images on which the patch's harm is counted")
    most_errors: Count = Field(64, description="errors that are patched; more are screened but not patched")
    choosing_errors: Count = Field(
        32, description="errors on which layers are probed and their filters chosen; flips count on others"
    )
    verified_layers: Count = Field(2, description="layers that are verified with controls")
    bootstrap: Count = Field(1000, description="resamples for the 95 % intervals")


class InversionSettings(Section):
    """How a filter's texture primitives are made and trusted."""

    preset: Literal["default", "paper", "mahendran"] = Field(
        "default", description="how the descent runs: ours, or as published"
    )
    filters: Count = Field(6, description="filters of a failure mode that are inverted")
    sources: int = Field(3, ge=2, description="source images per filter; two or more for the trust test")
    denoiser_steps: int = Field(
        1500,
        ge=0,
        description="steps in which a denoiser learns the surfaces of the reference images, once for a "
        "model, to keep primitives natural; 0: without",
    )
    top_share: Share = Field(0.01, description="fed back, the filter must rank first or in this top share")
    agreement: Share = Field(0.8, description="AUROC of same-filter likeness that a trusted primitive needs")
    patches: Count = Field(6, description="real image patches shown beside a primitive")


class MatchingSettings(Section):
    """What changed in the world."""

    reference_images: Count = Field(64, description="correct images on which each operation is measured")
    claim_share: Share = Field(0.75, description="explained share, weighted by blame, that a claim needs")
    overall_share: Share = Field(
        0.65, description="explained share over all filters alike that a claim needs"
    )
    look_share: Share = Field(0.5, description="explained share of the images' own look that a claim needs")
    measured_share: Share = Field(
        0.7,
        description="explained share (mean of three) that a change measured on half of the errors needs on "
        "the other half",
    )
    beyond_baseline: Share = Field(
        0.4,
        description="explained share that a claim needs of what the errors that the model makes without any "
        "change leave unexplained",
    )
    beyond_unchanged: Share = Field(
        0.25,
        description="the same of what is left by the reference images nearest to the errors, of their own "
        "classes, as they are",
    )
    nearer_share: Share = Field(
        0.5,
        description="of the errors: more, beyond chance, have to be nearer to reference images of their "
        "classes under the cause than to any as they are",
    )
    pair_gain: Share = Field(
        0.05, description="how much more, on the mean of the three shares, a second operation must explain"
    )
    fewest_errors: Count = Field(5, description="a failure mode with fewer errors is listed, not diagnosed")


class RecipeSettings(Section):
    """How the diagnosis becomes training images."""

    share: Share = Field(0.5, description="of the training images that the recipe changes")
    weakest: float = Field(0.2, gt=0, description="lowest strength drawn, as a multiple of the fitted one")
    strongest: float = Field(1.6, gt=0, description="highest strength drawn, as a multiple of the fitted one")
    logged_share: Share = Field(
        0.1,
        description="of the training images that logged ones take, repeated, beside recipes that explain the "
        "errors in full; up to twice as many where they explain less",
    )
    textures: Count = Field(24, description="residual textures that go along with a recipe, at most")
    examples: Count = Field(4, description="before and after pictures in the report")

    @model_validator(mode="after")
    def _ascending(self) -> "RecipeSettings":
        if self.weakest > self.strongest:
            raise ValueError(f"weakest = {self.weakest} is above strongest = {self.strongest}")
        return self


class TrainingSettings(Section):
    """How models are trained and fine-tuned."""

    architecture: str = Field(
        "inspection.networks:small_resnet", description="torchvision name or module:function for `fmi train`"
    )
    input_size: int = Field(96, ge=1, le=LARGEST_INPUT, description="pixels, both sides, for `fmi train`")
    epochs: Count = Field(20, description="of `fmi train`")
    learning_rate: float = Field(0.001, gt=0, description="of `fmi train` (AdamW, one cycle)")
    fine_tune_epochs: Count = Field(8, description="of `fmi retrain`, at least")
    fine_tune_steps: Count = Field(250, description="of `fmi retrain`, at least: few images take more epochs")
    fine_tune_learning_rate: float = Field(0.0006, gt=0, description="of `fmi retrain` (AdamW, one cycle)")
    teacher_weight: float = Field(
        1.0,
        ge=0,
        description="of `fmi retrain`: what the deployed model's answers on unchanged images count beside "
        "the labels",
    )
    unchanged_weight: float = Field(
        1.5,
        gt=0,
        description="of `fmi retrain`: what an image as it is counts beside one that the recipe changed; "
        "more keeps more of the clean accuracy and mends less",
    )
    batch_size: Count = Field(32, description="images per step")
    weight_decay: float = Field(0.01, ge=0, description="of AdamW")


class AcceptanceSettings(Section):
    """When a candidate model is accepted."""

    clean_margin: Share = Field(
        0.01, description="largest fall of clean accuracy that is accepted (one image always is)"
    )
    class_margin: Share = Field(0.05, description="largest fall in any one class (one image always is)")
    significance: Share = Field(0.05, description="p-value that the repair of the mode must reach")


class WorthSettings(Section):
    """What errors cost, for the plant manager's figures."""

    nights_per_month: float = Field(22, gt=0, description="nights with a log like the one retrained for")
    escape_price: float = Field(0.0, ge=0, description="of one defect that passed as good; 0: not known")
    overkill_price: float = Field(0.0, ge=0, description="of one good part rejected; 0: not known")
    retraining_price: float = Field(
        0.0, ge=0, description="of one retraining: people's time and computing; 0: not known"
    )
    currency: str = Field("EUR", description="of the prices")


class SpreadSettings(Section):
    """Where the work of a night is done: see `fmi help machines`."""

    runner: Literal["local", "dask"] = Field(
        "local",
        description="local: by the night's own process; dask: by several, on this machine or on many, with "
        "fmi[dask]",
    )
    address: str = Field(
        "",
        description="of the scheduler of the plant's Dask workers, as tls://10.0.0.5:8786; empty: workers of "
        "the night's own, on this machine",
    )
    processes: int = Field(
        0, ge=0, description="workers of the night's own; 0: one for each core of the processor"
    )
    share: str = Field(
        "",
        description="folder with the workspace and all images, where the workers' machines reach it at "
        "another path, which each names in FMI_SPREAD__SHARE; empty: the paths are the same",
    )

    @field_validator("address")
    @classmethod
    def _is_scheduler(cls, address: str) -> str:
        if address and not _SCHEDULER.fullmatch(address):
            raise ValueError("expected the address of a scheduler, as tls://10.0.0.5:8786 or tcp://...")
        return address

    @field_validator("share")
    @classmethod
    def _is_absolute(cls, share: str) -> str:
        if share and not Path(share).is_absolute():
            raise ValueError("expected an absolute path")
        return share.rstrip(os.sep) or share


class MlflowSettings(Section):
    """MLflow, for plants that keep their experiments there; it needs fmi[mlflow]."""

    tracking_uri: str = Field(
        "", description="where retrainings are logged, too: http://..., sqlite:///...; empty: nowhere"
    )


class ReportSettings(Section):
    """The night's report."""

    language: Literal["en", "ja"] = Field("en", description="of the reports: en or ja")


class ScheduleSettings(Section):
    """How the logs of lines are taken up, unattended: see `fmi schedule --help`."""

    quiet_seconds: float = Field(
        10.0, gt=0, description="a log is read once it has not changed for so long: until then it is copied"
    )


class NotifySettings(Section):
    """Who is told what unattended nights come to."""

    command: str = Field(
        "", description="a program with its arguments; what is told stands on its input, as JSON"
    )
    webhook: str = Field("", description="an address to which the same is sent by POST: https://...")
    on: tuple[NotifiedOf, ...] = Field(
        ("findings", "failure", "return"),
        description="of what: failure modes found, a log that could not be read, a failure mode that was "
        "gone and is back",
    )

    @field_validator("command")
    @classmethod
    def _splits(cls, command: str) -> str:
        shlex.split(command)  # its ValueError says what is wrong
        return command

    @field_validator("webhook")
    @classmethod
    def _is_address(cls, webhook: str) -> str:
        if not webhook:
            return webhook
        try:
            return f"{_ADDRESS.validate_python(webhook)}"  # as it is sent: a name or a path in ASCII
        except ValidationError as error:
            why = error.errors()[0]["msg"]
            raise ValueError(f"{why}; expected an address such as https://chat.plant.example/hook") from None


class LineSettings(BaseModel):
    """A line whose logs are read unattended; other tables of this file may stand beneath it, for it alone."""

    model_config = ConfigDict(extra="allow", frozen=True)

    logs: str = Field(description="folder of its defect logs, with the folders in it; or one file")
    model: str = Field(
        "",
        description="a name, for the newest deployed model that is called so; or a model as `--model` takes "
        "it; empty: the deployed one",
    )
    cron: str = Field(
        "", description="when its logs are read, as '30 2 * * *' for 02:30 every night; empty: as they come"
    )
    timezone: str = Field("", description="of cron, as Europe/Berlin; empty: this machine's")
    parts: int = Field(
        0, ge=0, description="parts inspected for a log that does not say it itself; 0: not known"
    )

    @property
    def own(self) -> dict[str, Any]:
        """The tables that stand beneath it."""
        return self.model_extra or {}

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of its cron expression."""
        return ZoneInfo(self.timezone or machines_timezone())

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone or "UTC")
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("there is no such time zone; expected a name such as Europe/Berlin") from None
        return timezone

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, cron: str) -> str:
        from cronsim import CronSim, CronSimError

        try:
            if cron:
                next(CronSim(cron, datetime.now()))
        except (CronSimError, StopIteration) as error:
            raise ValueError(
                f"not a cron expression ({error or 'it never comes'}); expected minute, hour, day, month and "
                "weekday, as '30 2 * * *'"
            ) from None
        return cron


class ServeSettings(Section):
    """The dashboard: as it stands for this machine only; for others with accounts, see `fmi serve --help`."""

    port: int = Field(8321, ge=1, le=65535, description="of the dashboard")
    host: str = Field(
        "127.0.0.1",
        description="address of this machine that it listens at; others reach 0.0.0.0 or a network card's, "
        "which needs accounts, a certificate and its key",
    )
    url: str = Field(
        "",
        description="what others type, for example https://fmi.plant.example; with host 127.0.0.1, a reverse "
        "proxy on this machine passes it on",
    )
    certificate: str = Field("", description="PEM file of the certificate and those that vouch for it")
    key: str = Field("", description="PEM file of its private key, without a passphrase")


class Settings(BaseSettings):
    """Everything a workspace can set; environment variables such as FMI_BLAME__FILTERS win over the file."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="FMI_", env_nested_delimiter="__"
    )

    compute: ComputeSettings = ComputeSettings()
    defect_log: DefectLogSettings = DefectLogSettings()
    images: ImageSettings = ImageSettings()
    tables: TableSettings = TableSettings()
    reference: ReferenceSettings = ReferenceSettings()
    blame: BlameSettings = BlameSettings()
    inversion: InversionSettings = InversionSettings()
    matching: MatchingSettings = MatchingSettings()
    recipe: RecipeSettings = RecipeSettings()
    training: TrainingSettings = TrainingSettings()
    acceptance: AcceptanceSettings = AcceptanceSettings()
    worth: WorthSettings = WorthSettings()
    spread: SpreadSettings = SpreadSettings()
    mlflow: MlflowSettings = MlflowSettings()
    report: ReportSettings = ReportSettings()
    serve: ServeSettings = ServeSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    notify: NotifySettings = NotifySettings()
    lines: dict[LineName, LineSettings] = {}

    def of_line(self, name: str) -> "Settings":
        """The settings with those that stand beneath a line in place of the common ones.

        Raises WorkspaceError where there is no such line, or ValidationError.
        """
        if name not in self.lines:
            known = ", ".join(self.lines) or "none: write [lines.NAME] with logs = 'FOLDER' into fmi.toml"
            raise WorkspaceError(f"there is no line '{name}' in {known and 'fmi.toml; there are'}: {known}")
        merged = self.model_dump()
        for table, rows in self.lines[name].own.items():
            merged[table] = merged[table] | rows
        return type(self)(**merged)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before file; names of earlier versions in either."""
        return InitSettingsSource(settings_cls, current_names(env_settings())), init_settings


NO_NIGHTS = (
    "worth",
    "spread",
    "mlflow",
    "report",
    "serve",
    "schedule",
    "notify",
    "lines",
)  # tables that decide nothing of a night: it is the same whatever they hold
TWICE = ("Cannot declare", "Cannot overwrite", "immutable namespace")  # tomllib's words
RETIRED = (
    ("blame", "sounding_errors"),
    ("matching", "rival_margin"),
    ("matching", "beyond_either"),
    ("matching", "look_margin"),
    ("matching", "alternative_margin"),
    ("serve", "prefect_port"),
)  # stood in every fmi.toml of an earlier version
RENAMED = {
    ("matching", "beyond_any_day"): "beyond_baseline",
    ("matching", "beyond_own"): "beyond_unchanged",
}  # likewise; the value that a file gives them counts


def load_settings(path: Path) -> Settings:
    """Read a workspace's fmi.toml. Raises WorkspaceError naming the key, what it holds and what it takes."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        twice = any(words in f"{error}" for words in TWICE)
        hint = (
            " A name stands there twice: above a table such as [defect_log.labels] there may be no line "
            "`labels = {}`. Remove that line."
            if twice
            else ""
        )
        raise WorkspaceError(
            f"{path} cannot be read: {error}.{hint} Mend it, or remove it and run `fmi init`, which keeps "
            "all else."
        ) from None
    try:
        return _with_lines(Settings(**current_names(values)))
    except (ValidationError, _LineError) as error:
        told = f"{error}" if isinstance(error, _LineError) else _complaints(error)
        raise WorkspaceError(
            f"{path}, or the environment (FMI_...), holds settings that cannot be used:\n{told}"
        ) from None
    except SettingsError as error:
        raise WorkspaceError(
            f"an environment variable FMI_... cannot be used: {error}. "
            "Name one key, as in FMI_BLAME__FILTERS=20."
        ) from None


class _LineError(Exception):
    """A line holds settings that cannot be used."""


def _with_lines(settings: Settings) -> Settings:
    """The settings, once those of every line are found to be sound."""
    tables = [name for name in Settings.model_fields if name not in NO_NIGHTS]
    for name, line in settings.lines.items():
        place = f"lines.{name}."
        for key, value in line.own.items():
            if key not in tables or not isinstance(value, dict):
                known = ", ".join((*LineSettings.model_fields, *tables))
                raise _LineError(
                    f"  {place}{key} = {value!r}: there is no such name here; there are: {known}"
                )
        try:
            settings.of_line(name)
        except ValidationError as error:
            raise _LineError(_complaints(error, place)) from None
    return settings


def machines_timezone() -> str:
    """The name of this machine's time zone; UTC where it tells none."""
    named = os.environ.get("TZ", "").removeprefix(":")
    with suppress(OSError, IndexError):
        named = named or f"{Path('/etc/localtime').resolve()}".split("zoneinfo/")[1]
    return named if named in available_timezones() else "UTC"


def current_names(values: dict[str, Any]) -> dict[str, Any]:
    """Settings as an earlier version wrote them, by the names that they have now, without those retired.

    A value under the present name wins.
    """
    found = {table: dict(rows) if isinstance(rows, dict) else rows for table, rows in values.items()}
    for table, key in (*RETIRED, *RENAMED):
        rows = found.get(table)
        if isinstance(rows, dict) and key in rows:
            value, name = rows.pop(key), RENAMED.get((table, key))
            if name:
                rows.setdefault(name, value)
    return found


def of_a_night(settings: Settings) -> dict[str, Any]:
    """The settings that decide what a night finds, as the store keeps them."""
    return settings.model_dump(mode="json", exclude=set(NO_NIGHTS))


def as_now(values: dict[str, Any]) -> dict[str, Any]:
    """All settings of a night of an earlier version: what did not exist then is as it is by default."""
    found = {table: rows for table, rows in current_names(values).items() if table not in NO_NIGHTS}
    for table, key, default, _ in settings_rows():
        if table not in NO_NIGHTS:
            found.setdefault(table, {}).setdefault(key, default)
    return found


def _complaints(error: ValidationError, place: str = "") -> str:
    return "\n".join(
        f"  {place}{'.'.join(str(part) for part in item['loc'])} = {item['input']!r}: "
        f"{_unknown(item['loc']) if item['type'] == 'extra_forbidden' else item['msg']}"
        for item in error.errors()
    )


def _unknown(place: tuple[int | str, ...]) -> str:
    keys = [key for table, key, _, _ in settings_rows() if table == place[0]]
    return f"there is no such name here; there are: {', '.join(keys or Settings.model_fields)}"


def settings_rows() -> Iterator[tuple[str, str, Any, str]]:
    """Yield (table, key, default, meaning) of every setting, in the order of fmi.toml."""
    for table, section in Settings.model_fields.items():
        if table == "lines":
            continue  # of which there may be many: see `line_rows`
        assert isinstance(section.annotation, type)
        assert issubclass(section.annotation, Section)
        for key, setting in section.annotation.model_fields.items():
            yield table, key, setting.default, setting.description or ""


def line_rows() -> Iterator[tuple[str, str, Any, str]]:
    """The same of a line's own settings."""
    for key, setting in LineSettings.model_fields.items():
        default = "" if setting.is_required() else setting.default
        yield "lines.NAME", key, default, setting.description or ""


def settings_table() -> str:
    """Return every setting as the table that stands in the guide, in the present language."""
    columns = (gettext("setting"), gettext("default"), gettext("meaning"))
    rows = [f"| {' | '.join(columns)} |", "| --- | --- | --- |"]
    rows += [
        f"| `{table}.{key}` | `{_toml(default)}` | {gettext(meaning)} |"
        for table, key, default, meaning in (*settings_rows(), *line_rows())
    ]
    return "\n".join(rows)


def default_toml() -> str:
    """Return the text of a fresh fmi.toml: every setting with its default and a comment."""
    lines = ["# Settings of this workspace. Every value shown is the default.", ""]
    table_now = ""
    for table, key, default, meaning in settings_rows():
        if table != table_now:
            section = Settings.model_fields[table].annotation
            lines += ["", f"# {(section.__doc__ or '').strip()}", f"[{table}]"]
            table_now = table
        # A table of the user's may stand below it only where the key is not set: TOML takes no name twice.
        off = "# " if isinstance(default, dict) else ""
        lines.append(f"{off}{key} = {_toml(default)}  # {meaning}")
    lines += ["", f"# {(LineSettings.__doc__ or '').strip()}", "#[lines.NAME]"]
    lines += [f"#{key} = {_toml(default)}  # {meaning}" for _, key, default, meaning in line_rows()]
    return "\n".join(lines) + "\n"


def toml_text(text: str) -> str:
    """A text as fmi.toml holds it, with backslashes as they are where it can be."""
    return f"'{text}'" if "'" not in text and text.isprintable() else json.dumps(text, ensure_ascii=False)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return json.dumps(value)
    return repr(value) if not isinstance(value, dict) else "{}"
