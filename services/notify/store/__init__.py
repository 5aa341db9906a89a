"""What notify keeps: notices, greetings, deliveries. One file a subject; everything of a batch in a handful of statements."""
