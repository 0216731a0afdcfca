"""How the bundled tiny voice is made; an extra, never needed to serve."""
