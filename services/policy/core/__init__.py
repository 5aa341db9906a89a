"""Pure rules of `policy`: no I/O, no clock, no chance."""
