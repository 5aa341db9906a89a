"""The rules of a company as data: versions, conditions, points."""
