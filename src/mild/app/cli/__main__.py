"""``python -m mild.app.cli``: the same as the ``mild`` command."""

from mild.app.cli.app import main

main()
