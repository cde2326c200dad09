"""Credit policies that come with the tool."""
