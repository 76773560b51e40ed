"""Thin ways in: each builds an :class:`~mild.request.EraseRequest` and walks the road."""
