"""From measured claims to what people read: the ledger of outcomes, terminal lines, the page."""
