"""The laboratory: data, training, the benchmark. It imports the house, never the other way."""
