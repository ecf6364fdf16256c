"""The errors of the plant's log, screened, as the tests of the library have them."""

from tests.inspection.conftest import reproduced_errors, screening, subject

__all__ = ["reproduced_errors", "screening", "subject"]
