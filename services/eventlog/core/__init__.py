"""Pure rules of `eventlog`: no I/O, no clock, no chance."""
