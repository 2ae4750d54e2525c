"""The `minires` command. Each sub-command is thin: it parses, calls, prints."""

from __future__ import annotations

import typer
from rich.console import Console

app = typer.Typer(
    help="A from-scratch deep learning engine that shows why residual networks train.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
console = Console()


@app.callback()
def commands() -> None:
    """Keep sub-commands sub-commands, even while there is one alone."""


@app.command()
def info() -> None:
    """Print which kernels run on this machine, and why others do not."""
    import minires

    console.print(minires.info(), markup=False, highlight=False)


def main() -> None:
    """Turn expected failures into one sentence each."""
    try:
        app()
    except (ValueError, OSError) as error:
        console.print(f"[red]Error:[/] {error}")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
