"""Management commands, and the functions behind them."""
