"""Pages that join capabilities: home of the participant, desk of the manager."""
