"""Durable jobs on the same database: claims with leases and fences, one table of allowed states. No torch, no web."""
