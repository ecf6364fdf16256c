"""The errors of the plant's log, screened, as the tests of the library have them."""

from tests.inspection.conftest import admitted, screening, subject

__all__ = ["admitted", "screening", "subject"]
