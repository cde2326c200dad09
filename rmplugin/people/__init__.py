"""People as the HR system knows them, their profiles, and the LMS users that they are."""
