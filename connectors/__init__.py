"""Built-in plug-ins, written exactly as a third party writes them: they see only `rmplugin.api`."""
