"""How good the bundled voice is: heard by a recogniser, likened by a speaker encoder, timed."""
