"""A report of an evaluation: one page with its pictures."""
