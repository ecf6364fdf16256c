"""A workspace on disk: its settings, its folders and its store.

- settings: every default, once, kept in `fmi.toml`
- folder: the workspace itself, and where everything lies in it
- files: files written whole or not at all, and known by their hash
- store: the DuckDB file of the findings, opened for one transaction at a time
- reader: what can be read of the findings, from the file or from a copy
- live_copy: a copy in memory, for many readers beside a writer
- turns: which threads of a process have the file, and when
- lease: which process does a piece of work, so that no other does it too
- rows: records as rows of the store and back
- schema: the store's tables, in numbered migrations
"""
