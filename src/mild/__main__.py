"""``python -m mild``: the same as the ``mild`` command."""

from mild.app.cli import main

main()
