"""Cases of the checks: one change to a sound site that makes a finding, and a near one that does not."""
