"""Prefect flows: order, retries, caching and schedule of the night and of retraining.

- night: the night, its order first, then its steps
- scope: what the steps hand to each other
- line: the logs of a line that are due, a night each
- retrain, demo: targeted retraining; the demo
- server, worker: Prefect's server and a worker as child processes
- progress: progress on the terminal
- followed: what a plant's own Prefect shows of a night

A night runs on one machine: its steps are called one after the other, and a task runner given to the flow
(`night.with_options(task_runner=...)`) changes nothing by itself, for it serves only what is submitted. To
spread a night, change `flows.night` to submit the steps that do not wait for each other, which are the
batches of `screen_errors`, the layers of `verify_layer`, and the failure modes; all that a step takes and
gives can be pickled. Prefect has runners on threads, Dask and Ray. Every machine then needs the same
version of this software and of its settings, the workspace at the same path of a disk that they share (the
store names images by absolute paths, and DuckDB locks its file), and a Prefect server that all of them
reach (`PREFECT_API_URL`).
"""
