"""What is asked for, the order of events, the engines that run shards, adding prompts."""
