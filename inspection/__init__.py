"""The plant's words: defect logs, operations, recipes, training, store, report and the command line."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # albumentations asks the network on import otherwise
