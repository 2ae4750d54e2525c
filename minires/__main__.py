"""`python -m minires` is the `minires` command."""

from .cli import main

main()
