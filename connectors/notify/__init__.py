"""What carries notices out of the tool."""
