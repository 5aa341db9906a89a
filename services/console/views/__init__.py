"""Answers of the rooms → plain data for the templates. Pure: one file a page."""
