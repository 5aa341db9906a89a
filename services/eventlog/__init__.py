"""The log between the stages: ports, leases, fence, outbox, dead letters."""
