"""The store: what the nights found, the verdicts and the retrainings, in one DuckDB file.

A DuckDB file is open in one writing process or in several reading ones, never both. So every method opens
the file, does one short transaction and closes it; where another process holds the file, it waits its turn.
Who reads much reads a copy in memory: see `live_copy`.
"""

import getpass
import math
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb
from duckdb import DuckDBPyConnection

from inspection.errors import StoreBusyError, StoreError
from inspection.findings import (
    FilterName,
    JudgedImage,
    LogSetAside,
    Night,
    NightState,
    Promotion,
    PromotionKind,
    ReferenceImage,
    RegisteredModel,
    Relabel,
    Retraining,
    Verdict,
)
from inspection.workspace.files import replacing
from inspection.workspace.reader import MODE_IDS, MODEL_IDS, NIGHT_IDS, Reader, read_old_nights, require
from inspection.workspace.rows import (
    IMAGE_TABLES,
    NIGHT_TABLES,
    delete,
    insert,
    read_deployed,
    read_deployed_as,
    row_of,
    rows_of,
    select,
    write_model,
    write_night,
    write_promotion,
    write_retraining,
)
from inspection.workspace.schema import LATEST, applied, check_schema, migrate
from inspection.workspace.turns import Turns

BACKUPS = "backups"  # folder beside the store
FETCHED = 2048  # rows at a time
WAIT_SECONDS = 10.0  # how long a method waits for a file that others hold

Config = dict[str, str | bool | int | float | list[str]]
# Nothing is fetched from the network, and a name in SQL never means a variable of the program.
_CONFIG: Config = {"autoinstall_known_extensions": False, "python_enable_replacements": False}
# SQL of a person reaches no other file, and a query that outgrows the memory is refused, not put on the disk.
_CONFINED: Config = _CONFIG | {"enable_external_access": False, "temp_directory": ""}
_BUSY = ("Could not set lock", "File is already open")  # DuckDB's words on POSIX and on Windows
_BEYOND = ("disabled by configuration", "disabled through configuration", "configuration has been locked")
_HOLDER = re.compile(r"(?:held in|open in)\s+(.+?\(PID \d+\))", re.DOTALL)

_NOTE_PRUNED = """
INSERT INTO pruned_nights BY NAME
SELECT night_id, model_hash, of_line AS line, log_path, log_sha256, started_at, ?::TIMESTAMPTZ AS pruned_at
FROM nights WHERE night_id = ?
"""

_MOVE_IMAGES = """
UPDATE {table} SET image_path = ? || substr(image_path, ?) WHERE starts_with(image_path, ?)
"""

# In one process DuckDB refuses to open a file for reading while it is open for writing.
_TURNS = Turns()
# A generator of our own: the global one belongs to the night, whose draws must not depend on waiting.
_JITTER = random.Random()

Stamp = tuple[tuple[int, int, int] | None, ...]
Answer = tuple[list[str], Iterator[list[tuple[Any, ...]]]]  # the names of the columns, and rows in batches
Opened = TypeVar("Opened")


class Store(Reader):
    """The findings of one workspace. Every method raises StoreError where the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> Path | None:
        """Make the file, or bring an older one up to date; what is in it is kept.

        Before an older one is changed it is copied into the folder `backups` beside it, and the copy is
        returned: the version of this software that wrote it reads it.
        """
        folder = self.path.parent
        if not folder.is_dir():
            raise StoreError(f"no folder {folder} for the store {self.path.name}. Make it with `fmi init`.")
        if not os.access(folder, os.W_OK):
            raise StoreError(
                f"the folder {folder} is read-only for this user, so no store can be kept in it. "
                "Give the folder to the user who runs fmi, or name another workspace."
            )
        backup = self._backed_up() if self.path.is_file() else None
        with self._connection() as connection:
            migrate(connection)
        return backup

    def _backed_up(self) -> Path | None:
        """Copy a store that an earlier version wrote; None: this version's schema is its own."""
        with self._connection(read_only=True) as connection:
            found = applied(connection)
        if not found or found >= LATEST:
            return None
        now = datetime.now(UTC)
        backup = self.path.parent / BACKUPS / f"{self.path.stem}-schema-{found}-{now:%Y%m%dT%H%M%SZ}.duckdb"
        backup.parent.mkdir(exist_ok=True)
        self.snapshot(backup)
        return backup

    def add_model(
        self, model: RegisteredModel, references: Sequence[ReferenceImage], author: str = ""
    ) -> RegisteredModel:
        """Register a model with its labelled images and deploy it; the same hash replaces both.

        Returns its record with name and version. `author` is who did it, for the audit trail; empty: the user
        who runs this process.
        """
        with self._transaction() as connection:
            write_model(connection, model)
            _write_references(connection, model.model_hash, references)
            deployed = read_deployed(connection)
            if deployed != model.model_hash:
                registered, at = PromotionKind.REGISTERED, datetime.now(UTC)
                entry = Promotion(model.model_hash, deployed, registered, author or user(), model.note, at)
                write_promotion(connection, entry)
        return self.model(model.model_hash)

    def promote(self, promotion: Promotion, references: Sequence[ReferenceImage] | None = None) -> None:
        """Make another model the deployed one; `references` are its labelled images where it has none yet.

        Raises StoreError where meanwhile another model of its name was deployed than the one that it says.
        """
        with self._transaction() as connection:
            require(connection, MODEL_IDS, promotion.model_hash)
            (row,) = select(connection, "models", MODEL_IDS.column, promotion.model_hash, MODEL_IDS.order)
            deployed = read_deployed_as(connection, row["name"])
            if promotion.previous_hash not in (deployed, read_deployed(connection)):
                raise StoreError(
                    f"meanwhile model {(deployed or 'none')[:12]} was deployed; look at `fmi models` and "
                    "decide again"
                )
            write_promotion(connection, promotion)
            if references is not None:
                _write_references(connection, promotion.model_hash, references)

    def start_night(self, night: Night) -> None:
        """Say that a night runs. An unfinished attempt of the same id is replaced, a finished one refused."""
        with self._transaction() as connection:
            earlier = select(connection, "nights", "night_id", night.night_id, order="rowid")
            if any(row["state"] == NightState.FINISHED for row in earlier):
                raise StoreError(f"night '{night.night_id}' is finished. Give a new night another id.")
            write_night(connection, night)

    def finish_night(self, night: Night) -> None:
        """Write everything that a night found, all or nothing, in place of what its id held before."""
        with self._transaction() as connection:
            write_night(connection, night)

    def fail_night(self, night_id: str, message: str) -> None:
        """Say that a night ended now without a result, and why."""
        with self._transaction() as connection:
            require(connection, NIGHT_IDS, night_id)
            connection.execute(
                "UPDATE nights SET state = ?, message = ?, finished_at = ? WHERE night_id = ?",
                [NightState.FAILED.value, message, datetime.now(UTC), night_id],
            )

    def set_log_aside(self, log: LogSetAside) -> None:
        """Say that no night could read a log of a line, and why."""
        with self._transaction() as connection:
            insert(connection, "logs_set_aside", [row_of(log)])

    def take_up_logs(self, line: str) -> None:
        """Forget what was set aside of a line's logs: they are read again."""
        with self._transaction() as connection:
            delete(connection, ("logs_set_aside",), "line", line)

    def prune(self, night_ids: Sequence[str], before: datetime) -> list[str]:
        """Remove nights that started before a moment and that nothing rests on, all or none; return which.

        That they were there is kept, so that their logs are not read again by themselves.
        """
        with self._transaction() as connection:
            free = {each.night_id for each in read_old_nights(connection, before) if not each.rests}
            gone = [each for each in night_ids if each in free]
            for night_id in gone:
                connection.execute(_NOTE_PRUNED, [datetime.now(UTC), night_id])
                delete(connection, NIGHT_TABLES, "night_id", night_id)
        return gone

    def move_images(self, old: str, new: str) -> None:
        """Write another folder into the paths of images below `old`; both without a slash at the end."""
        with self._transaction() as connection:
            for table in IMAGE_TABLES:
                connection.execute(_MOVE_IMAGES.format(table=table), [new, len(old) + 1, f"{old}/"])

    def write_parquet(self, sql: str, target: Path) -> int:
        """Write what SQL answers as a Parquet file, whole or not at all; return how many rows.

        It reaches nothing but the store: see `answer`.
        """
        from pyarrow import parquet

        self._existing()
        with self._connection(read_only=True, config=_CONFINED) as connection:
            check_schema(connection)
            _check_statements(connection, sql, files=False)
            connection.execute("SET lock_configuration = true")
            found = _interruptible(connection, lambda: connection.cursor().sql(sql))
            if found is None:
                raise StoreError(f"{sql!r} answers nothing that could be written; give a SELECT")
            table = _interruptible(connection, found.to_arrow_table)
        try:
            with replacing(target) as unfinished:
                parquet.write_table(table, unfinished)
        except OSError as error:
            raise StoreError(f"{target} cannot be written: {error.strerror or error}") from error
        return int(table.num_rows)

    def names(self) -> list[str]:
        """Return the names of all tables and views."""
        with self._reading() as connection:
            return [name for (name,) in connection.execute("SHOW TABLES").fetchall()]

    def add_verdict(self, verdict: Verdict) -> None:
        """Add a reviewer's verdict; earlier ones on the same failure mode stay."""
        with self._transaction() as connection:
            require(connection, MODE_IDS, verdict.mode_id)
            insert(connection, "verdicts", [row_of(verdict)])

    def add_relabels(self, relabels: Sequence[Relabel]) -> None:
        """Add what a reviewer says that logged images show; earlier words on them stay."""
        with self._transaction() as connection:
            for mode_id in {each.mode_id for each in relabels}:
                require(connection, MODE_IDS, mode_id)
            insert(connection, "relabels", rows_of(relabels))

    def add_filter_name(self, name: FilterName) -> None:
        """Add what an expert calls the texture of a filter; earlier names of it stay."""
        with self._transaction() as connection:
            require(connection, MODEL_IDS, name.model_hash)
            insert(connection, "filter_names", [row_of(name)])

    def add_retraining(
        self,
        retraining: Retraining,
        candidate: RegisteredModel | None,
        pictures: Sequence[JudgedImage] = (),
    ) -> None:
        """Add a targeted retraining with its candidate model, if any, and the images that judged it.

        The same id replaces it.
        """
        with self._transaction() as connection:
            if candidate:
                write_model(connection, candidate)
            write_retraining(connection, retraining, pictures)

    def snapshot(self, target: Path) -> None:
        """Copy the store to `target` in one step, for readers that may hold the copy as long as they like."""
        if target.resolve() == self.path.resolve():
            raise StoreError(f"{target} is the store itself. Give another file for the snapshot.")
        try:
            with replacing(target) as unfinished, self._connection(read_only=True) as connection:
                _copy_database(connection, unfinished)
        except OSError as error:
            raise StoreError(f"the snapshot {target} cannot be written: {error.strerror}.") from error

    def load(self, wait: float) -> tuple[DuckDBPyConnection, Stamp]:
        """Copy the store into memory; return the connection to the copy, and the stamp of what was copied.

        Raises StoreBusyError where others hold the file for longer than `wait`, in seconds.
        """
        deadline = time.monotonic() + wait
        with self._turn(wait, alone=True), ExitStack() as undone:
            memory = undone.enter_context(duckdb.connect(config=_CONFIG))
            attach = f"ATTACH {_quoted(self._existing())} AS store (READ_ONLY)"
            self._once_free(lambda: memory.execute(attach), deadline, wait)
            stamp = self.stamp()
            memory.execute("COPY FROM DATABASE store TO memory")
            memory.execute("DETACH store")
            check_schema(memory)
            undone.pop_all()
        return memory, stamp

    def stamp(self) -> Stamp:
        """Return what every write changes: the files' number, size and time.

        The files are not opened: where a process closes one, it gives up all its locks on it, DuckDB's too.
        """
        written_ahead = self.path.with_name(f"{self.path.name}.wal")
        return tuple(stamp_of(file) for file in (self._existing(), written_ahead))

    def query(
        self, sql: str, *, files: bool = False, most: float = math.inf
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run SQL that reads the store; return the names of the columns and the rows: see `answer`.

        So many rows are fetched that they hold `most` values or a few more.
        """
        with self.answer(sql, files=files) as (columns, batches):
            rows = list[tuple[Any, ...]]()
            for batch in batches:
                rows += batch
                if len(rows) * len(columns) > most:
                    break
            return columns, rows

    @contextmanager
    def answer(self, sql: str, *, files: bool = False) -> Iterator[Answer]:
        """Run SQL that reads the store; give the names of the columns and, while the block lasts, the rows.

        It reaches nothing but the store, or with `files` whatever DuckDB reads and writes. The store itself
        is read-only either way. While the block lasts nobody writes to the store. Ctrl+C ends what runs.
        """
        self._existing()
        config = _CONFIG if files else _CONFINED
        with self._connection(read_only=True, config=config) as connection:
            check_schema(connection)
            _check_statements(connection, sql, files)
            if files:
                yield _answer(connection, sql)
                return
            connection.execute("SET lock_configuration = true")
            try:
                yield _answer(connection, sql)
            except duckdb.Error as error:
                if not any(words in str(error) for words in _BEYOND):
                    raise
                raise StoreError(
                    f"this SQL wants more than the store: {error}\n"
                    "`fmi sql` reads the store and nothing else. "
                    "To let SQL read and write other files and change DuckDB's settings, give --files."
                ) from None

    def _reading(self) -> AbstractContextManager[DuckDBPyConnection]:
        return self._transaction(read_only=True)

    @contextmanager
    def _transaction(self, *, read_only: bool = False) -> Iterator[DuckDBPyConnection]:
        """Hold a transaction of the store: committed at the end, undone by any exception, always closed."""
        self._existing()
        with self._connection(read_only=read_only, alone=not read_only) as connection:
            check_schema(connection)
            connection.begin()
            yield connection
            connection.commit()

    def _existing(self) -> Path:
        if not self.path.is_file():
            raise StoreError(f"no store {self.path}. Make one with `fmi init`.")
        return self.path

    @contextmanager
    def _connection(
        self, *, read_only: bool = False, alone: bool = True, config: Config = _CONFIG
    ) -> Iterator[DuckDBPyConnection]:
        """Hold a connection, alone or beside readers; closing it undoes what was not committed."""
        wait = WAIT_SECONDS
        deadline = time.monotonic() + wait
        with self._turn(wait, alone=alone):

            def connect() -> DuckDBPyConnection:
                return duckdb.connect(self.path, read_only=read_only, config=config)

            with closing(self._once_free(connect, deadline, wait)) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                connection.execute("SET enable_progress_bar = false")  # DuckDB's goes to standard output
                yield connection

    @contextmanager
    def _turn(self, wait: float, *, alone: bool) -> Iterator[None]:
        """Hold this process's right to the file, alone or among readers."""
        with ExitStack() as held:
            try:
                held.enter_context(_TURNS.take(wait, alone=alone))
            except TimeoutError:
                raise self._busy("another thread of this program", wait) from None
            try:
                yield
            except duckdb.Error as error:
                raise StoreError(f"the store {self.path} refused: {error}") from error

    def _once_free(self, opening: Callable[[], Opened], deadline: float, wait: float) -> Opened:
        """Open the file as soon as no other process holds it."""
        while True:
            try:
                return opening()
            except duckdb.Error as error:
                reason = str(error)
                if not any(words in reason for words in _BUSY):
                    raise self._unusable(reason) from error
                if time.monotonic() > deadline:
                    holder = _HOLDER.search(reason)
                    raise self._busy(holder[1] if holder else "another program", wait) from error
            time.sleep(_JITTER.uniform(0.01, 0.06))

    def _busy(self, holder: str, waited: float) -> StoreBusyError:
        return StoreBusyError(
            f"the store {self.path} is held by {holder} and did not come free within {waited:g} s. "
            "Wait for that program or end it, and try again."
        )

    def _unusable(self, reason: str) -> StoreError:
        return StoreError(
            f"the store {self.path} cannot be opened: {reason.splitlines()[0]} "
            "Check that the file may be read, is one that `fmi init` made, and that DuckDB is no older than "
            "the one that wrote it; a damaged store can be replaced by a snapshot of it."
        )


def _check_statements(connection: DuckDBPyConnection, sql: str, files: bool) -> None:
    """Raise StoreError where an answer would be lost, or where a CALL would change more than it reads."""
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error:
        return  # which is told when it is run
    answering = duckdb.ExpectedResultType.QUERY_RESULT
    lost = [each.query.strip() for each in statements[:-1] if answering in each.expected_result_type]
    if lost:
        raise StoreError(
            f"this SQL holds {len(statements)} statements, and only the last would be answered, not "
            f"{lost[0]!r}: give them one by one"
        )
    if not files and any(each.type == duckdb.StatementType.CALL for each in statements):
        raise StoreError(
            "this SQL wants more than the store: CALL changes DuckDB's settings. `fmi sql` reads the store "
            "and nothing else; what a function returns, FROM reads. With --files CALL is run."
        )


def _answer(connection: DuckDBPyConnection, sql: str) -> Answer:
    _interruptible(connection, lambda: connection.execute(sql))
    columns = [column[0] for column in connection.description or ()]
    return columns, _batches(connection) if columns else iter(())


def _batches(connection: DuckDBPyConnection) -> Iterator[list[tuple[Any, ...]]]:
    while batch := _interruptible(connection, lambda: connection.fetchmany(FETCHED)):
        yield batch


def _interruptible(connection: DuckDBPyConnection, work: Callable[[], Opened]) -> Opened:
    """Let DuckDB work; while it does it hears no signal, so it works in a thread of its own."""
    with ThreadPoolExecutor(1) as worker:
        running = worker.submit(work)
        try:
            return running.result()
        except KeyboardInterrupt:
            connection.interrupt()
            raise


def user() -> str:
    """The name of the user who runs this process."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have a number and no name
        return "unknown"


def _write_references(
    connection: DuckDBPyConnection, model_hash: str, references: Sequence[ReferenceImage]
) -> None:
    delete(connection, ("reference_images",), "model_hash", model_hash)
    insert(connection, "reference_images", [row_of(image, model_hash=model_hash) for image in references])


def _copy_database(connection: DuckDBPyConnection, target: Path) -> None:
    source = connection.execute("SELECT current_database()").fetchall()[0][0].replace('"', '""')
    connection.execute(f"ATTACH {_quoted(target)} AS fmi_snapshot (READ_WRITE)")
    connection.execute(f'COPY FROM DATABASE "{source}" TO fmi_snapshot')
    connection.execute("DETACH fmi_snapshot")


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def stamp_of(file: Path) -> tuple[int, int, int] | None:
    """Return what every write of a file changes: its number, size and time; None where there is none."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
