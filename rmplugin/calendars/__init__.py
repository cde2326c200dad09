"""Mentoring sessions in people's calendars: invitations by mail, and a feed of their own."""
