"""A study with people: blind pairs on one page, and what their answers say."""
