"""``python -m mild``: the same as the ``mild`` command."""

from mild.cli import main

main()
