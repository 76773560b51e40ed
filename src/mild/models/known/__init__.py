"""The known models, one file a task."""
