"""The guide on a terminal: help."""

from typing import Annotated

import typer

from inspection.cli.app import app, console
from inspection.console import Table
from inspection.errors import InspectionError, UnknownTopicError
from inspection.guide import LINK, Topic, topic, topics
from inspection.language import LANGUAGES, of_terminal, speaking
from inspection.language import gettext as _

WIDEST = 100  # cells of a line of text: longer ones are hard to read


@app.command("help")
def explain(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="[TOPIC]", help="Of those that are listed without it.")] = "",
    spoken: Annotated[
        str, typer.Option("--language", help="en or ja. Default: that of this terminal.", show_default=False)
    ] = "",
) -> None:
    """Explain how it works, topic by topic; without a topic, list them.

    The dashboard shows the same text under Guide. In a pipe it is Markdown:

    fmi help settings > settings.md
    """
    if spoken and spoken not in LANGUAGES:
        raise InspectionError(f"--language is {spoken!r}; the guide is written in {', '.join(LANGUAGES)}")
    with speaking(spoken or of_terminal()):
        if name:
            _show(_topic(name, context))
        else:
            _list()


def _topic(name: str, context: typer.Context) -> Topic:
    """The topic asked for. Raises UnknownTopicError, which knows commands, too."""
    try:
        return topic(name)
    except UnknownTopicError as error:
        known = getattr(context.find_root().command, "commands", {})
        hint = _(" The command of that name is explained by `fmi {name} --help`.").format(name=name)
        raise UnknownTopicError(f"{error}{hint if name in known else ''}") from None


def _list() -> None:
    console.print(_("`fmi help TOPIC` explains one of these:"), end="\n\n")
    listed = Table.grid(padding=(0, 2))
    listed.add_column(style="bold", no_wrap=True)
    listed.add_column()
    for each in topics():
        listed.add_row(each.name, each.summary)
    console.print(listed)


def _show(shown: Topic) -> None:
    """Print a topic: drawn on a terminal, as it is written in a pipe or a file."""
    if console.is_terminal:
        from inspection.cli.markdown import Drawn  # rich's part of Markdown is slow to import

        drawn = Drawn(LINK.sub(r"`fmi help \2`", shown.text))
        console.print(drawn, soft_wrap=False, width=min(console.width, WIDEST))
    else:
        console.print(shown.text, end="")
