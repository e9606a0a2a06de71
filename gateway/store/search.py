def index_pending(limit=200): return 0
