"""Rate limits and budgets: limiter, shared counters, Redis limiter, rate-limit headers."""
