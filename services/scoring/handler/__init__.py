"""What scoring does with a batch: `events` of tracking.events, `outcomes` of lead.outcomes."""
