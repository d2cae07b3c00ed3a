"""What follows from a fit: degrees of freedom, tests, intervals."""
