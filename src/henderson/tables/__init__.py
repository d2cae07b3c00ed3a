"""What people read: a fit's summary, tidy tables, its equation, its matrices."""
