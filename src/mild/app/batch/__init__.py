"""``mild batch``: many photos, each one an :class:`~mild.request.EraseRequest`, exactly once."""
