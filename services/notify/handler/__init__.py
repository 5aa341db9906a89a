"""What notify does with what it reads: one file an input."""
