"""The studio: a page of our own for people who have never used a terminal. A client of the HTTP API, like any other."""
