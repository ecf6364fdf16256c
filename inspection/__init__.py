"""The plant's words: defect logs, operations, recipes, training, store, report and the command line."""
