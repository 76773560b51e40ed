"""MILD: chosen people leave a photo, layer by layer."""
