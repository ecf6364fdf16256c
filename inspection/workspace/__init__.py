"""A workspace on disk: its settings, its folders and its store.

- settings: every default, once, kept in `fmi.toml`
- folder: the workspace itself, and where everything lies in it
- files: files written whole or not at all, and known by their hash
- store: the DuckDB file of the findings
- lease: who does a piece of work, so that no other process does it too
- rows: records as rows of the store and back
- schema: the store's tables, in numbered migrations
"""
