"""Ways to reach people: the inbox (reps), the site (visitors)."""
