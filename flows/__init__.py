"""Prefect flows: order, retries, caching and schedule of the night and of retraining.

- night: the night, its order first, then its steps
- steps: what the steps do, without Prefect; helped: pieces of them that Dask workers do
- crew: who does it, the night's own process or Dask workers
- scope: what the steps hand to each other
- line: the logs of a line that are due, a night each
- retrain, demo: targeted retraining; the demo
- server, worker: Prefect's server and a worker as child processes
- progress: progress on the terminal
- followed: what a plant's own Prefect shows of a night

A night's tasks run in one process, the coordinator, which keeps their results and alone opens the store.
Their work may be done by Dask workers on several machines (`fmi help machines`). It is handed to them by
Dask's own client, not as tasks of a task runner: every process that runs a Prefect task has to reach
Prefect's API, which here answers this machine alone, to those who know a secret; and of tasks of 0.05 s each
three processes did some four a second.
"""
