"""How notices reach people outside of the tool: mails, digests, channels of a team."""
