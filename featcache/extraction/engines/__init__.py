"""Where the stations are that encode, one engine a file, and who encodes which shard."""
