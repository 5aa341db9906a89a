"""The rules of notices: pure functions, `now` and random draws are arguments."""
