"""Systems that take lines of the ledger: their accounts, and whether they answer."""
