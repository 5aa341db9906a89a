"""Pure rules of `router`: no I/O, no clock, no chance."""
