"""Which layers must be made, from what, at which sizes."""
