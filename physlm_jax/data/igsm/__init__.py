"""The synthetic world of grade-school arithmetic: names, problems, solutions."""
