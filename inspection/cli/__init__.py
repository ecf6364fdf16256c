"""The command line, `fmi`: one command for each thing a plant does.

- workspace: init, register, train, evaluate, sql, prune
- answer: what sql answers, as people or programs read it
- night: night, retrain, table, demo
- schedule: schedule, nights that nobody starts
- poc: poc, a plant's first month
- engine: invert, style, bench paper
- recipe: recipe show, recipe check
- models: models, promote, rollback, export
- serving: serve, worker
- access: user, key
- doctor: doctor
- help: help
- markdown: a text of the guide, as a terminal shows it
- options: options that several commands share
- described: a model as options describe it
- app: the root that commands are hung on
- entry: one command run, and how its errors are shown
"""

# In the order in which --help lists them.
from inspection.cli import workspace, night, schedule, poc, models, engine, recipe, serving  # noqa: F401, I001
from inspection.cli import access, doctor, help  # noqa: F401
from inspection.cli.entry import main

__all__ = ["main"]
