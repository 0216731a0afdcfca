"""What `chatterbox top` shows: looks at a cluster, what happened between them, and the screen."""
