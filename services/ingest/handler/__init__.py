"""What happens to a request: `receive.py` reads, judges and answers; `commit.py` makes it durable before the answer."""
