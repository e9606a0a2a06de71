"""Commands, and the functions behind them."""
