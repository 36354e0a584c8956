"""What is asked for, the order of events, engines that run the shards, adding prompts."""
