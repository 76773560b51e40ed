"""Which weights exist, where from, under which licence, and where they lie. Nothing else knows a path to weights."""
