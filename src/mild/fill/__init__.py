"""The first fill of each layer's hole, from that layer's own pixels alone."""
