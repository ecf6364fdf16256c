"""Prefect flows: order, retries, caching and schedule of the night and of retraining.

- night: the night, its order first, then its steps
- scope: what the steps hand to each other
- retrain, demo: targeted retraining; the demo
- server, worker: Prefect's server and a worker as child processes
- progress: progress on the terminal

On several machines: give the flow a task runner (`night.with_options(task_runner=...)`; Prefect has runners
on threads, Dask and Ray) and submit the steps that do not wait for each other, which are the batches of
`screen_errors`, and each failure mode's own. Every machine needs the same version of this software and of its
settings, the workspace at the same path of a disk that they share (the store names images by absolute paths,
and DuckDB locks its file), and a Prefect server that all of them reach (`PREFECT_API_URL`).
"""
