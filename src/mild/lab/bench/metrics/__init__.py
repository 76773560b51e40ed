"""What is measured of an answer; every figure is defined in ``docs/bench.md`` under the name it has here."""
