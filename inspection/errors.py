"""What the plant's side of the software says when it cannot go on."""


class InspectionError(Exception):
    """Base of every error a user can cause: says what was given, what was expected and what to do.

    The command line prints the message without a traceback and leaves with exit code 2.
    """


class LogError(InspectionError):
    """A defect log that cannot be read as a whole (a bad row is set aside instead)."""


class ImageError(InspectionError):
    """An image file that is missing, unreadable or of an unsupported kind."""


class ImageSetError(InspectionError):
    """A folder or table of labelled images that cannot be used."""


class ModelError(InspectionError):
    """A model that cannot be registered, found or loaded."""


class RecipeError(InspectionError):
    """A recipe file that is damaged, tampered with or made for other versions."""


class StoreError(InspectionError):
    """The DuckDB store cannot be opened, migrated or written."""


class StoreBusyError(StoreError):
    """Others hold the store's file, and it did not come free in time."""


class UnknownIdError(StoreError):
    """The store holds no record of the id given."""


class UnknownTopicError(InspectionError):
    """The guide holds no topic of the name given."""


class WorkspaceError(InspectionError):
    """A workspace that is missing, incomplete or read-only."""


class AccessError(InspectionError):
    """An account, a password or a key that cannot be used, or that there is not."""


class TooManyTriesError(AccessError):
    """Too many wrong passwords: says how long to wait."""


class FlowError(InspectionError):
    """Prefect cannot run a flow: says what to start."""


def interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl+C is behind an error: while Prefect sets up a task, clearing up after it fails."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False
