"""Stage 3: decides and assigns, and writes `lead.routed` and `lead.outcomes`."""
