"""What a run looks like to a reader: one static page, Markdown and JSON."""
