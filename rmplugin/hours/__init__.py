"""The protected hour: granted, booked, held, displaced; and what to do when there is no time."""
