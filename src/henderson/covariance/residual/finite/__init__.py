"""R^-1 as a sum of a few fixed matrices, for the structures that have one."""
