"""What requests cost: spend, batch bills, prices and their updates."""
