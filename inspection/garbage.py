"""How often Python looks for garbage: seldom enough that an import is not searched while it is made."""

import gc

NEW_OBJECTS = 10_000  # until a search, in place of 700


def collect_seldom() -> None:
    """Search for garbage less often, for the whole process.

    Importing torch and Prefect makes some million objects, none of them garbage. User seconds, two runs each,
    at 700, 10,000 and 50,000 objects: importing a night 4.28 and 4.39, 3.68 and 3.38, 3.51 and 3.91;
    Prefect's server 3.41 and 3.42, 3.00 and 2.81, 3.03 and 3.12.
    """
    gc.set_threshold(NEW_OBJECTS)
