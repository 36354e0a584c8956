"""What is asked for, the order of events, a station that encodes, adding prompts."""
