"""Who may call, and how much: keys, tokens, limits, and the interceptor that asks."""
