"""Data for the chapters: made here and seeded, or the real thing on request."""
