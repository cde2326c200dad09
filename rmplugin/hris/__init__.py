"""HR accounts in daily life: schedules, runs that a person decides about, ranks, notices of HR systems."""
