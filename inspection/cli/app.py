"""The command line's root: the typer apps and the two consoles."""

import typer

from inspection.console import Console

app = typer.Typer(
    help="Learn every night why a visual-inspection model was wrong, and mend exactly that.\n\n"
    "First steps: fmi demo shows all of it on a rendered line. With your own data: fmi init, then "
    "fmi register (or fmi train), then fmi night LOG, then fmi serve. fmi help explains how it all works.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
INTERRUPTED = 130  # exit code after Ctrl+C
NOTHING_READ = 3  # exit code of a night that could read no error of its log
bench = typer.Typer(help="Measurements of the method on your own images.", no_args_is_help=True)
app.add_typer(bench, name="bench")
recipe = typer.Typer(
    help="Look at an augmentation recipe, and check it, before you use it.", no_args_is_help=True
)
app.add_typer(recipe, name="recipe")
user = typer.Typer(
    help="People who may use the dashboard from elsewhere: accounts, roles, and who did what.\n\n"
    "Roles: a viewer reads; a reviewer also gives verdicts and relabels; an engineer also retrains, "
    "promotes, rolls back and reads who did what. fmi serve --help says how others reach the dashboard.",
    no_args_is_help=True,
)
app.add_typer(user, name="user")
key = typer.Typer(
    help="Programs that may use /api/ from elsewhere: keys with a role each.", no_args_is_help=True
)
app.add_typer(key, name="key")
console = Console()
errors = Console(stderr=True)
