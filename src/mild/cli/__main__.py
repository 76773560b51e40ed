"""``python -m mild.cli``: the same as the ``mild`` command."""

from mild.cli.app import main

main()
