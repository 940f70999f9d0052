"""What every room may use: errors, units, clock, header rules, values that features exchange. Imports none of ours."""
