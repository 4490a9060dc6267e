"""Labelled examples as text: read, check, split, template, metrics. Knows no torch, no model, no database."""
