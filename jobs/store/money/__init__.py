"""Money: what may be spent, what calls reserve and cost, the ledger's days, receipts."""
