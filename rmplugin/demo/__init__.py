"""What `rmplugin demo` needs: a sample company and a practice LMS, a small LTI platform that one can click.

The practice LMS shares no code with the tool that it judges: it imports nothing of rmplugin or of lti.
"""
