"""The pages: one file a page, each gives its routes for a `Frame`."""
